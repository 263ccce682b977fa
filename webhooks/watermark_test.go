package webhooks_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// shelf is DoorFlow's list of one account's events, five to a page.
type shelf struct {
	mu     sync.Mutex
	events map[int]time.Time
	totals bool
	// before is called with the number of each request to the list, counted from the last look.
	before func(n int) (status int)
	asked  int
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/api/3/events/")); err == nil {
		fmt.Fprint(w, entry(id, s.events[id]))
		return
	}
	s.asked++
	if status := s.before(s.asked); status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
	page, err2 := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || err2 != nil || r.URL.Query().Get("sort") != "ASC" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ids := slices.Collect(maps.Keys(s.events))
	ids = slices.DeleteFunc(ids, func(id int) bool { return s.events[id].Before(since) })
	slices.SortFunc(ids, func(a, b int) int { return cmp.Or(s.events[a].Compare(s.events[b]), a-b) })
	if s.totals {
		w.Header().Set("Total", strconv.Itoa(len(ids)))
	}
	const size = 5
	var entries []string
	for _, id := range ids[min(len(ids), (page-1)*size):min(len(ids), page*size)] {
		entries = append(entries, entry(id, s.events[id]))
	}
	fmt.Fprint(w, listOf(entries...))
}

// world is one account's story in the model.
type world struct {
	*shelf
	account  string
	clock    *clock
	webhooks int // that came
	nextID   int
	last     time.Time // the watermark as it last stood
}

func (w *world) happen(at time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextID++
	w.events[w.nextID] = at.Truncate(time.Millisecond)
	return w.nextID
}

// In whatever order events happen, are uploaded late, are brought by webhooks or by catching up, and
// whatever fails or dies on the way: each is said exactly once, each webhook is acknowledged, and the
// watermark never goes back nor ahead of what was said.
func TestCatchupInAnyOrder(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db, func(c *webhooks.ReceiverConfig) { c.Connected = func(string) bool { return true } })
		s := &shelf{}
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		config := func(c *webhooks.FetcherConfig) {
			c.API, c.Client, c.PerSecond = doorflow.API{Base: api(t, server.URL)}, func(string) *http.Client { return server.Client() }, 1000
		}
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			w := &world{shelf: s, account: fmt.Sprint("any", round), clock: &clock{now: time.Now()}, nextID: round * 10000}
			s.events, s.totals, s.before = map[int]time.Time{}, rapid.Bool().Draw(r, "totals"), func(int) int { return 200 }
			const insert = `INSERT INTO connections (account, status, created_at, connected_at) VALUES (?, 'active', 0, ?)`
			g.set(t, insert, w.account, w.clock.Now().UnixMilli())
			// Two processes; either may die and start anew.
			processes := make([]*webhooks.Catchup, 2)
			start := func(i int) { processes[i] = newCatchup(t, g, nothing(t), config, w.clock.use) }
			start(0)
			start(1)
			w.begin(t, g, processes[0])     // as the change that connects an account does
			w.clock.advance(72 * time.Hour) // so that there is room for what comes late
			r.Repeat(w.actions(t, g, processes, start))
			w.finish(t, r, g, processes[0])
		})
	})
}

func (w *world) actions(t *testing.T, g *gateway, processes []*webhooks.Catchup, start func(int)) map[string]func(*rapid.T) {
	pick := rapid.IntRange(0, 1)
	return map[string]func(*rapid.T){
		"events happen": func(r *rapid.T) {
			for range rapid.IntRange(1, 12).Draw(r, "n") {
				w.happen(w.clock.Now().Add(-time.Duration(rapid.IntRange(0, 10_000).Draw(r, "ms ago")) * time.Millisecond))
			}
		},
		"an event is uploaded late": func(r *rapid.T) {
			w.happen(w.clock.Now().Add(-time.Duration(rapid.IntRange(0, 47*60).Draw(r, "minutes ago")) * time.Minute))
		},
		"a webhook comes": func(r *rapid.T) {
			w.mu.Lock()
			ids := slices.Sorted(maps.Keys(w.events))
			w.mu.Unlock()
			if len(ids) == 0 {
				r.Skip()
			}
			id := rapid.SampledFrom(ids).Draw(r, "event")
			item := strings.ReplaceAll(eventItem(id, fmt.Sprint("ack", w.webhooks)), `"hX9aQ2"`, strconv.Quote(w.account))
			w.webhooks++
			for range rapid.IntRange(1, 2).Draw(r, "times") {
				g.take(t, item)
			}
		},
		"webhooks are fetched": func(r *rapid.T) {
			processes[pick.Draw(r, "process")].Fetcher.Drain(t.Context(), w.account)
		},
		"a look": func(r *rapid.T) {
			w.look(t, r, processes[pick.Draw(r, "process")])
		},
		"a process dies": func(r *rapid.T) {
			start(pick.Draw(r, "process"))
		},
		"the connection is lost and made again": func(*rapid.T) {
			g.set(t, `UPDATE connections SET status = 'reauthorize' WHERE account = ?`, w.account)
			processes[0].Visit(t.Context(), w.account, true)
			g.set(t, `UPDATE connections SET status = 'active' WHERE account = ?`, w.account)
			w.begin(t, g, processes[0])
		},
		"time passes": func(r *rapid.T) {
			w.clock.advance(time.Duration(rapid.IntRange(1, 8*60).Draw(r, "minutes")) * time.Minute)
		},
		"": func(r *rapid.T) { w.check(t, r, g) },
	}
}

