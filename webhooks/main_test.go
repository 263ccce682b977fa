package webhooks_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(sqldbtest.Tests{M: m}, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

const secret = "whsec_demo_5f1c2a7e9b"

// gateway is the part of a gateway that takes webhooks.
type gateway struct {
	db       *sqldb.DB
	log      *events.Log
	receiver *webhooks.Receiver
	registry *prometheus.Registry
	lines    *lines
	stop     func() // of the log

	mu      sync.Mutex
	arrived []string
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// run starts a component and returns what stops it and waits for it.
func run(t *testing.T, component func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := component(ctx); err != nil {
			t.Errorf("component ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// open makes a gateway on a database; change may alter what its receiver is made of.
func open(t *testing.T, db *sqldb.DB, change ...func(*webhooks.ReceiverConfig)) *gateway {
	t.Helper()
	g := &gateway{db: db, registry: prometheus.NewRegistry(), lines: &lines{}}
	var err error
	if g.log, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: quiet}); err != nil {
		t.Fatal(err)
	}
	c := webhooks.ReceiverConfig{
		DB: db, Log: g.log, API: api(t, "https://api.doorflow.com"),
		Verifier:  &doorflow.Verifier{Secrets: [][]byte{[]byte(secret)}, Tolerance: 5 * time.Minute},
		Connected: func(account string) bool { return account == "hX9aQ2" },
		Arrived: func(account string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.arrived = append(g.arrived, account)
		},
		Registerer: g.registry, Logger: slog.New(slog.NewJSONHandler(g.lines, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	if g.receiver, err = webhooks.NewReceiver(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g.stop = run(t, g.log.Run)
	return g
}

func api(t *testing.T, base string) *url.URL {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// signed is a request as DoorFlow sends it.
func signed(body string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/webhooks/doorflow", strings.NewReader(body))
	sign(req.Header, body)
	return req
}

func sign(h http.Header, body string) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	h.Set(doorflow.TimestampHeader, timestamp)
	h.Set(doorflow.SignatureHeader, doorflow.Sign([]byte(secret), timestamp, []byte(body)))
}

// deliver hands a request to the receiver. Without an error it was answered 200.
func (g *gateway) deliver(t *testing.T, req *http.Request) error {
	t.Helper()
	rec := httptest.NewRecorder()
	err := g.receiver.Handle(echo.New().NewContext(req, rec))
	if err == nil && rec.Code != http.StatusOK {
		t.Errorf("answered %d without an error", rec.Code)
	}
	return err
}

// take delivers bodies that must be answered 200.
func (g *gateway) take(t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := g.deliver(t, signed(body)); err != nil {
			t.Fatalf("%v\n%.300s", err, body)
		}
	}
}

// count is the answer to a SELECT COUNT.
func (g *gateway) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := g.db.Get(t.Context(), &n, query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

// bodies returns what has been said on the subjects that begin so.
func (g *gateway) bodies(t *testing.T, subject string) []string {
	t.Helper()
	asDescribed(t, g.db, subject)
	var all []string
	if err := g.db.Select(t.Context(), &all, `SELECT body FROM messages WHERE subject LIKE ? ORDER BY writer, seq`, subject+"%"); err != nil {
		t.Fatal(err)
	}
	return all
}

// await waits until a condition holds. It looks often; nothing depends on how often.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// metrics returns the counters of a registry by name and label values.
func metrics(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			all[family.GetName()+"{"+strings.Join(values, ",")+"}"] = m.GetCounter().GetValue()
		}
	}
	return all
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
