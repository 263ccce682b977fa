package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/apikeys"
	program "gatehouse/cmd/gatehouse"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// pages are the routes of the dashboard, as access has those of the API: a page needs the very scope that the same
// thing needs below /v1. own is 200 where nothing else stands.
var pages = map[string]route{
	"GET /":                                 {ask: fixed("/"), list: true},
	"GET /overview/live":                    {ask: fixed("/overview/live"), list: true},
	"GET /connections":                      {scope: "connections:read", ask: fixed("/connections"), list: true},
	"GET /connections/:account":             {scope: "connections:read", ask: at("/connections/%s", ofAccount)},
	"GET /connections/:account/disconnect":  {scope: "connections:write", ask: at("/connections/%s/disconnect", ofAccount)},
	"POST /connections/:account/disconnect": {scope: "connections:write", ask: at("/connections/%s/disconnect", ofAccount), own: 303, round: 1},
	"GET /connect":                          {scope: "connections:write", ask: at("/connect?account=%s", ofAccount), list: true},
	"POST /connect":                         {scope: "connections:write", ask: func(tn *tenant) (string, string) { return "/connect", "account=" + tn.account }, own: 303},
	"GET /connect/:link":                    {scope: "connections:read", ask: at("/connect/%s", func(tn *tenant) any { return tn.open })},
	"GET /connect/:link/live":               {scope: "connections:read", ask: at("/connect/%s/live", func(tn *tenant) any { return tn.open })},
	"GET /identities":                       {scope: "identities:read", ask: fixed("/identities"), list: true},
	"GET /register":                         forAdmin("/register", ""),
	"POST /register":                        forAdmin("/register", "name=x"),
	"GET /identities/:name":                 {scope: "identities:read", ask: at("/identities/%s", ofIdentity)},
	"GET /identities/:name/live":            {scope: "identities:read", ask: at("/identities/%s/live", ofIdentity)},
	"POST /identities/:name/register":       {scope: "identities:write", ask: at("/identities/%s/register", ofIdentity), own: 303},
	"GET /identities/:name/new-key":         {scope: "identities:write", ask: at("/identities/%s/new-key", ofIdentity)},
	"POST /identities/:name/verify":         {scope: "identities:write", ask: at("/identities/%s/verify", ofIdentity), own: 409}, // it is ready
	"POST /identities/:name/check": {scope: "identities:write", own: 409, ask: func(tn *tenant) (string, string) {
		return "/identities/" + tn.identity + "/check", "code=123-456"
	}},
	"GET /identities/:name/delete":  forAdmin("/identities/nobody/delete", ""),
	"POST /identities/:name/delete": forAdmin("/identities/nobody/delete", ""),

	"GET /doors":                                        {scope: "operations:read", ask: fixed("/doors"), list: true, own: 303}, // to the one identity's
	"GET /doors/:name":                                  {scope: "operations:read", ask: at("/doors/%s", ofIdentity)},
	"GET /doors/:name/live":                             {scope: "operations:read", ask: at("/doors/%s/live", ofIdentity)},
	"GET /doors/:name/:lock":                            {scope: "operations:read", ask: atDoor("", "")},
	"GET /doors/:name/:lock/live":                       {scope: "operations:read", ask: atDoor("/live", "")},
	"GET /doors/:name/:lock/summary":                    {scope: "operations:read", ask: atDoor("/summary", "")},
	"GET /doors/:name/:lock/share":                      {scope: "operations:write", or: "operations:admin", ask: atDoor("/share", "")},
	"POST /doors/:name/:lock/share":                     {scope: "operations:write", or: "operations:admin", ask: atDoor("/share", "people=ana@example.test&forever=yes"), own: 303},
	"POST /doors/:name/:lock/people":                    {scope: "operations:read", ask: atDoor("/people", "people=ana@example.test")},
	"GET /doors/:name/:lock/revoke":                     {scope: "operations:write", ask: atDoor("/revoke?user="+somebody, "")},
	"POST /doors/:name/:lock/revoke":                    {scope: "operations:write", ask: atDoor("/revoke", "user="+somebody), own: 303},
	"GET /doors/:name/:lock/unlock":                     {scope: "operations:unlock", ask: atDoor("/unlock", "")},
	"POST /doors/:name/:lock/unlock":                    {scope: "operations:unlock", ask: atDoor("/unlock", "id=x"), own: 303},
	"GET /doors/:name/:lock/operations/:operation":      {scope: "operations:read", ask: atOperation("")},
	"GET /doors/:name/:lock/operations/:operation/live": {scope: "operations:read", ask: atOperation("/live")},

	"GET /messages":             {scope: "messages:read", ask: fixed("/messages"), list: true},
	"GET /messages/more":        {scope: "messages:read", ask: fixed("/messages/more"), list: true},
	"GET /messages/live":        {scope: "messages:read", ask: fixed("/messages/live"), live: true},
	"GET /messages/:id":         {scope: "messages:read", ask: at("/messages/%s", ofMessage)},
	"POST /messages/:id/replay": {scope: "messages:write", ask: at("/messages/%s/replay", ofMessage), own: 303},
	"GET /api":                  {ask: fixed("/api"), list: true, same: true},
	"GET /api/http/:group":      {ask: fixed("/api/http/messages"), list: true, same: true},
	"GET /api/nats/:group":      {ask: fixed("/api/nats/event"), list: true, same: true},
	"GET /api/problems":         {ask: fixed("/api/problems"), list: true, same: true},
	"GET /api-keys":             forAdmin("/api-keys", ""),
	"GET /api-keys/new":         forAdmin("/api-keys/new?for=read", ""),
	"POST /api-keys":            forAdmin("/api-keys", "name=x&scope=messages:read&account_limit=all&identity_limit=all"),
	"GET /api-keys/:id":         forAdmin("/api-keys/x", ""),
	"GET /api-keys/:id/revoke":  forAdmin("/api-keys/x/revoke", ""),
	"POST /api-keys/:id/revoke": forAdmin("/api-keys/x/revoke", ""),

	"GET /nats-credentials":               forAdmin("/nats-credentials", ""),
	"GET /nats-credentials/+new":          forAdmin("/nats-credentials/+new", ""),
	"POST /nats-credentials":              forAdmin("/nats-credentials", "name=x&events=all"),
	"GET /nats-credentials/:name":         forAdmin("/nats-credentials/nobodys", ""),
	"GET /nats-credentials/:name/revoke":  forAdmin("/nats-credentials/nobodys/revoke", ""),
	"POST /nats-credentials/:name/revoke": forAdmin("/nats-credentials/nobodys/revoke", ""),
	"GET /operations":                     {scope: "operations:read", ask: fixed("/operations?type=unlock"), list: true},
	"GET /operations/:operation":          {scope: "operations:read", ask: at("/operations/%s", ofOperation)},
	"GET /operations/:operation/live":     {scope: "operations:read", ask: at("/operations/%s/live", ofOperation)},
	"GET /audit":                          {scope: "audit:read", ask: fixed("/audit"), list: true},
	"GET /audit/:id":                      {scope: "audit:read", ask: at("/audit/%s", func(tn *tenant) any { return tn.entry })},
	"GET /audit/verify":                   {scope: "audit:read", ask: fixed("/audit/verify"), list: true, own: 403}, // it is over all accounts
	"GET /audit/verify/live":              {scope: "audit:read", ask: fixed("/audit/verify/live"), live: true, own: 403},
	"GET /sessions":                       {ask: fixed("/sessions"), list: true},
	"POST /sessions/:session/end":         {ask: fixed("/sessions/0123456789abcdef/end"), list: true, own: 404},

	"GET /endpoints":                {scope: "endpoints:read", ask: fixed("/endpoints"), list: true},
	"GET /endpoints/live":           {scope: "endpoints:read", ask: fixed("/endpoints/live"), list: true},
	"GET /endpoints/new":            {scope: "endpoints:write", ask: fixed("/endpoints/new"), list: true},
	"POST /endpoints":               {scope: "endpoints:write", ask: sent("/endpoints", endpointFields), own: 201, list: true}, // it becomes the key's own
	"GET /endpoints/:id":            {scope: "endpoints:read", ask: at("/endpoints/%s", ofEndpoint)},
	"GET /endpoints/:id/live":       {scope: "endpoints:read", ask: at("/endpoints/%s/live", ofEndpoint)},
	"GET /endpoints/:id/deliveries": {scope: "endpoints:read", ask: at("/endpoints/%s/deliveries", ofEndpoint)},
	"GET /endpoints/:id/change":     {scope: "endpoints:write", ask: at("/endpoints/%s/change", ofEndpoint)},
	"POST /endpoints/:id/change": {scope: "endpoints:write", own: 303, ask: func(tn *tenant) (string, string) {
		return "/endpoints/" + tn.endpoint + "/change", endpointFields
	}},
	"POST /endpoints/:id/test":         {scope: "endpoints:write", ask: at("/endpoints/%s/test", ofEndpoint)},
	"GET /endpoints/:id/rotate":        {scope: "endpoints:write", ask: at("/endpoints/%s/rotate", ofEndpoint)},
	"POST /endpoints/:id/rotate":       {scope: "endpoints:write", ask: at("/endpoints/%s/rotate", ofEndpoint)},
	"POST /endpoints/:id/enable":       {scope: "endpoints:write", ask: at("/endpoints/%s/enable", ofEndpoint), own: 303},
	"GET /endpoints/:id/disable":       {scope: "endpoints:write", ask: at("/endpoints/%s/disable", ofEndpoint)},
	"POST /endpoints/:id/disable":      {scope: "endpoints:write", ask: at("/endpoints/%s/disable", ofEndpoint), own: 303, round: 1},
	"GET /endpoints/:id/delete":        {scope: "endpoints:write", ask: at("/endpoints/%s/delete", ofEndpoint)},
	"POST /endpoints/:id/delete":       {scope: "endpoints:write", ask: at("/endpoints/%s/delete", ofEndpoint), own: 303, round: 2},
	"GET /endpoints/:id/replay":        {scope: "endpoints:write", ask: at("/endpoints/%s/replay", ofEndpoint)},
	"POST /endpoints/:id/replay":       {scope: "endpoints:write", ask: func(tn *tenant) (string, string) { return "/endpoints/" + tn.endpoint + "/replay", "last=hour" }},
	"POST /endpoints/:id/retry-parked": {scope: "endpoints:write", ask: at("/endpoints/%s/retry-parked", ofEndpoint)},
	"GET /deliveries/:id":              {scope: "endpoints:read", ask: at("/deliveries/%s", ofDelivery)},
	"GET /deliveries/:id/live":         {scope: "endpoints:read", ask: at("/deliveries/%s/live", ofDelivery)},
	"POST /deliveries/:id/retry":       {scope: "endpoints:write", ask: at("/deliveries/%s/retry", ofDelivery), own: 303},
}

