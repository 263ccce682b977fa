package main_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/apikeys"
	program "gatehouse/cmd/gatehouse"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// tenant is a customer with an account and an identity, and what the gateway holds of it.
type tenant struct {
	account, identity string
	person, channel   string // at DoorFlow
	open, pending     string // connect links
	operation         string // asked of a door
	entry             string // of the audit log
	endpoint          string // made with a key of theirs
	delivery          string // to it
	code              string // of the pending one
	messages          []string
	messagesCursor    string
	connectionsCursor string
}

// marks are what nobody else must see of a tenant.
func (tn *tenant) marks() []string {
	return append([]string{tn.account, tn.identity, tn.open, tn.pending, tn.operation, tn.endpoint, tn.delivery}, tn.messages...)
}

// nobody is a tenant whose things do not exist.
var nobody = &tenant{
	account: "zZ9nobody", identity: "nobody", person: "1", channel: "1", open: strings.Repeat("o", 43), pending: strings.Repeat("p", 43), code: strings.Repeat("c", 43),
	messages: []string{"0193f5a0-7d1c-7000-8000-000000000000"}, operation: "0193f5a0-7d1c-7000-8000-000000000000", entry: "0193f5a0-7d1c-7000-8000-000000000000",
	endpoint: "0193f5a0-7d1c-7000-8000-000000000000", delivery: "0193f5a0-7d1c-7000-8000-000000000000.0193f5a0-7d1c-7000-8000-000000000000",
}

// route is what the walk knows of a route: which scope it needs, "" for none, and how to ask for a tenant's
// things.
type route struct {
	scope string
	// or is a scope that will do as well, of pages.
	or  string
	ask func(*tenant) (path, body string)
	// own is how a tenant is answered that asks for what is theirs. lists are checked by what is in them.
	own        int
	list, live bool
	// same is the same for everybody.
	same bool
	// round is when it is walked: later what ends something that others need.
	round int
}

func at(format string, of func(*tenant) any) func(*tenant) (string, string) {
	return func(tn *tenant) (string, string) { return fmt.Sprintf(format, of(tn)), "" }
}

func fixed(path string) func(*tenant) (string, string) {
	return func(*tenant) (string, string) { return path, "" }
}

func ofAccount(tn *tenant) any  { return tn.account }
func ofIdentity(tn *tenant) any { return tn.identity }
func ofMessage(tn *tenant) any  { return tn.messages[0] }
func ofEndpoint(tn *tenant) any { return tn.endpoint }
func ofDelivery(tn *tenant) any { return tn.delivery }

