package webhooks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// told are the messages about the account's silence, oldest first.
func (g *gateway) told(t *testing.T) (all []map[string]any) {
	t.Helper()
	bodies := g.bodies(t, "gatehouse.connection."+account+".")
	slices.SortFunc(bodies, func(a, b string) int { return strings.Compare(idOf(a), idOf(b)) })
	for _, body := range bodies {
		var m events.Message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		var data map[string]any
		if err := json.Unmarshal(m.Data, &data); err != nil {
			t.Fatal(err)
		}
		if m.Type != "gatehouse.connection."+data["status"].(string) || m.Account != account {
			t.Errorf("said %s", body)
		}
		all = append(all, data)
	}
	return all
}

// idOf is a message's id. They rise with the time.
func idOf(body string) string {
	_, id, _ := strings.Cut(body, `"id":"`)
	return id
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

func (c *clock) use(config *webhooks.CatchupConfig) { config.Now = c.Now }

// An account falls silent and resumes: each is said once, whichever replica notices and however often they
// are started anew, with how many events the webhooks should have brought.
func TestSilenceIsSaidOncePerEpisode(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		replicas := []*gateway{open(t, db), open(t, db)}
		g := replicas[0]
		sim, config := simulated(t)
		clock := &clock{now: time.Now()}
		g.connectedAt(t, clock.Now().Add(-time.Hour))
		g.take(t, eventItem(1, "Qk7rT2xL1")) // the account is heard of now
		visit := func() {
			t.Helper()
			var looking sync.WaitGroup
			for _, r := range replicas {
				c := newCatchup(t, r, nothing(t), config, clock.use)
				c.Visit(t.Context(), account, true) // after the start it only listens
				clock.advance(webhooks.ListenFirst)
				looking.Go(func() { c.Visit(t.Context(), account, false); c.Visit(t.Context(), account, true) })
			}
			looking.Wait()
		}
		for episode := 1; episode <= 2; episode++ {
			visit()
			if told := g.told(t); len(told) != 2*episode-2 {
				t.Fatalf("told %v although the account is not silent", told)
			}
			sim.EmitBatch(account, specs(3, func(i int) time.Time { return time.Now() }))
			clock.advance(24 * time.Hour)
			visit()
			visit()
			told := g.told(t)
			if len(told) != 2*episode-1 {
				t.Fatalf("told %v, want the silence once", told)
			}
			last := told[len(told)-1]
			if last["status"] != "silent" || last["check"] != "ok" || last["events_found"] != 3.0 || last["last_webhook_at"] == nil ||
				last["silent_since"] != last["last_webhook_at"] {
				t.Errorf("told %v", last)
			}
			if n := g.count(t, `SELECT COUNT(*) FROM catchup WHERE silent_since > 0`); n != 1 {
				t.Error("the silence is not shown")
			}
			// The replica that gets the next webhook ends it. Its own memory of the last one may be old.
			other := open(t, db)
			g.set(t, `UPDATE webhook_seen SET at = at - 1`)
			other.take(t, eventItem(100+episode, fmt.Sprintf("Qk7rT2x%02d", episode)), eventItem(200+episode, fmt.Sprintf("Qk7rT2y%02d", episode)))
			told = g.told(t)
			if len(told) != 2*episode || told[len(told)-1]["status"] != "resumed" || told[len(told)-1]["silent_since"] != last["silent_since"] {
				t.Fatalf("told %v, want that it resumed, once", told)
			}
			if n := g.count(t, `SELECT COUNT(*) FROM catchup WHERE silent_since > 0`); n != 0 {
				t.Error("the silence is still shown")
			}
			// What the gateways' clocks say is where the next episode begins.
			g.set(t, `UPDATE webhook_seen SET at = ?`, clock.Now().UnixMilli())
		}
	})
}

func TestSilenceTellsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name, check string
		answer      func(*http.Request, http.ResponseWriter) (int, string)
		change      func(*webhooks.FetcherConfig)
		said        bool
	}{
		{"nothing happened", "ok", always(200, "[]"), fast, true},
		{"DoorFlow is not well", "failed", always(503, ""), fast, true},
		{"DoorFlow is away", "unreachable", nil, func(c *webhooks.FetcherConfig) {
			c.API = doorflow.API{Base: mustParse("http://127.0.0.1:9")}
		}, true},
		{"DoorFlow refuses", "forbidden", always(403, ""), fast, true},
		{"DoorFlow talks nonsense", "odd", always(200, "<html>"), fast, true},
		{"the connection needs a person", "", nil, func(c *webhooks.FetcherConfig) {
			c.Client = func(string) *http.Client { return &http.Client{Transport: unusable{&atomicCount{}}} }
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := open(t, sqldbtest.SQLite(t))
			if tt.answer == nil {
				tt.answer = always(500, "")
			}
			clock := &clock{now: time.Now()}
			g.connectedAt(t, clock.Now().Add(-48*time.Hour))
			if !tt.said { // the keeper has noticed meanwhile
				change := tt.change
				tt.change = func(c *webhooks.FetcherConfig) {
					change(c)
					c.Unusable = func(error) bool {
						g.set(t, `UPDATE connections SET status = 'reauthorize'`)
						return true
					}
				}
			}
			catchup := newCatchup(t, g, newCloud(t, tt.answer), tt.change, clock.use)
			catchup.Visit(t.Context(), account, false)
			if told := g.told(t); len(told) != 0 {
				t.Fatalf("told %v at once after the start", told)
			}
			clock.advance(webhooks.ListenFirst)
			catchup.Visit(t.Context(), account, false)
			told := g.told(t)
			if !tt.said {
				if len(told) != 0 {
					t.Errorf("told %v", told)
				}
				return
			}
			if len(told) != 1 || told[0]["check"] != tt.check || told[0]["events_found"] != 0.0 || told[0]["last_webhook_at"] != nil {
				t.Fatalf("told %v, want check %s", told, tt.check)
			}
		})
	}
}

func TestSilenceCanBeOff(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	clock := &clock{now: time.Now()}
	g.connectedAt(t, clock.Now().Add(-48*time.Hour))
	catchup := newCatchup(t, g, newCloud(t, always(200, "[]")), fast, clock.use, func(c *webhooks.CatchupConfig) { c.Silence = 0 })
	for range 3 {
		catchup.Visit(t.Context(), account, true)
		clock.advance(30 * 24 * time.Hour)
	}
	if told := g.told(t); len(told) != 0 {
		t.Errorf("told %v", told)
	}
}

// A webhook that comes while the silence is being noted ends it at the next call.
func TestSilenceHeals(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.connectedAt(t, time.Now().Add(-time.Hour))
		catchup := newCatchup(t, g, newCloud(t, always(200, "[]")), fast)
		catchup.Visit(t.Context(), account, true)
		now := time.Now()
		g.set(t, `UPDATE catchup SET silent_since = ?`, now.Add(-2*time.Minute).UnixMilli())
		g.set(t, `INSERT INTO webhook_seen (account, at) VALUES (?, ?)`, account, now.Add(-time.Minute).UnixMilli())
		catchup.Visit(t.Context(), account, true)
		if told := g.told(t); len(told) != 1 || told[0]["status"] != "resumed" {
			t.Errorf("told %v", told)
		}
		catchup.Visit(t.Context(), account, true)
		if told := g.told(t); len(told) != 1 {
			t.Errorf("told %v", told)
		}
		if strings.Contains(g.lines.String(), `"level":"ERROR"`) {
			t.Error(g.lines)
		}
	})
}

// What is next is due when the account will have been silent for too long, if that is sooner.
func TestSilenceIsNoticedInTime(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	sim, config := simulated(t)
	_ = sim.Emit(account, doorflowsim.EventSpec{Code: 10, NoWebhook: true})
	clock := &clock{now: time.Now()}
	g.connectedAt(t, clock.Now())
	catchup := newCatchup(t, g, nothing(t), config, clock.use, func(c *webhooks.CatchupConfig) {
		c.Every, c.Silence = 24*time.Hour, 5*time.Minute
	})
	catchup.Visit(t.Context(), account, true)
	if wait := catchup.Due(account).Sub(clock.Now()); wait > 5*time.Minute+time.Second {
		t.Fatalf("called on again in %v", wait)
	}
	clock.advance(5*time.Minute + time.Second)
	catchup.Visit(t.Context(), account, false)
	if told := g.told(t); len(told) != 1 || told[0]["status"] != "silent" {
		t.Errorf("told %v", told)
	}
}
