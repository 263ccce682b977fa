package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/apikeys"
	program "gatehouse/cmd/gatehouse"
	"gatehouse/doorflow/doorflowsim"
)

// tenant is a customer with an account, and what the gateway holds of it.
type tenant struct {
	account           string
	open, pending     string // connect links
	code              string // of the pending one
	messages          []string
	messagesCursor    string
	connectionsCursor string
}

// marks are what nobody else must see of a tenant.
func (tn *tenant) marks() []string {
	return append([]string{tn.account, tn.open, tn.pending}, tn.messages...)
}

// nobody is a tenant whose things do not exist.
var nobody = &tenant{
	account: "zZ9nobody", open: strings.Repeat("o", 43), pending: strings.Repeat("p", 43), code: strings.Repeat("c", 43),
	messages: []string{"0193f5a0-7d1c-7000-8000-000000000000"},
}

// route is what the walk knows of a route: which scope it needs, "" for none, and how to ask for a tenant's
// things.
type route struct {
	scope string
	ask   func(*tenant) (path, body string)
	// own is how a tenant is answered that asks for what is theirs. lists are checked by what is in them.
	own        int
	list, live bool
	// last routes end something and are walked at the end.
	last bool
}

func at(format string, of func(*tenant) any) func(*tenant) (string, string) {
	return func(tn *tenant) (string, string) { return fmt.Sprintf(format, of(tn)), "" }
}

func fixed(path string) func(*tenant) (string, string) {
	return func(*tenant) (string, string) { return path, "" }
}

func ofAccount(tn *tenant) any { return tn.account }
func ofMessage(tn *tenant) any { return tn.messages[0] }

// access is what every route asks of a key. A route that is missing here fails the test.
var access = map[string]route{
	"GET /livez":                   {},
	"HEAD /livez":                  {},
	"GET /readyz":                  {},
	"HEAD /readyz":                 {},
	"GET /openapi.yaml":            {},
	"POST /webhooks/doorflow":      {},
	"GET /oauth/start/:link":       {},
	"POST /oauth/start/:link":      {},
	"GET /oauth/callback":          {},
	"POST /v1/api-keys":            {scope: "admin", ask: fixed("/v1/api-keys")},
	"GET /v1/api-keys":             {scope: "admin", ask: fixed("/v1/api-keys")},
	"DELETE /v1/api-keys/:id":      {scope: "admin", ask: at("/v1/api-keys/%s", ofMessage)},
	"GET /v1/audit":                {scope: "audit:read", ask: fixed("/v1/audit"), list: true},
	"GET /v1/connections":          {scope: "connections:read", ask: fixed("/v1/connections"), list: true},
	"GET /v1/messages":             {scope: "messages:read", ask: fixed("/v1/messages?limit=500"), list: true},
	"GET /v1/messages/stream":      {scope: "messages:read", ask: fixed("/v1/messages/stream"), live: true},
	"GET /v1/messages/:id":         {scope: "messages:read", ask: at("/v1/messages/%s", ofMessage), own: 200},
	"GET /v1/connections/:account": {scope: "connections:read", ask: at("/v1/connections/%s", ofAccount), own: 200},
	"GET /v1/connect-links/:link": {
		scope: "connections:read", ask: at("/v1/connect-links/%s", func(tn *tenant) any { return tn.open }), own: 200,
	},
	"POST /v1/messages/:id/replay": {scope: "messages:write", ask: at("/v1/messages/%s/replay", ofMessage), own: 201},
	"POST /v1/connect-links": {scope: "connections:write", own: 201, ask: func(tn *tenant) (string, string) {
		return "/v1/connect-links", `{"account":"` + tn.account + `"}`
	}},
	"POST /v1/connect-links/:link/complete": {scope: "connections:write", own: 200, ask: func(tn *tenant) (string, string) {
		return "/v1/connect-links/" + tn.pending + "/complete", `{"code":"` + tn.code + `"}`
	}},
	"DELETE /v1/connections/:account": {scope: "connections:write", ask: at("/v1/connections/%s", ofAccount), own: 200, last: true},
}

