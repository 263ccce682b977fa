package webhooks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// At the start, and when a connection becomes active again.
func TestCatchupRunsOnItsOwn(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		sim, config := simulated(t)
		g.connectedAt(t, time.Now().Add(-time.Hour))
		emit := func() { sim.EmitBatch(account, specs(2, func(int) time.Time { return time.Now() })) }
		emit()
		var away atomic.Bool
		catchup := newCatchup(t, g, nothing(t), func(c *webhooks.FetcherConfig) {
			config(c)
			c.Active = func(context.Context) ([]string, error) {
				if away.Load() {
					return nil, nil
				}
				return []string{account}, nil
			}
		})
		run(t, catchup.Run)
		await(t, "what happened before the start is found", func() bool { return len(g.said(t)) == 2 })
		away.Store(true)
		catchup.Activated(account) // it looks, and sees that the account is gone
		emit()
		away.Store(false)
		catchup.Activated(account)
		await(t, "what happened meanwhile is found", func() bool { return len(g.said(t)) == 4 })
		await(t, "the gauges are set", func() bool { return g.count(t, `SELECT COUNT(*) FROM catchup WHERE looked_at > 0`) == 1 })
	})
}

// While DoorFlow's list hangs, webhooks are fetched as ever, and the gateway stops at once.
func TestCatchupHoldsNothingUp(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.connectedAt(t, time.Now().Add(-time.Hour))
	hanging := make(chan struct{}, 10)
	c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
		if r.URL.Path == "/api/3/events" {
			hanging <- struct{}{}
			<-r.Context().Done()
			return 500, ""
		}
		return eventAnswer(r, w)
	})
	catchup := newCatchup(t, g, c, func(*webhooks.FetcherConfig) {})
	run(t, catchup.Fetcher.Run)
	stop := run(t, catchup.Run)
	<-hanging
	for i := range 20 {
		g.take(t, eventItem(i, fmt.Sprintf("ack%05d", i)))
		catchup.Fetcher.Arrived(account)
	}
	await(t, "the webhooks are fetched", func() bool { return g.states(t)["done"] == 20 })
	started := time.Now()
	stop()
	if took := time.Since(started); took > 8*time.Second { // a list may take fifteen
		t.Errorf("it took %v to stop", took)
	}
}

// Several replicas, one account: one of them at a time asks for its list, and the next leaves out what
// another has just done.
func TestCatchupIsDoneByOneReplicaAtATime(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.connectedAt(t, time.Now().Add(-time.Hour))
		var mu sync.Mutex
		asking, most := 0, 0
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
			mu.Lock()
			asking++
			most = max(most, asking)
			mu.Unlock()
			select { // slow enough that they would overlap
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
			mu.Lock()
			asking--
			mu.Unlock()
			w.Header().Set("Total", "1")
			return 200, listOf(entry(1, time.Now()))
		})
		var replicas []*webhooks.Catchup
		for range 3 {
			replicas = append(replicas, newCatchup(t, open(t, db), c, fast))
		}
		var looking sync.WaitGroup
		for _, r := range replicas {
			looking.Go(func() {
				for range 5 {
					r.Visit(t.Context(), account, true)
				}
			})
		}
		looking.Wait()
		if asked := len(c.asked()); most != 1 || asked == 0 {
			t.Errorf("asked %d times, %d at once", asked, most)
		}
		fresh := newCatchup(t, open(t, db), c, fast)
		before := len(c.asked())
		for range 3 {
			fresh.Visit(t.Context(), account, false)
		}
		if asked := len(c.asked()); asked != before {
			t.Errorf("asked %d times more although another replica has just looked", asked-before)
		}
		if said := g.said(t); len(said) != 1 {
			t.Errorf("said %v", said)
		}
	})
}

// The list and the fetches share the account's pace.
func TestCatchupKeepsThePace(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	sim, config := simulated(t)
	now := time.Now()
	g.connectedAt(t, now.Add(-time.Hour))
	sim.EmitBatch(account, specs(14, func(int) time.Time { return now }))
	sim.Faults().PageLimit(1)
	catchup := newCatchup(t, g, nothing(t), func(c *webhooks.FetcherConfig) { config(c); c.PerSecond = 5 })
	started := time.Now()
	catchup.Visit(t.Context(), account, true)
	if took := time.Since(started); took < 2*time.Second {
		t.Errorf("14 pages in %v, which is more than five a second", took)
	}
	if got := len(g.said(t)); got != 14 {
		t.Errorf("%d events said", got)
	}
	if n := g.count(t, `SELECT COUNT(*) FROM leases WHERE name = 'fetch/`+account+`'`); n != 1 {
		t.Error("another replica may begin with a burst of its own at once")
	}
}

// A DoorFlow that repeats what it was sent gets nothing of it into a log, an error or a message.
func TestCatchupShowsNoSecret(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.connectedAt(t, time.Now().Add(-time.Hour))
	const token = "at_plantedPLANTED"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secret := r.Header.Get("Authorization")
		w.Header().Set("Location", "http://127.0.0.1:9/?"+secret)
		switch r.URL.Query().Get("page") {
		case "1":
			fmt.Fprintf(w, `[{"id":1,"event_code":10,"created_at":%q,"credentials_number":"604219","event_label":"PIN 604219","access_token":%q}]`,
				time.Now().Format(time.RFC3339), secret)
		default:
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, `{"error":%q}`, secret)
		}
	}))
	defer server.Close()
	catchup := newCatchup(t, g, nothing(t), func(c *webhooks.FetcherConfig) {
		c.API = doorflow.API{Base: mustParse(server.URL)}
		c.Client = func(string) *http.Client { return &http.Client{Transport: bearer(token)} }
		c.PerSecond = 1000
	})
	catchup.Visit(t.Context(), account, true)
	g.ran(t, "failed", 1)
	if len(g.said(t)) != 1 {
		t.Fatal("the event was not said")
	}
	all := strings.Join(g.bodies(t, ""), "") + g.lines.String()
	for _, secret := range []string{"PLANTED", "604219"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q shows", secret)
		}
	}
}