// access is what every route asks of a key, by method and path; what follows tells apart requests of one route
// that need different scopes. A route that is missing here fails the test.
var access = map[string]route{
	"GET /livez":                        {},
	"HEAD /livez":                       {},
	"GET /readyz":                       {},
	"HEAD /readyz":                      {},
	"GET /openapi.yaml":                 {},
	"GET /asyncapi.yaml":                {},
	"POST /webhooks/doorflow":           {},
	"GET /oauth/start/:link":            {},
	"POST /oauth/start/:link":           {},
	"GET /oauth/callback":               {},
	"POST /v1/api-keys":                 {scope: "admin", ask: fixed("/v1/api-keys")},
	"GET /v1/api-keys":                  {scope: "admin", ask: fixed("/v1/api-keys")},
	"DELETE /v1/api-keys/:id":           {scope: "admin", ask: at("/v1/api-keys/%s", ofMessage)},
	"POST /v1/nats-credentials":         {scope: "admin", ask: fixed("/v1/nats-credentials")},
	"GET /v1/nats-credentials":          {scope: "admin", ask: fixed("/v1/nats-credentials")},
	"DELETE /v1/nats-credentials/:name": {scope: "admin", ask: at("/v1/nats-credentials/%s", ofMessage)},
	"GET /v1/audit":                     {scope: "audit:read", ask: fixed("/v1/audit"), list: true},
	"GET /v1/audit/verify":              {scope: "audit:read", ask: fixed("/v1/audit/verify"), own: 403}, // it is over all accounts
	"GET /v1/connections":               {scope: "connections:read", ask: fixed("/v1/connections"), list: true},
	"GET /v1/messages":                  {scope: "messages:read", ask: fixed("/v1/messages?limit=500"), list: true},
	"GET /v1/messages/stream":           {scope: "messages:read", ask: fixed("/v1/messages/stream"), live: true},
	"GET /v1/messages/:id":              {scope: "messages:read", ask: at("/v1/messages/%s", ofMessage), own: 200},
	"GET /v1/connections/:account":      {scope: "connections:read", ask: at("/v1/connections/%s", ofAccount), own: 200},
	"GET /v1/endpoints":                 {scope: "endpoints:read", ask: fixed("/v1/endpoints"), list: true},
	"GET /v1/endpoints/:id":             {scope: "endpoints:read", ask: at("/v1/endpoints/%s", ofEndpoint), own: 200},
	"DELETE /v1/endpoints/:id":          {scope: "endpoints:write", ask: at("/v1/endpoints/%s", ofEndpoint), own: 204, round: 2},
	"POST /v1/endpoints":                {scope: "endpoints:write", ask: fixed("/v1/endpoints"), own: 400}, // it becomes the key's own
	"PATCH /v1/endpoints/:id": {scope: "endpoints:write", own: 200, ask: func(tn *tenant) (string, string) {
		return "/v1/endpoints/" + tn.endpoint, `{"description":"changed"}`
	}},
	"POST /v1/endpoints/:id/test":          {scope: "endpoints:write", ask: at("/v1/endpoints/%s/test", ofEndpoint), own: 200},
	"POST /v1/endpoints/:id/rotate-secret": {scope: "endpoints:write", ask: at("/v1/endpoints/%s/rotate-secret", ofEndpoint), own: 200},
	"GET /v1/endpoints/:id/deliveries":     {scope: "endpoints:read", ask: at("/v1/endpoints/%s/deliveries", ofEndpoint), own: 200},
	"GET /v1/deliveries/:id":               {scope: "endpoints:read", ask: at("/v1/deliveries/%s", ofDelivery), own: 200},
	"POST /v1/deliveries/:id/retry":        {scope: "endpoints:write", ask: at("/v1/deliveries/%s/retry", ofDelivery), own: 202},
	"POST /v1/endpoints/:id/replay": {scope: "endpoints:write", own: 202, ask: func(tn *tenant) (string, string) {
		return "/v1/endpoints/" + tn.endpoint + "/replay", `{"since":"2026-01-01T00:00:00Z"}`
	}},
	"GET /v1/keys":           {scope: "admin", ask: fixed("/v1/keys")},
	"POST /v1/keys/rotate":   {scope: "admin", ask: fixed("/v1/keys/rotate")},
	"POST /v1/keys/drop":     {scope: "admin", ask: fixed("/v1/keys/drop")},
	"POST /v1/sign-in-links": {scope: "admin", ask: fixed("/v1/sign-in-links")},
	"GET /v1/connect-links/:link": {
		scope: "connections:read", ask: at("/v1/connect-links/%s", func(tn *tenant) any { return tn.open }), own: 200,
	},
	"POST /v1/identities":         {scope: "admin", ask: fixed("/v1/identities")},
	"GET /v1/identities":          {scope: "identities:read", ask: fixed("/v1/identities"), list: true},
	"GET /v1/identities/:name":    {scope: "identities:read", ask: at("/v1/identities/%s", ofIdentity), own: 200},
	"DELETE /v1/identities/:name": {scope: "admin", ask: at("/v1/identities/%s", ofIdentity)},
	"POST /v1/identities/:name/register": {
		scope: "identities:write", ask: at("/v1/identities/%s/register", ofIdentity), own: 200,
	},
	"POST /v1/identities/:name/verify": {
		scope: "identities:write", ask: at("/v1/identities/%s/verify", ofIdentity), own: 409, // it is ready
	},
	"POST /v1/identities/:name/check": {scope: "identities:write", own: 409, ask: func(tn *tenant) (string, string) {
		return "/v1/identities/" + tn.identity + "/check", `{"code":"123-456"}`
	}},
	"POST /v1/identities/:name/operations": {scope: "operations:write", own: 202, ask: func(tn *tenant) (string, string) {
		return "/v1/identities/" + tn.identity + "/operations", `{"type":"revoke","lock":"` + doordecksim.LockFront + `","invitees":[{"foreign_key":"visitor-ana"}]}`
	}},
	"POST /v1/identities/:name/operations to open a door": {scope: "operations:unlock", own: 202, ask: func(tn *tenant) (string, string) {
		return "/v1/identities/" + tn.identity + "/operations", `{"type":"unlock","lock":"` + doordecksim.LockFront + `"}`
	}},
	"POST /v1/identities/:name/operations for an administrator": {scope: "operations:admin", own: 202, ask: func(tn *tenant) (string, string) {
		return "/v1/identities/" + tn.identity + "/operations", `{"type":"share","lock":"` + doordecksim.LockFront + `","role":"ADMIN","invitees":[{"foreign_key":"visitor-ana"}]}`
	}},
	"POST /v1/identities/:name/lookup": {scope: "operations:read", own: 200, ask: func(tn *tenant) (string, string) {
		return "/v1/identities/" + tn.identity + "/lookup", `{"invitees":[{"foreign_key":"visitor-ana"}]}`
	}},
	"GET /v1/operations":             {scope: "operations:read", ask: fixed("/v1/operations"), list: true},
	"GET /v1/operations/:operation":  {scope: "operations:read", ask: at("/v1/operations/%s", func(tn *tenant) any { return tn.operation }), own: 200},
	"GET /v1/identities/:name/doors": {scope: "operations:read", ask: at("/v1/identities/%s/doors", ofIdentity), own: 200},
	"GET /v1/identities/:name/doors/:lock": {
		scope: "operations:read", ask: at("/v1/identities/%s/doors/"+doordecksim.LockFront, ofIdentity), own: 200,
	},
	"GET /v1/identities/:name/doors/:lock/users": {
		scope: "operations:read", ask: at("/v1/identities/%s/doors/"+doordecksim.LockFront+"/users", ofIdentity), own: 200,
	},
	"POST /v1/messages/:id/replay": {scope: "messages:write", ask: at("/v1/messages/%s/replay", ofMessage), own: 201},
	"POST /v1/connect-links": {scope: "connections:write", own: 201, ask: func(tn *tenant) (string, string) {
		return "/v1/connect-links", `{"account":"` + tn.account + `"}`
	}},
	"POST /v1/connect-links/:link/complete": {scope: "connections:write", own: 200, ask: func(tn *tenant) (string, string) {
		return "/v1/connect-links/" + tn.pending + "/complete", `{"code":"` + tn.code + `"}`
	}},
	"DELETE /v1/connections/:account": {scope: "connections:write", ask: at("/v1/connections/%s", ofAccount), own: 200, round: 2},
	"GET /v1/connections/:account/doorflow/api/3/*": {
		scope: "doorflow:read", ask: at("/v1/connections/%s/doorflow/api/3/account", ofAccount), own: 200,
	},
	"POST /v1/connections/:account/doorflow/api/3/*": {scope: "doorflow:write", own: 201, ask: func(tn *tenant) (string, string) {
		return "/v1/connections/" + tn.account + "/doorflow/api/3/people", `{"first_name":"Lee","last_name":"Ann"}`
	}},
	"POST /v1/connections/:account/doorflow/api/3/* to a door": {scope: "doorflow:doors", own: 200, ask: func(tn *tenant) (string, string) {
		return "/v1/connections/" + tn.account + "/doorflow/api/3/channels/" + tn.channel + "/normal", ""
	}},
	"PUT /v1/connections/:account/doorflow/api/3/*": {scope: "doorflow:write", own: 201, ask: func(tn *tenant) (string, string) {
		return "/v1/connections/" + tn.account + "/doorflow/api/3/people/" + tn.person, `{"first_name":"Lee"}`
	}},
	"DELETE /v1/connections/:account/doorflow/api/3/*": {scope: "doorflow:write", own: 200, round: 1, ask: func(tn *tenant) (string, string) {
		return "/v1/connections/" + tn.account + "/doorflow/api/3/people/" + tn.person, ""
	}},
}

