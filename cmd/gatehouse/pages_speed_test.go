package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb/sqldbtest"
)

// pageWithin is how long a page may take, however long the history is. Only a machine with nothing else to do can tell, so
// that it is held against it when somebody measures, and not in a run of all tests.
const pageWithin = 50 * time.Millisecond

// thorough is whether somebody measures.
var thorough = os.Getenv("PAGE_MESSAGES") != ""

// Every page of the dashboard and every list of the API answers with a long history, on both databases, whatever it is
// filtered by: of so many messages, and for each hundred of them 20 deliveries, 10 operations and 30 entries of the audit
// log; with 10,000 connections and 1000 endpoints and identities. With PAGE_MESSAGES, which says how many, the lists are
// bounded in time too, and the best of seven answers must come at once: PostgreSQL makes another plan of a query when it
// has seen it more often.
func TestPagesWithALongHistory(t *testing.T) {
	n := 10_000
	if thorough {
		var err error
		if n, err = strconv.Atoi(os.Getenv("PAGE_MESSAGES")); err != nil || n < 1000 {
			t.Fatal("PAGE_MESSAGES must be a number from 1000")
		}
	}
	t.Run("SQLite", func(t *testing.T) { pagesAnswer(t, newGateway(t, nil), n) })
	t.Run("PostgreSQL", func(t *testing.T) {
		pagesAnswer(t, newGateway(t, map[string]string{"GATEHOUSE_DATABASE_URL": sqldbtest.PostgresURL(t), "GATEHOUSE_KEYSET_FILE": newKeyset(t)}), n)
	})
}

func pagesAnswer(t *testing.T, g *gateway, n int) {
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	df.connected(g)
	tn := &tenant{account: doorflowsim.AccountA, identity: "acme"}
	g.identity(tn.identity, doordecksim.AdminAda)
	var link, made struct{ ID string }
	g.call(http.MethodPost, "/v1/connect-links", `{"account":"`+tn.account+`"}`).json(t, &link)
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/hook","subjects":["gatehouse.event.>"],"enabled":false}`).json(t, &made)
	tn.open, tn.endpoint = link.ID, made.ID
	g.stop()
	started := time.Now()
	g.fillHistory(n, tn)
	t.Logf("%d messages, and what goes with them, were written in %v", n, time.Since(started).Round(time.Millisecond))
	g.start()

	var page struct {
		Items []struct{ ID string }
		Next  string
	}
	g.call(http.MethodGet, "/v1/messages?limit=500&subject=gatehouse.event.*.access.*", "").json(t, &page)
	for _, m := range page.Items {
		tn.messages = append(tn.messages, m.ID)
	}
	accounts, identities, others := []string{tn.account}, []string{tn.identity}, 9
	if thorough {
		others = 99 // as many as a key may be held to
	}
	for i := range others {
		accounts, identities = append(accounts, fmt.Sprint("x", i)), append(identities, fmt.Sprint("x", i))
	}
	keys := map[string]string{
		"admin":    g.key(map[string]any{"scopes": []string{"admin"}}),
		"held":     g.key(map[string]any{"scopes": readScopes, "accounts": accounts, "identities": identities}),
		"stranger": g.key(map[string]any{"scopes": readScopes, "accounts": []string{"x", "y"}, "identities": []string{"x", "y"}}),
	}
	var spans []string
	if thorough {
		half, long := before(n/2), before(n)
		spans = []string{"since=" + half, "until=" + half, "since=" + half + "&until=" + half, "until=" + long, "since=2099-01-01T00:00:00Z"}
	}
	session := g.session(adminToken)
	for _, path := range pagesWithFilters(tn, page.Next, spans) {
		g.answers(path, func() answer { return g.paged(session, http.MethodGet, path, "") })
	}
	for who, key := range keys {
		for _, path := range listsWithFilters(tn, spans) {
			g.answers(path+" as "+who, func() answer { return g.callWith(key, http.MethodGet, path, "") })
		}
	}
}