func ofOperation(tn *tenant) any { return tn.operation }

// forAdmin is a page that no key with limits may open.
func forAdmin(path, form string) route {
	return route{scope: "admin", own: http.StatusForbidden, list: true, ask: func(*tenant) (string, string) { return path, form }}
}

const endpointFields = "url=https%3A%2F%2Fbms.example.com%2Fhooks&description=Lifts&subjects=gatehouse.event.%3E&order=any&concurrency=3&enabled=yes"

// sent is a form that is the same for everybody.
func sent(path, form string) func(*tenant) (string, string) {
	return func(*tenant) (string, string) { return path, form }
}

// somebody is a user of no door.
const somebody = "7a1d2c30-0009-11f0-8000-00000000c009"

// atDoor is at the front door of a tenant's identity.
func atDoor(rest, form string) func(*tenant) (string, string) {
	return func(tn *tenant) (string, string) { return atDoorPath(tn) + rest, form }
}

func atDoorPath(tn *tenant) string { return "/doors/" + tn.identity + "/" + doordecksim.LockFront }

func atOperation(rest string) func(*tenant) (string, string) {
	return func(tn *tenant) (string, string) { return atDoorPath(tn) + "/operations/" + tn.operation + rest, "" }
}

// doors to the dashboard, which need no session or end it.
var signIns = []string{"GET /static/:file", "POST /sign-in", "GET /sign-in/:token", "POST /sign-in/:token", "POST /sign-out", "POST /sign-out-everywhere"}