func (w *world) begin(t *testing.T, g *gateway, c *webhooks.Catchup) {
	err := g.log.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error { return c.Begin(ctx, tx, w.account) })
	if err != nil {
		t.Fatal(err)
	}
}

// look is one that may be broken off by an answer, by the end of the process, or be disturbed by what
// happens between two pages.
func (w *world) look(t *testing.T, r *rapid.T, c *webhooks.Catchup) {
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	at := rapid.IntRange(1, 6).Draw(r, "page")
	fault := rapid.SampledFrom([]string{"", "", "", "fails", "dies", "late", "more"}).Draw(r, "fault")
	late := w.clock.Now().Add(-time.Duration(rapid.IntRange(0, 120).Draw(r, "minutes ago")) * time.Minute)
	w.mu.Lock()
	w.asked = 0
	w.before = func(n int) int {
		switch {
		case fault == "late" && n == at:
			w.nextID++
			w.events[w.nextID] = late.Truncate(time.Millisecond)
		case fault == "more":
			w.nextID++
			w.events[w.nextID] = w.clock.Now().Truncate(time.Millisecond)
			fault = ""
		case fault == "fails" && n == at:
			return http.StatusInternalServerError
		case fault == "dies" && n == at:
			kill()
		}
		return http.StatusOK
	}
	w.mu.Unlock()
	c.Visit(ctx, w.account, true)
	w.mu.Lock()
	w.before = func(int) int { return http.StatusOK }
	w.mu.Unlock()
}

// said is how often each event was said.
func (w *world) said(t *testing.T, g *gateway) map[int]int {
	var all []string
	const query = `SELECT body FROM messages WHERE account = ? AND subject LIKE 'gatehouse.event.%'`
	if err := g.db.Select(t.Context(), &all, query, w.account); err != nil {
		t.Fatal(err)
	}
	said := map[int]int{}
	for _, body := range all {
		_, rest, _ := strings.Cut(body, `"subject":"events/`)
		id, _, _ := strings.Cut(rest, `"`)
		n, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(body)
		}
		said[n]++
	}
	return said
}

func (w *world) check(t *testing.T, r *rapid.T, g *gateway) {
	said := w.said(t, g)
	for id, n := range said {
		if n > 1 {
			r.Fatalf("event %d was said %d times", id, n)
		}
	}
	if g.count(t, `SELECT COUNT(*) FROM catchup WHERE account = ?`, w.account) == 0 {
		return
	}
	mark := time.UnixMilli(int64(g.count(t, `SELECT watermark FROM catchup WHERE account = ?`, w.account)))
	if mark.Before(w.last) {
		r.Fatalf("the watermark went from %v back to %v", w.last, mark)
	}
	newest := mark
	if w.last = mark; g.count(t, `SELECT COUNT(*) FROM catchup WHERE account = ? AND watermark > since_at`, w.account) == 1 {
		newest = time.Time{}
		for id := range said {
			if at := w.events[id]; at.After(newest) {
				newest = at
			}
		}
	}
	if mark.After(newest) {
		r.Fatalf("the watermark stands at %v, the newest event that was said is of %v", mark, newest)
	}
}

