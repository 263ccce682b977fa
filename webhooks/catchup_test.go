package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doorflow"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

const account = doorflowsim.AccountA

// connectedAt makes the account's connection, as it would stand after a while.
func (g *gateway) connectedAt(t *testing.T, at time.Time) {
	t.Helper()
	const query = `INSERT INTO connections (account, status, created_at, connected_at) VALUES (?, 'active', 0, ?)`
	if _, err := g.db.Writer().ExecContext(t.Context(), g.db.Writer().Rebind(query), account, at.UnixMilli()); err != nil {
		t.Fatal(err)
	}
}

// set changes rows behind the gateway's back.
func (g *gateway) set(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := g.db.Writer().ExecContext(t.Context(), g.db.Writer().Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
}

// bearer adds a token, as the keeper's client does.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// simulated is a DoorFlow whose account has let the gateway in.
func simulated(t *testing.T) (*doorflowsim.Sim, func(*webhooks.FetcherConfig)) {
	t.Helper()
	sim := doorflowsim.New(doorflowsim.Options{})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	access, _ := sim.Grant(account, "account.person", "account.event.access.readonly")
	return sim, func(c *webhooks.FetcherConfig) {
		c.API = doorflow.API{Base: api(t, server.URL)}
		c.Client = func(string) *http.Client { return &http.Client{Transport: bearer(access)} }
		c.PerSecond = 1000
	}
}

func fast(c *webhooks.FetcherConfig) { c.PerSecond = 1000 }

// newCatchup makes one of a gateway; it is not running.
func newCatchup(t *testing.T, g *gateway, c *cloud, change func(*webhooks.FetcherConfig), more ...func(*webhooks.CatchupConfig)) *webhooks.Catchup {
	t.Helper()
	g.registry = prometheus.NewRegistry()
	config := webhooks.CatchupConfig{
		Fetcher: newFetcher(t, g, c, change), Every: 10 * time.Minute, Silence: 24 * time.Hour,
		Registerer: g.registry, Logger: slog.New(slog.NewJSONHandler(g.lines, nil)),
	}
	for _, f := range more {
		f(&config)
	}
	return webhooks.NewCatchup(config)
}

// said are the events that were said, by id, each with its origin.
func (g *gateway) said(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{}
	for _, body := range g.bodies(t, "gatehouse.event.") {
		var m events.Message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if said[m.Subject] != "" {
			t.Errorf("%s was said twice", m.Subject)
		}
		said[m.Subject] = m.Origin
	}
	return said
}

func (g *gateway) watermark(t *testing.T) time.Time {
	t.Helper()
	return time.UnixMilli(int64(g.count(t, `SELECT watermark FROM catchup WHERE account = ?`, account)))
}

// ran wants so many looks to have ended in a way.
func (g *gateway) ran(t *testing.T, outcome string, want float64) {
	t.Helper()
	if got := metrics(t, g.registry)["gatehouse_catchup_runs_total{"+outcome+"}"]; got != want {
		t.Errorf("%v looks ended %s, want %v\n%s", got, outcome, want, g.lines)
	}
}

func specs(n int, at func(i int) time.Time) []doorflowsim.EventSpec {
	all := make([]doorflowsim.EventSpec, n)
	for i := range all {
		all[i] = doorflowsim.EventSpec{Code: 10, ChannelID: 5012, PersonID: 4821, CredentialsNumber: "604219", NoWebhook: true, At: at(i)}
	}
	return all
}

func nothing(t *testing.T) *cloud { return newCloud(t, always(500, "")) }

// What webhooks did not bring is found, with the same message as if they had; what they brought is not said
// again, nor what they bring later.
func TestCatchupFindsWhatWebhooksDidNotBring(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		sim, cloudOf := simulated(t)
		now := time.Now()
		g.connectedAt(t, now.Add(-30*time.Minute))
		ids := map[string]string{}
		for i, spec := range []doorflowsim.EventSpec{
			{Code: 10, At: now.Add(-40 * time.Minute)}, // before the connection was made
			{Code: 11, At: now.Add(-20 * time.Minute), PersonID: 4821, ChannelID: 5012, CredentialsNumber: "604219"},
			{Code: 24, At: now.Add(-15 * time.Minute), ChannelID: 5012, CredentialsNumber: "777123"},
			{Code: 31, At: now.Add(-10 * time.Minute), ChannelID: 5012, Perimeter: true},
			{Code: 1, At: now.Add(-9 * time.Minute), ChannelID: 5012}, // no webhook announces such
			{Code: 70, At: now.Add(-5 * time.Minute), PersonID: 4821, ChannelID: 5012},
		} {
			spec.NoWebhook = true
			ids[fmt.Sprint(i)] = fmt.Sprint(sim.Emit(account, spec).ID)
		}
		config := func(c *webhooks.FetcherConfig) { cloudOf(c) }
		id := func(i string) int { n, _ := strconv.Atoi(ids[i]); return n }

		// One webhook came in time.
		g.take(t, eventItem(id("2"), "Qk7rT2xL1"))
		fetcher := newFetcher(t, g, nothing(t), config)
		stop := run(t, fetcher.Run)
		await(t, "it is fetched", func() bool { return g.states(t)["done"] == 1 })
		stop()

		catchup := newCatchup(t, g, nothing(t), config)
		catchup.Visit(t.Context(), account, true)
		g.ran(t, "complete", 1)
		want := map[string]string{"1": "catchup", "2": "webhook", "3": "catchup", "5": "catchup"}
		check := func() {
			t.Helper()
			said := g.said(t)
			for i, id := range ids {
				if got := said["events/"+id]; got != want[i] {
					t.Errorf("event %s was said as %q, want %q", i, got, want[i])
				}
			}
		}
		check()
		if got := g.watermark(t); got.Sub(now.Add(-5*time.Minute)).Abs() > 30*time.Second {
			t.Errorf("the watermark stands at %v", got)
		}

		// The others' webhooks come late: they are acknowledged, and nothing is said again.
		g.take(t, eventItem(id("1"), "Qk7rT2xL2"), eventItem(id("3"), "Qk7rT2xL3"))
		run(t, newFetcher(t, g, nothing(t), config).Run)
		await(t, "they are fetched", func() bool { return g.states(t)["done"] == 3 })
		catchup.Visit(t.Context(), account, true)
		check()

		// Both roads lead to the same message.
		found, fetched := g.message(t, ids["1"]), g.message(t, ids["2"])
		for _, m := range []events.Message{found, fetched} {
			m.Data, _ = json.Marshal(fields(t, m.Data))
		}
		if !slices.Equal(fields(t, found.Data), fields(t, fetched.Data)) || found.Type != "gatehouse.event.access.granted" ||
			found.Time.Sub(now.Add(-20*time.Minute)).Abs() > time.Second {
			t.Errorf("found %+v, fetched %+v", found, fetched)
		}
		all := strings.Join(g.bodies(t, "gatehouse."), "") + g.lines.String()
		if strings.Contains(all, "604219") || strings.Contains(all, "777123") || strings.Contains(all, "at_") {
			t.Error("a number or a token shows")
		}
	})
}