// sorted are the routes below /v1, those that end something at the end.
func sorted() []string {
	var names []string
	for name, r := range access {
		if r.scope != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if access[a].last != access[b].last {
			if access[b].last {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

func method(name string) string { m, _, _ := strings.Cut(name, " "); return m }

// Every route there is, asked with every scope, and by each of two tenants for their own things, for the
// other's, and for things that do not exist.
func TestEveryRouteWithEveryScopeForTwoTenants(t *testing.T) {
	returns := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer returns.Close()
	g := newGateway(t, map[string]string{"GATEHOUSE_RETURN_URLS": returns.URL})
	df := newCloud(t, g)
	everyRouteIsKnown(t, g)
	g.start()
	start := g.bookmark()
	a, b := newTenant(t, g, doorflowsim.AccountA, returns.URL), newTenant(t, g, doorflowsim.AccountB, returns.URL)
	for range 2 { // each has messages before and after the other's
		for _, tn := range []*tenant{a, b} {
			before := acknowledged(df)
			df.Emit(tn.account, df.Random(tn.account))
			df.awaitAcknowledged(t, before+1)
		}
	}
	for _, tn := range []*tenant{a, b} {
		g.learn(tn)
	}

	t.Run("without a key", func(t *testing.T) { walkWithoutKey(t, g) })
	t.Run("scopes", func(t *testing.T) { walkScopes(t, g) })
	for _, pair := range [][2]*tenant{{a, b}, {b, a}} {
		t.Run("tenant "+pair[0].account, func(t *testing.T) { walkTenant(t, g, pair[0], pair[1], start, false) })
	}
	for _, pair := range [][2]*tenant{{a, b}, {b, a}} {
		t.Run("tenant "+pair[0].account+" at the end", func(t *testing.T) { walkTenant(t, g, pair[0], pair[1], start, true) })
	}
}

// everyRouteIsKnown compares the table with the router of a gateway that is set up like g.
func everyRouteIsKnown(t *testing.T, g *gateway) {
	t.Helper()
	routes, err := program.Routes(t.Context(), map[string]string{
		"addr": "127.0.0.1:0", "ops-addr": "", "data-dir": t.TempDir(), "admin-token": adminToken, "doorflow-client-id": clientID,
		"doorflow-client-secret": clientSecret, "doorflow-api-url": g.env["GATEHOUSE_DOORFLOW_API_URL"],
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range routes {
		if _, known := access[name]; !known {
			t.Errorf("%s: nothing says who may call it; add it to this test", name)
		}
		if r := access[name]; (r.scope != "") != strings.Contains(name, " /v1/") || r.scope != "" && !slices.Contains(apikeys.Scopes(), r.scope) {
			t.Errorf("%s with the scope %q", name, r.scope)
		}
	}
	for name := range access {
		if !slices.Contains(routes, name) {
			t.Errorf("%s does not exist", name)
		}
	}
}

// newTenant connects an account, and leaves an open and a pending link behind.
func newTenant(t *testing.T, g *gateway, account, returnURL string) *tenant {
	t.Helper()
	tn := &tenant{account: account}
	type link struct{ ID, URL string }
	make := func(body string) (l link) {
		t.Helper()
		made := g.call(http.MethodPost, "/v1/connect-links", body)
		if made.status != http.StatusCreated {
			t.Fatal(made.status, string(made.body))
		}
		made.json(t, &l)
		return l
	}
	answer := url.Values{"decision": {"allow"}, "account": {account}}
	if p := walkWith(t, make(`{"account":"`+account+`"}`).URL, answer); p.status != http.StatusOK {
		t.Fatal(p.status)
	}
	pending := make(`{"account":"` + account + `","return_url":"` + returnURL + `/back"}`)
	tn.pending, tn.code = pending.ID, walkWith(t, pending.URL, answer).at.Query().Get("code")
	tn.open = make(`{"account":"` + account + `"}`).ID
	return tn
}

// bookmark is where the stream stands now.
func (g *gateway) bookmark() string {
	g.t.Helper()
	id := ""
	g.listen(adminToken, "", func(field, value string) bool {
		id = value
		return field != "id"
	})
	return id
}

// listen hands each line of the stream to next until that returns false or the stream ends.
func (g *gateway) listen(key, after string, next func(field, value string) bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/messages/stream", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := probe.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Fatalf("the stream was answered %d", resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		if !next(field, value) {
			return
		}
	}
	if err := lines.Err(); err != nil {
		g.t.Fatal(err)
	}
}

// learn reads as an administrator what there is of a tenant.
func (g *gateway) learn(tn *tenant) {
	g.t.Helper()
	var page struct {
		Items []struct{ ID string }
		Next  string
	}
	g.call(http.MethodGet, "/v1/messages?limit=500&account="+tn.account, "").json(g.t, &page)
	for _, m := range page.Items {
		tn.messages = append(tn.messages, m.ID)
	}
	if len(tn.messages) < 5 { // the connection, and two notifications with their events
		g.t.Fatalf("only %d messages of %s", len(tn.messages), tn.account)
	}
	g.call(http.MethodGet, "/v1/messages?limit=1&account="+tn.account, "").json(g.t, &page)
	tn.messagesCursor = page.Next
	g.call(http.MethodGet, "/v1/connections?limit=1", "").json(g.t, &page)
	tn.connectionsCursor = page.Next
	if tn.messagesCursor == "" || tn.connectionsCursor == "" || tn.code == "" {
		g.t.Fatal("something of a tenant is missing")
	}
}

// key makes a key and returns it.
func (g *gateway) key(request map[string]any) string {
	g.t.Helper()
	request["name"] = "of a test"
	body, err := json.Marshal(request)
	if err != nil {
		g.t.Fatal(err)
	}
	var made struct{ Key string }
	if a := g.call(http.MethodPost, "/v1/api-keys", string(body)); a.status != http.StatusCreated {
		g.t.Fatalf("making a key: %d %s", a.status, a.body)
	} else {
		a.json(g.t, &made)
	}
	return made.Key
}

// said is an answer without what differs from request to request.
func said(t *testing.T, a answer) string {
	t.Helper()
	var body map[string]any
	if len(a.body) > 0 {
		a.json(t, &body)
	}
	delete(body, "instance")
	return fmt.Sprint(a.status, body)
}

func walkWithoutKey(t *testing.T, g *gateway) {
	for _, name := range sorted() {
		path, body := access[name].ask(nobody)
		if a := g.callWith("", method(name), path, body); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", name, a.status)
		}
	}
}

func walkScopes(t *testing.T, g *gateway) {
	for _, scope := range apikeys.Scopes() {
		key := g.key(map[string]any{"scopes": []string{scope}})
		for _, name := range sorted() {
			r := access[name]
			may := scope == r.scope || scope == "admin"
			if r.live && may {
				g.listen(key, "", func(string, string) bool { return false })
				continue
			}
			path, body := r.ask(nobody)
			a := g.callWith(key, method(name), path, body)
			if may == (a.status == http.StatusForbidden) || a.status == http.StatusUnauthorized || a.status >= 500 {
				t.Errorf("%s with the scope %s: %d", name, scope, a.status)
			}
		}
	}
}

// walkTenant asks as one tenant for their own things and for those of another.
func walkTenant(t *testing.T, g *gateway, tn, other *tenant, start string, last bool) {
	for _, name := range sorted() {
		r := access[name]
		if r.scope == "admin" || r.last != last {
			continue
		}
		key := g.key(map[string]any{"scopes": []string{r.scope}, "accounts": []string{tn.account}, "identities": []string{}})
		switch {
		case r.live:
			streamsOwn(t, g, key, tn, other, start)
		case r.list:
			listsOwn(t, g, key, name, tn, other)
		default:
			path, body := r.ask(other)
			foreign := said(t, g.callWith(key, method(name), path, body))
			path, body = r.ask(nobody)
			missing := said(t, g.callWith(key, method(name), path, body))
			if foreign != missing || !strings.HasPrefix(foreign, "40") {
				t.Errorf("%s: what is another's is answered %s, what does not exist %s", name, foreign, missing)
			}
			path, body = r.ask(tn)
			if a := g.callWith(key, method(name), path, body); a.status != r.own {
				t.Errorf("%s: one's own is answered %d %s, want %d", name, a.status, a.body, r.own)
			}
		}
	}
}

// listsOwn reads a list in every way in which another's things might come into it.
func listsOwn(t *testing.T, g *gateway, key, name string, tn, other *tenant) {
	t.Helper()
	path, _ := access[name].ask(tn)
	base, _, _ := strings.Cut(path, "?")
	ways := []string{
		path, base + "?account=" + other.account, base + "?subject=" + url.QueryEscape("gatehouse.*."+other.account+".>"),
		base + "?after=" + other.messagesCursor, base + "?after=" + other.connectionsCursor, base + "?limit=1",
	}
	for i, way := range ways {
		a := g.callWith(key, method(name), way, "")
		for _, mark := range other.marks() {
			if strings.Contains(string(a.body), mark) {
				t.Errorf("%s shows what is another's: %s", way, a.body)
			}
		}
		if i == 0 && (a.status != http.StatusOK || !strings.Contains(string(a.body), tn.account)) {
			t.Errorf("%s: %d %s", way, a.status, a.body)
		}
	}
}

// streamsOwn listens from a bookmark of an administrator on, before anything was said.
func streamsOwn(t *testing.T, g *gateway, key string, tn, other *tenant, start string) {
	t.Helper()
	heard := map[string]bool{}
	g.listen(key, start, func(field, value string) bool {
		if field != "data" {
			return true
		}
		for _, mark := range other.marks() {
			if strings.Contains(value, mark) {
				t.Errorf("the stream shows what is another's: %s", value)
			}
		}
		for _, id := range tn.messages {
			if strings.Contains(value, id) {
				heard[id] = true
			}
		}
		return len(heard) < len(tn.messages)
	})
	if len(heard) < len(tn.messages) {
		t.Errorf("the stream ended after %d of %d messages", len(heard), len(tn.messages))
	}
}
