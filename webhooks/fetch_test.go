package webhooks_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// cloud answers for DoorFlow and remembers what it was asked.
type cloud struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
	inFlight int
	most     int
}

type request struct {
	at        time.Time
	path, ack string
}

// newCloud answers with what the function returns: a status and a body.
func newCloud(t *testing.T, answer func(r *http.Request, w http.ResponseWriter) (int, string)) *cloud {
	t.Helper()
	c := &cloud{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, request{time.Now(), r.URL.Path, r.URL.Query().Get("ack_token")})
		c.inFlight++
		c.most = max(c.most, c.inFlight)
		c.mu.Unlock()
		status, body := answer(r, w)
		c.mu.Lock()
		c.inFlight--
		c.mu.Unlock()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(c.Close)
	return c
}

// asked returns the requests so far.
func (c *cloud) asked() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// events answers for every event, with a card number in it.
func eventAnswer(r *http.Request, _ http.ResponseWriter) (int, string) {
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	return http.StatusOK, fmt.Sprintf(`{"id":%s,"event_code":11,"event_label":"Admitted with 604219","credentials_number":"604219","created_at":"2026-01-01T00:00:00.000Z","new":1}`, id)
}

func always(status int, body string) func(*http.Request, http.ResponseWriter) (int, string) {
	return func(*http.Request, http.ResponseWriter) (int, string) { return status, body }
}

var errNeedsPerson = errors.New("the connection needs a person")

// newFetcher makes a fetcher of a gateway; it is not running yet.
func newFetcher(t *testing.T, g *gateway, c *cloud, change ...func(*webhooks.FetcherConfig)) *webhooks.Fetcher {
	t.Helper()
	config := webhooks.FetcherConfig{
		DB: g.db, Log: g.log, API: doorflow.API{Base: api(t, c.URL)},
		Client:    func(string) *http.Client { return c.Client() },
		Active:    func(context.Context) ([]string, error) { return []string{"hX9aQ2"}, nil },
		Unusable:  func(err error) bool { return errors.Is(err, errNeedsPerson) },
		Forbidden: func(context.Context, string, string) error { return nil },
		Numbers:   doorflow.Masked,
		Digest:    func(state []byte) []byte { sum := sha256.Sum256(state); return sum[:] },
		// Each fetcher is a process's own.
		Registerer: prometheus.NewRegistry(), Logger: quiet,
	}
	for _, f := range change {
		f(&config)
	}
	return webhooks.NewFetcher(config)
}

// settled waits until no notification is due, and returns how many are in each state.
func (g *gateway) settled(t *testing.T) map[string]int {
	t.Helper()
	await(t, "nothing is due any more", func() bool {
		return g.count(t, `SELECT COUNT(*) FROM notifications WHERE state = 'open' AND due_at <= ?`, time.Now().UnixMilli()) == 0
	})
	return g.states(t)
}

func (g *gateway) states(t *testing.T) map[string]int {
	t.Helper()
	var rows []struct {
		State string
		N     int
	}
	if err := g.db.Select(t.Context(), &rows, `SELECT state, COUNT(*) AS n FROM notifications GROUP BY state`); err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, r := range rows {
		states[r.State] = r.N
	}
	return states
}

func TestFetcherSaysAnEventOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		c := newCloud(t, eventAnswer)
		g.take(t, eventItem(700000001, "Qk7rT2xL1"), eventItem(700000001, "Qk7rT2xL2"))
		run(t, newFetcher(t, g, c).Run)
		if got := g.settled(t); got["done"] != 2 {
			t.Fatalf("states %v", got)
		}
		var acks []string
		for _, r := range c.asked() {
			acks = append(acks, r.ack)
		}
		if slices.Sort(acks); !slices.Equal(acks, []string{"Qk7rT2xL1", "Qk7rT2xL2"}) {
			t.Errorf("acknowledged %q", acks)
		}
		said := g.bodies(t, "gatehouse.event.hX9aQ2.access.granted")
		if len(said) != 1 {
			t.Fatalf("said %s", said)
		}
		var m events.Message
		if err := json.Unmarshal([]byte(said[0]), &m); err != nil {
			t.Fatal(err)
		}
		const data = `{"created_at":"2026-01-01T00:00:00.000Z","credentials_number":"****","event_code":11,"event_label":"Admitted with ****","id":700000001,"new":1}`
		if string(m.Data) != data || m.Type != "gatehouse.event.access.granted" || m.Subject != "events/700000001" || m.Origin != "webhook" ||
			!m.Time.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("said %s", said[0])
		}
	})
}