func fields(t *testing.T, data json.RawMessage) []string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// message is what was said of an event.
func (g *gateway) message(t *testing.T, id string) (m events.Message) {
	t.Helper()
	for _, body := range g.bodies(t, "gatehouse.event.") {
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if m.Subject == "events/"+id {
			return m
		}
	}
	t.Fatalf("event %s was not said", id)
	return m
}

// However DoorFlow cuts its list, and whatever happens between two pages, nothing is missed.
func TestCatchupGoesThroughAllPages(t *testing.T) {
	for _, headers := range []doorflowsim.HeaderSet{
		doorflowsim.HeadersBoth, doorflowsim.HeadersPlain, doorflowsim.HeadersX, doorflowsim.HeadersNone,
	} {
		for _, limit := range []int{0, 7, 50} {
			t.Run(fmt.Sprintf("headers %d, pages of %d", headers, limit), func(t *testing.T) {
				t.Parallel()
				g := open(t, sqldbtest.SQLite(t))
				sim, config := simulated(t)
				now := time.Now()
				g.connectedAt(t, now.Add(-2*time.Hour))
				sim.EmitBatch(account, specs(150, func(i int) time.Time { return now.Add(-time.Hour + time.Duration(i/3)*time.Minute) }))
				sim.Faults().PaginationHeaders(headers)
				sim.Faults().PageLimit(limit)
				sim.Faults().BusyPages(5, 50*time.Minute)
				catchup := newCatchup(t, g, nothing(t), config)
				catchup.Visit(t.Context(), account, true)
				g.ran(t, "complete", 1)
				sim.Faults().BusyPages(0, 0)
				requests := sim.Stats().Requests["GET /api/3/events"]
				catchup.Visit(t.Context(), account, true)
				// Up to five were uploaded late, between the pages there were.
				if got, want := len(g.said(t)), 150+min(5, requests); got != want {
					t.Errorf("%d events said after %d requests, want %d", got, requests, want)
				}
			})
		}
	}
}