var readScopes = []string{"messages:read", "endpoints:read", "operations:read", "audit:read", "connections:read", "identities:read"}

// pagesWithFilters are the pages of the dashboard, and their filters: with many matches, with few, and with none.
func pagesWithFilters(tn *tenant, next string, spans []string) []string {
	paths := []string{"/messages/more?after=" + next, "/doors/acme?search=front"}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if r := pages[name]; method(name) == http.MethodGet && !r.live {
			path, _ := r.ask(tn)
			paths = append(paths, path)
		}
	}
	for _, path := range listsWithFilters(tn, spans) {
		path = strings.TrimPrefix(path, "/v1")
		paths = append(paths, strings.Replace(path, "/deliveries?", "?", 1))
	}
	return paths
}

// listsWithFilters are the lists of the API that grow with what happens, also bounded by spans of time.
func listsWithFilters(tn *tenant, spans []string) []string {
	var paths []string
	for _, list := range []string{"/v1/connections", "/v1/endpoints", "/v1/identities"} {
		paths = append(paths, list+"?limit=50")
	}
	for list, filters := range map[string][]string{
		"/v1/messages": {
			"account=" + tn.account, "account=nobody", "person=Person+7&door=Door+3", "person=nobody", "subject=gatehouse.operation.%3E",
			"subject=gatehouse.event.*.access.%3E", "subject=gatehouse.*.nobody.%3E", "limit=500",
		},
		"/v1/endpoints/" + tn.endpoint + "/deliveries": {"status=waiting", "status=delivered", "status=parked"},
		"/v1/operations": {
			"status=failed", "status=expired", "type=unlock", "type=revoke", "identity=" + tn.identity, "identity=nobody", "lock=" + doordecksim.LockFront, "lock=" + doordecksim.LockLoading,
			"identity=acme&lock=" + doordecksim.LockFront, "identity=acme&type=unlock", "identity=acme&status=expired", "caller=front+desk", "caller=nobody", "caller=front+desk&type=unlock",
			"id=visit-7", "id=nothing",
		},
		"/v1/audit": {
			"actor=front+desk", "actor=nobody", "action=message.replay", "action=nothing", "account=" + tn.account, "account=nobody", "target=acme", "target=nobody",
			"actor=front+desk&action=nothing", "actor=front+desk&action=endpoint.create", "action=message.replay&account=" + tn.account, "actor=front+desk&target=nobody",
		},
	} {
		paths = append(paths, list+"?limit=100")
		for _, filter := range filters {
			paths = append(paths, list+"?"+filter)
			if strings.HasSuffix(list, "/deliveries") {
				continue
			}
			for _, span := range spans {
				paths = append(paths, list+"?"+filter+"&"+span)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// answers asks, and fails where there is no answer. Who measures asks several times, and is told when even the best was slow.
func (g *gateway) answers(what string, ask func() answer) {
	g.t.Helper()
	best, worst, status := time.Hour, time.Duration(0), 0
	for i := 0; i == 0 || thorough && i < 7; i++ {
		a, took := timed(ask)
		best, worst, status = min(best, took), max(worst, took), a.status
		if a.status >= 500 {
			g.t.Fatalf("%s: %d %s", what, a.status, a.body)
		}
	}
	g.t.Logf("%6.1f ms  %6.1f ms  %d  %s", milliseconds(best), milliseconds(worst), status, what)
	if thorough && best > pageWithin {
		g.t.Errorf("%s took %v", what, best)
	}
}

// before is the time so many milliseconds ago.
func before(ms int) string {
	return time.Now().UTC().Add(-time.Duration(ms) * time.Millisecond).Format(time.RFC3339)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// timed asks, again where a key has asked for too much.
func timed(ask func() answer) (answer, time.Duration) {
	for {
		started := time.Now()
		a := ask()
		took := time.Since(started)
		if a.status != http.StatusTooManyRequests {
			return a, took
		}
		seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
		time.Sleep(time.Duration(max(seconds, 1)) * time.Second) // as the answer asks
	}
}