func TestFetcherFetchesADoubleAgain(t *testing.T) {
	var f *webhooks.Fetcher
	g := open(t, sqldbtest.SQLite(t), func(c *webhooks.ReceiverConfig) { c.Arrived = func(account string) { f.Arrived(account) } })
	c := newCloud(t, eventAnswer)
	f = newFetcher(t, g, c)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	for want := 1; want <= 3; want++ {
		g.take(t, eventItem(1, "Qk7rT2xLp"))
		await(t, "the notification is fetched once more", func() bool { return len(c.asked()) == want && g.states(t)["done"] == 1 })
	}
	if said := g.bodies(t, "gatehouse.event."); len(said) != 1 {
		t.Errorf("said %d times", len(said))
	}
}

func credentialItem(action, ack string) string {
	return fmt.Sprintf(`{"action":"%s","resource":"https://api.doorflow.com/api/3/people/4821/credentials/R7mKd0P","resource_type":"PersonCredential",`+
		`"resource_id":"R7mKd0P","account_id":"hX9aQ2","ack_token":"%s"}`, action, ack)
}

// Notifications of a credential come in any order; only what is fetched counts.
func TestFetcherSaysWhatBecameOfACredential(t *testing.T) {
	t.Parallel()
	const first, second, gone = `{"id":"R7mKd0P","value":"604219","state":1}`, `{"id":"R7mKd0P","value":"604219","state":2}`, ""
	type step struct{ action, found string }
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"in order", []step{{"CREATE", first}, {"UPDATE", second}, {"DESTROY", gone}}, []string{"created", "updated", "destroyed"}},
		{"create and update see one state", []step{{"CREATE", second}, {"UPDATE", second}}, []string{"created"}},
		{"update comes first", []step{{"UPDATE", second}, {"CREATE", second}, {"DESTROY", gone}}, []string{"updated", "destroyed"}},
		{"create comes late", []step{{"UPDATE", first}, {"CREATE", second}}, []string{"updated", "updated"}},
		{"all after the end", []step{{"CREATE", gone}, {"DESTROY", gone}, {"UPDATE", gone}}, []string{"destroyed"}},
		{"destroyed twice", []step{{"DESTROY", gone}, {"DESTROY", gone}}, []string{"destroyed"}},
		{"still shown after the end", []step{{"CREATE", first}, {"DESTROY", second}, {"UPDATE", second}}, []string{"created", "destroyed"}},
		{"made anew", []step{{"CREATE", first}, {"DESTROY", gone}, {"CREATE", second}}, []string{"created", "destroyed", "created"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				g := open(t, db)
				found := make(chan string, 1)
				c := newCloud(t, func(*http.Request, http.ResponseWriter) (int, string) {
					if body := <-found; body != gone {
						return http.StatusOK, body
					}
					return http.StatusNotFound, `{"error":"not_found"}`
				})
				f := newFetcher(t, g, c)
				run(t, f.Run)
				for i, s := range tt.steps {
					found <- s.found
					g.take(t, credentialItem(s.action, fmt.Sprintf("Zt4wB8n%d", i)))
					f.Arrived("hX9aQ2")
					await(t, "the notification is settled", func() bool { return g.states(t)["done"]+g.states(t)["gone"] == i+1 })
				}
				var got []string
				for _, body := range g.bodies(t, "gatehouse.event.hX9aQ2.credential.") {
					var m events.Message
					if err := json.Unmarshal([]byte(body), &m); err != nil {
						t.Fatal(err)
					}
					got = append(got, strings.TrimPrefix(m.Type, "gatehouse.event.credential."))
					if strings.Contains(body, "604219") || m.Subject != "credentials/R7mKd0P" || !strings.Contains(string(m.Data), `"id":"R7mKd0P"`) {
						t.Errorf("said %s", body)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("said %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestFetcherSettles(t *testing.T) {
	header := func(name, value string, status int) func(*http.Request, http.ResponseWriter) (int, string) {
		return func(_ *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set(name, value)
			return status, `{"error":"x"}`
		}
	}
	for _, tt := range []struct {
		name        string
		answer      func(*http.Request, http.ResponseWriter) (int, string)
		attempts    int // before
		state       string
		least, most time.Duration // until it is due again
	}{
		{"gone", always(404, ""), 0, "gone", 0, 0},
		{"gone for good", always(410, ""), 0, "gone", 0, 0},
		{"forbidden", always(403, ""), 0, "parked", 0, 0},
		{"unauthorized", always(401, ""), 0, "open", time.Second, 2 * time.Second},
		{"server error", always(500, ""), 0, "open", time.Second, 2 * time.Second},
		{"server error, once more", always(502, ""), 3, "open", 8 * time.Second, 16 * time.Second},
		{"server error for long", always(503, ""), 50, "open", 5 * time.Minute, 10 * time.Minute},
		{"server error with a wish", header("Retry-After", "60", 503), 0, "open", time.Minute, time.Minute},
		{"server error with a wish for ever", header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", 503), 0, "open", time.Hour, time.Hour},
		{"rate limited", header("Retry-After", "30", 429), 0, "open", 30 * time.Second, 30 * time.Second},
		{"rate limited by the body", always(429, `{"error":"rate_limited","retry_in":40}`), 0, "open", 40 * time.Second, 40 * time.Second},
		{"rate limited for ever", header("Retry-After", "1e300", 429), 0, "open", time.Hour, time.Hour},
		{"not JSON", always(200, "<html>"), 0, "open", time.Second, 2 * time.Second},
		{"not JSON, again and again", always(200, "<html>"), 7, "parked", 0, 0},
		{"redirect", header("Location", "/", 302), 7, "parked", 0, 0},
		{"bad request", always(400, ""), 6, "open", time.Minute, 2*time.Minute + 8*time.Second},
		{"another event", always(200, `{"id":2}`), 0, "open", time.Second, 2 * time.Second},
		{"another event, again and again", always(200, `{"id":2}`), 7, "parked", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := open(t, sqldbtest.SQLite(t))
			c := newCloud(t, tt.answer)
			c.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			g.take(t, eventItem(1, "Qk7rT2xLp"))
			if _, err := g.db.Writer().ExecContext(t.Context(), `UPDATE notifications SET attempts = ?`, tt.attempts); err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			run(t, newFetcher(t, g, c).Run)
			await(t, "the answer is settled", func() bool { return g.count(t, `SELECT attempts FROM notifications`) == tt.attempts+1 })
			after := time.Now()
			if got := g.states(t); got[tt.state] != 1 {
				t.Fatalf("states %v, want %s", got, tt.state)
			}
			due := time.UnixMilli(int64(g.count(t, `SELECT due_at FROM notifications`)))
			if tt.state == "open" && (due.Before(before.Add(tt.least-time.Millisecond)) || due.After(after.Add(tt.most))) {
				t.Errorf("due in %v, want %v to %v", due.Sub(before), tt.least, tt.most)
			}
			if n := g.count(t, `SELECT COUNT(*) FROM messages WHERE subject LIKE 'gatehouse.event.%'`); n != 0 {
				t.Errorf("%d events said", n)
			}
			if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE error LIKE '%Qk7rT2xLp%'`); n != 0 {
				t.Error("the stored error holds the ack token")
			}
		})
	}
}

func TestFetcherResumesWhatWasParked(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		allowed := make(chan struct{})
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
			select {
			case <-allowed:
				return eventAnswer(r, w)
			default:
				return http.StatusForbidden, ""
			}
		})
		told := make(chan string, 10)
		f := newFetcher(t, g, c, func(c *webhooks.FetcherConfig) {
			c.Forbidden = func(_ context.Context, account, what string) error { told <- account + " " + what; return nil }
		})
		g.take(t, eventItem(1, "Qk7rT2xL1"), credentialItem("UPDATE", "Qk7rT2xL2"))
		run(t, f.Run)
		await(t, "both are parked", func() bool { return g.states(t)["parked"] == 2 })
		whats := []string{<-told, <-told}
		if slices.Sort(whats); !slices.Equal(whats, []string{"hX9aQ2 account.event.access.readonly", "hX9aQ2 account.person.readonly"}) {
			t.Errorf("told %q", whats)
		}
		close(allowed)
		err := g.log.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error { return f.Resume(ctx, tx, "hX9aQ2") })
		if err != nil {
			t.Fatal(err)
		}
		f.Activated("hX9aQ2")
		await(t, "the event is said", func() bool { return len(g.bodies(t, "gatehouse.event.hX9aQ2.access.granted")) == 1 })
	})
}

// After "too many requests" nobody asks for the account until DoorFlow wants it, other replicas included.
func TestFetcherLeavesDoorFlowAlone(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		var limited sync.Once
		var until time.Time
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (status int, body string) {
			status, body = eventAnswer(r, w)
			limited.Do(func() {
				until = time.Now().Add(3 * time.Second)
				w.Header().Set("Retry-After", "3")
				status = http.StatusTooManyRequests
			})
			return status, body
		})
		g.take(t, eventItem(1, "Qk7rT2xL1"))
		run(t, newFetcher(t, g, c).Run)
		await(t, "the wish is stored", func() bool { return g.count(t, `SELECT attempts FROM notifications`) == 1 })
		await(t, "the account is closed to others", func() bool {
			return g.count(t, `SELECT COUNT(*) FROM leases WHERE name = 'fetch/hX9aQ2' AND expires_at < ?`, time.Now().Add(5*time.Second).UnixMilli()) == 1
		})
		other := open(t, db)
		other.take(t, eventItem(2, "Qk7rT2xL2"), eventItem(3, "Qk7rT2xL3"))
		run(t, newFetcher(t, other, c).Run)
		await(t, "all are fetched", func() bool { return g.states(t)["done"] == 3 })
		for _, r := range c.asked()[1:] {
			if r.at.Before(until.Add(-10 * time.Millisecond)) {
				t.Errorf("asked for %s %v too early", r.path, until.Sub(r.at))
			}
		}
	})
}

// However many are due, and however many replicas there are, an account asks at most four things at once
// and five in a second.
func TestFetcherKeepsItsPace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
			select { // slow enough that requests overlap
			case <-r.Context().Done():
			case <-time.After(300 * time.Millisecond):
			}
			return eventAnswer(r, w)
		})
		const all = 22
		for id := range all {
			g.take(t, eventItem(id, fmt.Sprintf("ack%06d", id)))
		}
		run(t, newFetcher(t, g, c).Run)
		run(t, newFetcher(t, open(t, db), c).Run)
		await(t, "all are fetched", func() bool { return g.states(t)["done"] == all })
		requests := c.asked()
		if len(requests) != all {
			t.Errorf("%d requests for %d notifications", len(requests), all)
		}
		if c.most > 4 {
			t.Errorf("%d requests at once", c.most)
		}
		for i := range requests {
			for j := i; j < len(requests); j++ {
				// Four may have been held up on their way, and come with those behind them.
				if took := requests[j].at.Sub(requests[i].at); float64(j-i+1) > 5*took.Seconds()+4+1+4 {
					t.Fatalf("%d requests within %v", j-i+1, took)
				}
			}
		}
	})
}

// A connection that needs a person is not asked for more, and what is due stays.
func TestFetcherStopsWhereTheConnectionIsOfNoUse(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	c := newCloud(t, eventAnswer)
	var calls atomicCount
	f := newFetcher(t, g, c, func(c *webhooks.FetcherConfig) {
		c.Client = func(string) *http.Client { return &http.Client{Transport: unusable{&calls}} }
	})
	g.take(t, eventItem(1, "Qk7rT2xLp"))
	stop := run(t, f.Run)
	await(t, "the connection is tried", func() bool { return calls.get() > 0 })
	await(t, "the account is let go", func() bool {
		return g.count(t, `SELECT COUNT(*) FROM leases WHERE name = 'fetch/hX9aQ2' AND expires_at > ?`, time.Now().Add(time.Second).UnixMilli()) == 0
	})
	stop()
	if n := calls.get(); n > 2 {
		t.Errorf("tried %d times", n)
	}
	if got := g.states(t); got["open"] != 1 || g.count(t, `SELECT attempts FROM notifications`) != 0 {
		t.Errorf("states %v", got)
	}
}

type atomicCount struct {
	mu sync.Mutex
	n  int
}

func (c *atomicCount) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *atomicCount) get() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

type unusable struct{ calls *atomicCount }

func (u unusable) RoundTrip(*http.Request) (*http.Response, error) {
	u.calls.add()
	return nil, errNeedsPerson
}

func TestFetcherFinishesWhatIsUnderWay(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		asked, answer := make(chan struct{}), make(chan struct{})
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
			asked <- struct{}{}
			<-answer
			return eventAnswer(r, w)
		})
		g.take(t, eventItem(1, "Qk7rT2xLp"))
		stop := run(t, newFetcher(t, g, c).Run)
		<-asked
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop() }()
		close(answer)
		<-stopped
		if got := g.states(t); got["done"] != 1 || len(g.bodies(t, "gatehouse.event.")) != 1 {
			t.Errorf("states %v", got)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM leases WHERE name LIKE 'fetch/%' AND expires_at > ?`, time.Now().Add(2*time.Second).UnixMilli()); n != 0 {
			t.Error("the account stays closed to other replicas")
		}
	})
}
