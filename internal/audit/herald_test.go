package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// herald is one that runs, and what it has said.
type herald struct {
	*audit.Herald
	registry *prometheus.Registry

	mu    sync.Mutex
	said  []string
	log   bytes.Buffer
	leads bool
	fails error
}

func (h *herald) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *herald) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func runHerald(t *testing.T, l *audit.Log) *herald {
	t.Helper()
	h := &herald{registry: prometheus.NewRegistry(), leads: true}
	h.Herald = audit.NewHerald(audit.HeraldConfig{
		Log: l, Every: 5 * time.Millisecond, Registerer: h.registry, Logger: slog.New(slog.NewTextHandler(h, nil)),
		Lead: func(context.Context) (leads bool, err error) { h.change(func() { leads = h.leads }); return leads, nil },
		Say: func(heads string) (err error) {
			h.change(func() { h.said, err = append(h.said, heads), h.fails })
			return err
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// await waits until the herald has come to where is is true.
func (h *herald) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		done := false
		if h.change(func() { done = is() }); done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %q\n%s", what, h.said, h.log.String())
		}
	}
}

func (h *herald) last() string {
	if len(h.said) == 0 {
		return "nothing"
	}
	return h.said[len(h.said)-1]
}

func TestHeadsAreTold(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		h := runHerald(t, l)
		h.await(t, "nothing is there yet", func() bool { return h.last() == "" })
		write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		first := heads(t, l).String()
		h.await(t, "the head is said and logged", func() bool { return h.last() == first && strings.Contains(h.log.String(), first) })
		h.change(func() { h.leads, h.said = false, nil })
		write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		second := heads(t, l).String()
		h.change(func() { h.leads, h.fails = true, errors.New("NATS is away") })
		h.await(t, "NATS is away", func() bool {
			return strings.Contains(h.log.String(), "NATS is away") && strings.Contains(h.log.String(), second)
		})
		h.change(func() { h.fails, h.said = nil, nil })
		h.await(t, "NATS is back", func() bool { return h.last() == second })
		h.change(func() {
			if n := strings.Count(h.log.String(), second); n != 1 {
				t.Errorf("a head was logged %d times", n)
			}
		})
		kept, err := audit.ParseHeads(first)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "a head that was told", verify(t, l, kept), "", 0, 0)
	})
}

// Cutting off the end of the chain that is written to goes unnoticed by the chain itself, but not by a gateway
// that runs.
func TestARunningGatewayNoticesWhatIsGone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		for range 3 {
			write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		}
		h := runHerald(t, l)
		lost := heads(t, l)
		h.await(t, "it has seen the end", func() bool { return h.last() == lost.String() })
		writeTable(t, db, readTable(t, db)[:2])
		h.await(t, "it is noticed", func() bool {
			return strings.Contains(h.log.String(), "level=ERROR") && strings.Contains(h.log.String(), lost.String())
		})
		families, err := h.registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("%v, %v", families, err)
		}
		want(t, "with the head that was logged", verify(t, l, lost), audit.CutOff, 1, 3)
	})
}

// The end is cut off after the heads have been read and before they are compared: it is reported once all the same, and
// what is left is watched on.
func TestACutBesideAHeraldIsReportedOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l, registry := newLog(db), prometheus.NewRegistry()
		for range 4 {
			write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		}
		h := audit.NewHerald(audit.HeraldConfig{Log: l, Registerer: registry, Logger: slog.New(slog.DiscardHandler)})
		check := func(read audit.Heads, want float64) {
			t.Helper()
			if err := h.Check(t.Context(), read); err != nil {
				t.Fatal(err)
			}
			families, err := registry.Gather()
			if err != nil || families[0].GetMetric()[0].GetCounter().GetValue() != want {
				t.Errorf("want %v reports: %v, %v", want, families, err)
			}
		}
		read := heads(t, l)
		check(read, 0)
		writeTable(t, db, readTable(t, db)[:3])
		check(read, 1)
		check(heads(t, l), 1)
		writeTable(t, db, readTable(t, db)[:2])
		check(heads(t, l), 2)
	})
}
