package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/egress"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

// office is the part of a gateway that delivers, with a clock that can be set forward.
type office struct {
	*webhooks.Deliveries
	t         testing.TB
	db        *sqldb.DB
	log       *events.Log
	endpoints *webhooks.Endpoints
	registry  *prometheus.Registry
	lines     *lines
	clock     *ahead
	stop      func() // of the deliveries
	stopLog   func()
}

// ahead is the real clock, set forward.
type ahead struct{ offset atomic.Int64 }

func (c *ahead) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *ahead) forward(d time.Duration) { c.offset.Add(int64(d)) }

// newOffice opens one on a database and runs it; others on the same one are other replicas.
func newOffice(t *testing.T, db *sqldb.DB, keyset string) *office {
	t.Helper()
	o := &office{t: t, db: db, lines: &lines{}, registry: prometheus.NewRegistry(), clock: &ahead{}}
	logger := slog.New(slog.NewTextHandler(o.lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v, err := vault.Load(t.Context(), keyset, db.Writer(), true)
	must(t, err)
	o.log, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: o.registry, Log: logger})
	must(t, err)
	o.endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: db, Log: o.log, Vault: v, Judge: func(*url.URL) error { return nil }, Audit: auditLog(db, o.log), Logger: logger, Now: o.clock.now,
	})
	client, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(t, err)
	t.Cleanup(client.Close)
	o.Deliveries, err = webhooks.NewDeliveries(t.Context(), webhooks.DeliveriesConfig{
		DB: db, Log: o.log, Endpoints: o.endpoints, Post: client.Post, Registerer: o.registry, Logger: logger, Now: o.clock.now,
	})
	must(t, err)
	o.stopLog = run(t, o.log.Run)
	o.stop = run(t, o.Run)
	return o
}

// endpoint makes one that wants everything that is said of the account hX9aQ2.
func (o *office) endpoint(to string, change ...func(*webhooks.EndpointRequest)) (*webhooks.Endpoint, standardwebhooks.Secret) {
	o.t.Helper()
	q := webhooks.EndpointRequest{URL: webhooks.Give(to), Subjects: webhooks.Give([]string{"gatehouse.event.hX9aQ2.>"})}
	for _, f := range change {
		f(&q)
	}
	e, secret, err := o.endpoints.Create(o.t.Context(), q, webhooks.Limits{})
	must(o.t, err)
	return e, secret
}

func ordered(q *webhooks.EndpointRequest) { q.Ordered = webhooks.Give(true) }

// say says so many things, each in a commit of its own, and returns their ids.
func (o *office) say(n int) []string { return o.sayOf("hX9aQ2", n) }

func (o *office) sayOf(account string, n int) []string {
	o.t.Helper()
	var ids []string
	for i := range n {
		topic := events.EventTopic(account, events.Class{Class: "access", Name: "granted"})
		m, err := events.NewMessage(topic, o.clock.now(), json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))).Encode()
		must(o.t, err)
		must(o.t, o.log.Do(o.t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil }))
		ids = append(ids, m.ID)
	}
	return ids
}

// sayAtOnce says so many things in one commit.
func (o *office) sayAtOnce(n int) []string {
	o.t.Helper()
	var ids []string
	var all []events.Encoded
	for i := range n {
		topic := events.EventTopic("hX9aQ2", events.Class{Class: "access", Name: "granted"})
		m, err := events.NewMessage(topic, o.clock.now(), json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))).Encode()
		must(o.t, err)
		all, ids = append(all, m), append(ids, m.ID)
	}
	must(o.t, o.log.Do(o.t.Context(), func(_ context.Context, tx *events.Tx) error {
		for _, m := range all {
			tx.Append(m)
		}
		return nil
	}))
	return ids
}

func (o *office) count(query string, args ...any) int64 {
	o.t.Helper()
	var n int64
	must(o.t, o.db.Get(o.t.Context(), &n, query, args...))
	return n
}

// delivery reads one; it is empty until the message is fanned out.
func (o *office) delivery(message string, e *webhooks.Endpoint) webhooks.Delivery {
	o.t.Helper()
	d, err := o.Get(o.t.Context(), message+"."+e.ID, webhooks.Limits{})
	if !errors.Is(err, webhooks.ErrNoDelivery) {
		must(o.t, err)
	}
	return d
}

// forward sets the clock to a delivery's next attempt, if it waits for one. While one is under way the clock must not be set:
// the attempt would outlive its lease, and the endpoint be disabled for having failed for days.
func (o *office) forward(message string, e *webhooks.Endpoint) {
	o.t.Helper()
	if wait := o.delivery(message, e).NextAttemptAt.Sub(o.clock.now()); wait > 0 {
		o.clock.forward(wait + time.Second)
		must(o.t, o.Look(o.t.Context()))
	}
}

// settled waits until nothing is on its way any more.
func (o *office) settled() {
	o.t.Helper()
	await(o.t.(*testing.T), "nothing waits", func() bool {
		return o.count(`SELECT COUNT(*) FROM writers w WHERE w.head > COALESCE((SELECT seq FROM delivery_cursors c WHERE c.writer = w.id), 0)`) == 0 &&
			o.count(`SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'`) == 0
	})
}

// hit is a request as an endpoint gets it.
type hit struct {
	id     string
	header http.Header
	body   []byte
	at     time.Time
}

// bms is a building-management system: it takes notes of what comes, and answers as it is told.
type bms struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	now    atomic.Int64 // requests under way
	most   atomic.Int64

	mu   sync.Mutex
	hits []hit
}

func newBMS(t testing.TB) *bms {
	b := &bms{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := b.now.Add(1)
		defer b.now.Add(-1)
		for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.hits = append(b.hits, hit{r.Header.Get("webhook-id"), r.Header.Clone(), body, time.Now()})
		b.mu.Unlock()
		if answer := b.answer.Load(); answer != nil {
			(*answer)(w, r)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// answers has it answer so from now on.
func (b *bms) answers(f http.HandlerFunc) { b.answer.Store(&f) }

func (b *bms) says(status int) {
	b.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func (b *bms) got() []hit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]hit(nil), b.hits...)
}

func (b *bms) ids() []string {
	var ids []string
	for _, h := range b.got() {
		ids = append(ids, h.id)
	}
	return ids
}

// times counts how often each message came.
func (b *bms) times() map[string]int {
	n := map[string]int{}
	for _, id := range b.ids() {
		n[id]++
	}
	return n
}