func (w *world) finish(t *testing.T, r *rapid.T, g *gateway, c *webhooks.Catchup) {
	w.clock.advance(24 * time.Hour)
	await(t, "everything has been compared and fetched", func() bool {
		c.Visit(t.Context(), w.account, true)
		c.Fetcher.Drain(t.Context(), w.account)
		return g.count(t, `SELECT COUNT(*) FROM catchup WHERE account = ? AND looked_at = ?`, w.account, w.clock.Now().UnixMilli()) == 1 &&
			g.count(t, `SELECT COUNT(*) FROM notifications WHERE account = ? AND state <> 'done'`, w.account) == 0
	})
	w.check(t, r, g)
	said := w.said(t, g)
	for id, at := range w.events {
		if said[id] != 1 {
			r.Fatalf("event %d of %v ago was said %d times", id, w.clock.Now().Sub(at), said[id])
		}
	}
	if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE account = ?`, w.account); n != w.webhooks {
		r.Fatalf("%d notifications are stored, want %d", n, w.webhooks)
	}
}

// Where a look begins: a new connection at the moment it was made, one that was interrupted where it
// stood, one that was disconnected anew.
func TestCatchupBeginsWhereItShould(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		sim, config := simulated(t)
		clock := &clock{now: time.Now()}
		base := clock.Now()
		at := func(d time.Duration) func(int) time.Time { return func(int) time.Time { return base.Add(d) } }
		sim.EmitBatch(account, specs(2, at(-6*time.Minute)))
		g.connectedAt(t, base)
		catchup := newCatchup(t, g, nothing(t), config, clock.use)
		see := func(want int, what string) {
			t.Helper()
			catchup.Visit(t.Context(), account, true)
			if got := len(g.said(t)); got != want {
				t.Errorf("%s: %d events said, want %d", what, got, want)
			}
		}
		see(0, "what happened before is not ours")
		sim.EmitBatch(account, specs(2, at(-4*time.Minute)))
		see(2, "clocks differ a little")
		clock.advance(100 * time.Hour)
		sim.EmitBatch(account, specs(1, at(99*time.Hour)))
		see(3, "it goes on")

		// The connection is interrupted for three months.
		g.set(t, `UPDATE connections SET status = 'reauthorize'`)
		sim.EmitBatch(account, specs(1, at(101*time.Hour)))
		see(3, "nobody looks while it is interrupted")
		clock.advance(90 * 24 * time.Hour)
		g.set(t, `UPDATE connections SET status = 'active', connected_at = ?`, clock.Now().UnixMilli())
		begin := func() {
			t.Helper()
			if err := g.log.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error { return catchup.Begin(ctx, tx, account) }); err != nil {
				t.Fatal(err)
			}
		}
		begin()
		see(4, "it goes on where it stood")

		// It is disconnected and connected again.
		if err := g.log.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error { return catchup.Forget(ctx, tx, account) }); err != nil {
			t.Fatal(err)
		}
		g.set(t, `UPDATE connections SET status = 'disconnected'`)
		sim.EmitBatch(account, specs(1, func(int) time.Time { return clock.Now().Add(time.Hour) }))
		clock.advance(2 * time.Hour)
		g.set(t, `UPDATE connections SET status = 'active', connected_at = ?`, clock.Now().UnixMilli())
		begin()
		see(4, "what happened in between is not ours")
		sim.EmitBatch(account, specs(1, func(int) time.Time { return clock.Now() }))
		see(5, "it begins anew")
	})
}

// What a controller uploads late is found by the ordinary look for an hour, by the wide one for days.
func TestCatchupFindsWhatIsUploadedLate(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	sim, config := simulated(t)
	clock := &clock{now: time.Now()}
	g.connectedAt(t, clock.Now().Add(-96*time.Hour))
	catchup := newCatchup(t, g, nothing(t), config, clock.use)
	see := func(want int, what string) {
		t.Helper()
		catchup.Visit(t.Context(), account, true)
		if got := len(g.said(t)); got != want {
			t.Errorf("%s: %d events said, want %d", what, got, want)
		}
	}
	upload := func(ago time.Duration) {
		sim.EmitBatch(account, specs(1, func(int) time.Time { return clock.Now().Add(-ago) }))
	}
	upload(0)
	see(1, "the first look")
	clock.advance(10 * time.Minute)
	upload(0)
	upload(50 * time.Minute)
	see(3, "within the overlap")
	upload(5 * time.Hour)
	upload(47 * time.Hour)
	clock.advance(10 * time.Minute)
	see(3, "beyond the overlap")
	for range 24 * 6 {
		clock.advance(10 * time.Minute)
		catchup.Visit(t.Context(), account, false)
	}
	see(5, "a day later")
	requests := sim.Stats().Requests["GET /api/3/events"]
	if requests > 24*6+5 {
		t.Errorf("asked %d times", requests)
	}
	// After a time without looks the first one is wide.
	upload(30 * time.Hour)
	clock.advance(21 * time.Minute)
	see(6, "after a while without looks")
}