// sorted are the routes below /v1, in the order in which they are walked.
func sorted() []string {
	var names []string
	for name, r := range access {
		if r.scope != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(access[a].round, access[b].round), strings.Compare(a, b))
	})
	return names
}

func method(name string) string { m, _, _ := strings.Cut(name, " "); return m }

// Every route there is, asked with every scope, and by each of two tenants for their own things, for the
// other's, and for things that do not exist.
func TestEveryRouteWithEveryScopeForTwoTenants(t *testing.T) {
	returns := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer returns.Close()
	g := newGateway(t, map[string]string{
		"GATEHOUSE_RETURN_URLS": returns.URL, "GATEHOUSE_DOORFLOW_SCOPES": "account.person account.channel.readonly account.channel.admit account.event.access.readonly",
	})
	df := newCloud(t, g)
	newDoordeck(t, g)
	everyRouteIsKnown(t, g)
	g.start()
	start := g.bookmark()
	a, b := &tenant{account: doorflowsim.AccountA, identity: "harbour"}, &tenant{account: doorflowsim.AccountB, identity: "foundry"}
	g.stop()
	for _, tn := range []*tenant{a, b} {
		for _, subject := range []string{"gatehouse.identity." + tn.identity + ".ready", "gatehouse.operation." + tn.identity + ".applied"} {
			id, err := program.Say(t.Context(), g.flags(g.data), subject)
			if err != nil {
				t.Fatal(err)
			}
			tn.messages = append(tn.messages, id)
		}
	}
	g.start()
	g.identity(a.identity, doordecksim.AdminAda)
	g.identity(b.identity, doordecksim.AdminBen)
	for _, tn := range []*tenant{a, b} {
		var asked struct{ Operation string }
		g.call(http.MethodPost, "/v1/identities/"+tn.identity+"/operations", `{"type":"unlock","lock":"`+doordecksim.LockFront+`"}`).json(t, &asked)
		tn.operation = asked.Operation
		g.endow(tn)
	}
	for _, tn := range []*tenant{a, b} {
		g.settle(tn, returns.URL)
	}
	for range 2 { // each has messages before and after the other's
		for _, tn := range []*tenant{a, b} {
			before := acknowledged(df)
			df.Emit(tn.account, df.Random(tn.account))
			df.awaitAcknowledged(t, before+1)
		}
	}
	for _, tn := range []*tenant{a, b} {
		g.learn(tn)
		g.awaitDelivery(tn)
	}

	t.Run("without a key", func(t *testing.T) { walkWithoutKey(t, g) })
	t.Run("scopes", func(t *testing.T) { walkScopes(t, g) })
	for round := range 3 {
		for _, pair := range [][2]*tenant{{a, b}, {b, a}} {
			t.Run(fmt.Sprintf("tenant %s, round %d", pair[0].account, round), func(t *testing.T) { walkTenant(t, g, pair[0], pair[1], start, round) })
		}
	}
}