func TestCatchupDoesWithoutEventCodes(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	sim, config := simulated(t)
	now := time.Now()
	g.connectedAt(t, now.Add(-2*time.Hour))
	door := doorflowsim.EventSpec{Code: 31, ChannelID: 5012, NoWebhook: true}
	sim.EmitBatch(account, append(specs(3, func(int) time.Time { return now.Add(-time.Hour) }), door))
	sim.Faults().RefuseEventCodes(-1)
	catchup := newCatchup(t, g, nothing(t), config, func(c *webhooks.CatchupConfig) { c.Now = func() time.Time { return now } })
	catchup.Visit(t.Context(), account, true)
	catchup.Visit(t.Context(), account, true)
	g.ran(t, "complete", 2)
	if got := len(g.said(t)); got != 3 {
		t.Errorf("%d events said, want the three that need no codes", got)
	}
	if n := sim.Stats().Requests["GET /api/3/events"]; n != 3 {
		t.Errorf("asked %d times, want once with codes and twice without", n)
	}
	// It is not remembered for ever.
	sim.Faults().Reset()
	now = now.Add(25 * time.Hour)
	catchup.Visit(t.Context(), account, true)
	if got := len(g.said(t)); got != 4 {
		t.Errorf("%d events said, want the door's as well", got)
	}
}

// An event of which the list shows too little is fetched, by the fetcher's own road.
func TestCatchupFetchesWhatIsTooThin(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.connectedAt(t, time.Now().Add(-time.Hour))
		c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
			if r.URL.Path != "/api/3/events" {
				if r.URL.RawQuery != "" {
					t.Errorf("fetched with %q", r.URL.RawQuery)
				}
				return eventAnswer(r, w)
			}
			w.Header().Set("X-Total-Results", "2")
			return 200, `[{"id":7,"event_code":11},{"id":"8"}]`
		})
		catchup := newCatchup(t, g, c, fast)
		catchup.Visit(t.Context(), account, true)
		catchup.Visit(t.Context(), account, true)
		run(t, newFetcher(t, g, c, fast).Run)
		await(t, "both are fetched", func() bool { return g.states(t)["done"] == 2 })
		catchup.Visit(t.Context(), account, true)
		if said := g.said(t); len(said) != 2 || said["events/7"] != "catchup" || said["events/8"] != "catchup" {
			t.Errorf("said %v", said)
		}
		if n := len(c.asked()); n != 5 {
			t.Errorf("asked %d times, want three lists and two events", n)
		}
	})
}

func TestCatchupSaysForbiddenOnce(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.connectedAt(t, time.Now().Add(-time.Hour))
	var told []string
	catchup := newCatchup(t, g, newCloud(t, always(403, "")), func(c *webhooks.FetcherConfig) {
		c.Forbidden = func(_ context.Context, account, what string) error {
			told = append(told, account+" "+what)
			return nil
		}
	})
	for range 3 {
		catchup.Visit(t.Context(), account, false)
		if wait := time.Until(catchup.Due(account)); wait < 23*time.Hour {
			t.Errorf("asks again in %v", wait)
		}
	}
	if want := []string{account + " account.event.access.readonly"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if n := strings.Count(g.lines.String(), "needs_scope"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	catchup.Activated(account)
	if wait := time.Until(catchup.Due(account)); wait > time.Second {
		t.Errorf("after it has reconnected, asks again in %v", wait)
	}
}