func ofDashboard(name string) bool {
	if _, ok := pages[name]; ok {
		return true
	}
	for _, s := range signIns {
		if s == name {
			return true
		}
	}
	return false
}

// paged asks for a page with a session; a body is a form.
func (g *gateway) paged(session *http.Cookie, method, path, form string) answer {
	g.t.Helper()
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(form))
	if err != nil {
		g.t.Fatal(err)
	}
	req.AddCookie(session)
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := probe.Transport.RoundTrip(req) // redirects are answers here
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return answer{resp.StatusCode, resp.Header, nil}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// Every page, with every scope, and as two tenants for what is theirs, what is the other's, and what does not exist.
func TestEveryPageWithEveryScopeForTwoTenants(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	newDoordeck(t, g)
	routes, err := program.Routes(t.Context(), g.flags(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for name := range pages {
		if !strings.Contains(strings.Join(routes, "\n")+"\n", name+"\n") {
			t.Errorf("%s does not exist", name)
		}
	}
	g.start()
	a, b := &tenant{account: doorflowsim.AccountA, identity: "harbour"}, &tenant{account: doorflowsim.AccountB, identity: "foundry"}
	g.identity(a.identity, doordecksim.AdminAda)
	g.identity(b.identity, doordecksim.AdminBen)
	for _, tn := range []*tenant{a, b} {
		var link struct{ ID, URL string }
		g.call(http.MethodPost, "/v1/connect-links", `{"account":"`+tn.account+`"}`).json(t, &link)
		if p := walkWith(t, link.URL, url.Values{"decision": {"allow"}, "account": {tn.account}}); p.status != http.StatusOK {
			t.Fatal(p.status)
		}
		g.call(http.MethodPost, "/v1/connect-links", `{"account":"`+tn.account+`"}`).json(t, &link)
		tn.open = link.ID
		var asked struct{ Operation string }
		g.call(http.MethodPost, "/v1/identities/"+tn.identity+"/operations", `{"type":"unlock","lock":"`+doordecksim.LockFront+`"}`).json(t, &asked)
		tn.operation = asked.Operation
	}
	for _, tn := range []*tenant{a, b} {
		g.endow(tn)
		before := acknowledged(df)
		df.Emit(tn.account, df.Random(tn.account))
		df.awaitAcknowledged(t, before+1)
		var page struct{ Items []struct{ ID string } }
		g.call(http.MethodGet, "/v1/messages?account="+tn.account, "").json(t, &page)
		for _, m := range page.Items {
			tn.messages = append(tn.messages, m.ID)
		}
		g.awaitDelivery(tn)
		g.call(http.MethodGet, "/v1/audit?limit=1&account="+tn.account, "").json(t, &page)
		tn.entry = page.Items[0].ID
	}
	t.Run("scopes", func(t *testing.T) { walkPagesWithScopes(t, g) })
	for round := range 3 {
		walkPagesAs(t, g, a, b, round)
		walkPagesAs(t, g, b, a, round)
	}
}

func walkPagesWithScopes(t *testing.T, g *gateway) {
	for _, scope := range apikeys.Scopes() {
		session := g.session(g.key(map[string]any{"scopes": []string{scope}}))
		for name, r := range pages {
			path, form := r.ask(nobody)
			a := g.paged(session, method(name), path, form)
			may := r.scope == "" || scope == r.scope || scope == r.or || scope == "admin"
			if may == (a.status == http.StatusForbidden) || a.status == http.StatusUnauthorized || a.status >= 500 {
				t.Errorf("%s with the scope %s: %d", name, scope, a.status)
			}
			checkPage(t, name, a)
		}
	}
}

// checkPage wants of every page what protects who looks at it.
func checkPage(t *testing.T, name string, a answer) {
	t.Helper()
	policy := a.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", name, policy)
		}
	}
	if a.header.Get("X-Frame-Options") != "DENY" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: %v", name, a.header)
	}
	for _, never := range []string{"<style", " style=", " onclick=", "<script>", adminToken, clientSecret, webhookSecret} {
		if strings.Contains(string(a.body), never) {
			t.Errorf("%s has %q in it", name, never)
		}
	}
}