// everyRouteIsKnown compares the table with the router of a gateway that is set up like g.
func everyRouteIsKnown(t *testing.T, g *gateway) {
	t.Helper()
	routes, err := program.Routes(t.Context(), g.flags(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range routes {
		if _, known := access[name]; !known && !ofDashboard(name) {
			t.Errorf("%s: nothing says who may call it; add it to this test", name)
		}
	}
	for name, r := range access {
		if (r.scope != "") != strings.Contains(name, " /v1/") || r.scope != "" && !slices.Contains(apikeys.Scopes(), r.scope) {
			t.Errorf("%s with the scope %q", name, r.scope)
		}
	}
	for name := range access {
		words := strings.Fields(name)
		if !slices.Contains(routes, words[0]+" "+words[1]) {
			t.Errorf("%s does not exist", name)
		}
	}
}

// plainly is an answer without what differs from request to request.
func plainly(t *testing.T, a answer) string {
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
func walkTenant(t *testing.T, g *gateway, tn, other *tenant, start string, round int) {
	for _, name := range sorted() {
		r := access[name]
		if r.scope == "admin" || r.round != round {
			continue
		}
		key := g.key(map[string]any{"scopes": []string{r.scope}, "accounts": []string{tn.account}, "identities": []string{tn.identity}})
		switch {
		case r.live:
			streamsOwn(t, g, key, tn, other, start)
		case r.list:
			listsOwn(t, g, key, name, tn, other)
		default:
			path, body := r.ask(other)
			foreign := plainly(t, g.callWith(key, method(name), path, body))
			path, body = r.ask(nobody)
			missing := plainly(t, g.callWith(key, method(name), path, body))
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
		if i == 0 && (a.status != http.StatusOK || !strings.Contains(string(a.body), tn.account) && !strings.Contains(string(a.body), tn.identity)) {
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