func walkPagesAs(t *testing.T, g *gateway, tn, other *tenant, round int) {
	sessions := map[string]*http.Cookie{} // by the scope that a page needs
	for name, r := range pages {
		if r.round != round {
			continue
		}
		scopes := []string{"connections:read", "messages:read", "identities:read", "endpoints:read", "operations:read"}
		if r.scope != "" && r.scope != "admin" && !slices.Contains(scopes, r.scope) {
			scopes = append(scopes, r.scope)
		}
		session := sessions[r.scope]
		if session == nil {
			session = g.session(g.key(map[string]any{"scopes": scopes, "accounts": []string{tn.account}, "identities": []string{tn.identity}}))
			sessions[r.scope] = session
		}
		path, form := r.ask(tn)
		own := g.paged(session, method(name), path, form)
		if want := max(r.own, http.StatusOK); own.status != want {
			t.Errorf("%s as %s: %d, want %d: %s", name, tn.account, own.status, want, own.body)
		}
		if shows, made := strings.Contains(string(own.body), "whsec_"), name == "POST /endpoints" || name == "POST /endpoints/:id/rotate"; shows != made {
			t.Errorf("%s as %s: shows a secret: %t", name, tn.account, shows)
		}
		for _, mark := range other.marks() {
			if mark != "" && !r.same && strings.Contains(string(own.body), mark) {
				t.Errorf("%s shows %s what is another's: %s", name, tn.account, mark)
			}
		}
		if strings.Contains(string(own.body), "The flow") {
			t.Errorf("%s tells %s how much is said to everybody", name, tn.account)
		}
		if r.live || r.list {
			continue
		}
		path, form = r.ask(other)
		foreign := g.paged(session, method(name), path, form)
		path, form = r.ask(nobody)
		missing := g.paged(session, method(name), path, form)
		if fmt.Sprint(foreign.status, len(unnamed(foreign, other))) != fmt.Sprint(missing.status, len(unnamed(missing, nobody))) || foreign.status/10 != 40 {
			t.Errorf("%s: what is another's is answered %d, what does not exist %d", name, foreign.status, missing.status)
		}
	}
}

// unnamed is a page without what was asked for: a form shows again what was typed.
func unnamed(a answer, tn *tenant) string {
	body := string(a.body)
	for _, mark := range tn.marks() {
		if mark != "" {
			body = strings.ReplaceAll(body, mark, "")
		}
	}
	return body
}
