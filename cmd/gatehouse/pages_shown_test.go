package main_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/sharing"
)

// shown is what a page shows to those who have all of some scopes, and to nobody else.
type shown struct {
	name, path, text string
	scopes           []string
}

var readingScopes = []string{"audit:read", "connections:read", "endpoints:read", "identities:read", "messages:read", "operations:read"}

// see opens pages with a key of the reading scopes but one, and wants of each what that leaves.
func (g *gateway) see(all []shown, without string, limits map[string]any) {
	g.t.Helper()
	scopes := slices.DeleteFunc(slices.Clone(readingScopes), func(s string) bool { return s == without })
	request := map[string]any{"scopes": scopes}
	for name, ids := range limits {
		request[name] = ids
	}
	session := g.session(g.key(request))
	for _, s := range all {
		a := g.paged(session, http.MethodGet, s.path, "")
		if got, want := strings.Contains(string(a.body), s.text), !slices.Contains(s.scopes, without); got != want {
			g.t.Errorf("%s without %q, with the limits %v: shown %t, want %t (%d)", s.name, without, limits, got, want, a.status)
		}
	}
}

// What stands on a page that several scopes may open goes with the scopes and the limits of who looks, too: what needs
// somebody, the figures, what hangs together with a message or an operation, and what a field proposes.
func TestWhatAPageShowsGoesWithItsKey(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer gone.Close()
	g := newGateway(t, map[string]string{"GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"})
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	a, b := &tenant{account: doorflowsim.AccountA, identity: "harbour"}, &tenant{account: doorflowsim.AccountB, identity: "foundry"}
	var everybodys struct{ ID string }
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"`+gone.URL+`/all","description":"everybody","subjects":["gatehouse.event.>"]}`).json(t, &everybodys)
	for _, tn := range []*tenant{a, b} {
		g.identity(tn.identity, map[*tenant]string{a: doordecksim.AdminAda, b: doordecksim.AdminBen}[tn])
		var link struct{ URL string }
		g.call(http.MethodPost, "/v1/connect-links", `{"account":"`+tn.account+`"}`).json(t, &link)
		walkWith(t, link.URL, url.Values{"decision": {"allow"}, "account": {tn.account}})
		g.awaitConnection(tn.account, "active")
		limited := g.key(map[string]any{"scopes": []string{"endpoints:write"}, "accounts": []string{tn.account}, "identities": []string{tn.identity}})
		g.callWith(limited, http.MethodPost, "/v1/endpoints", `{"url":"`+gone.URL+`/","description":"bms of `+tn.identity+`","subjects":["gatehouse.event.>"]}`)
		var asked struct{ Operation string }
		g.call(http.MethodPost, "/v1/identities/"+tn.identity+"/operations", `{"type":"unlock","lock":"`+doordecksim.LockFront+`"}`).json(t, &asked)
		tn.operation = asked.Operation
		eventually(t, 30*time.Second, func() string {
			var op struct{ Status sharing.Status }
			if g.call(http.MethodGet, "/v1/operations/"+tn.operation, "").json(t, &op); !op.Status.Final() {
				return "the operation is " + string(op.Status)
			}
			return ""
		})
	}
	g.see([]shown{{"how many accounts there are", "/", "2 accounts active", []string{"connections:read"}}}, "connections:read", nil)
	g.see([]shown{{"how many accounts there are", "/", "2 accounts active", nil}}, "", nil)
	g.see([]shown{{"how many of them are the key's", "/", "1 account active", nil}}, "", ownOf(a))
	for _, tn := range []*tenant{a, b} {
		df.Emit(tn.account, df.Random(tn.account))
		eventually(t, 20*time.Second, func() string {
			var page struct{ Items []struct{ ID string } }
			g.call(http.MethodGet, "/v1/messages?subject=gatehouse.event.%3E&account="+tn.account, "").json(t, &page)
			if len(page.Items) == 0 {
				return "there is no event of " + tn.account
			}
			tn.messages = []string{page.Items[0].ID}
			return ""
		})
	}
	trouble(t, g, df, a, b)
	all := []shown{
		{"a connection that needs somebody", "/", a.account + " must be connected again", []string{"connections:read"}},
		{"an identity that needs somebody", "/", a.identity + " waits for a code", []string{"identities:read"}},
		{"an endpoint that needs somebody", "/", "bms of " + a.identity + " is disabled", []string{"endpoints:read"}},
		{"the latest messages", "/", `href="/messages/0`, []string{"messages:read"}},
		{"the accounts to choose from", "/messages", `<option value="` + a.account + `"`, []string{"messages:read", "connections:read"}},
		{"the deliveries of a message", "/messages/" + a.messages[0], "bms of " + a.identity, []string{"messages:read", "endpoints:read"}},
		{"the steps of an operation", "/operations/" + a.operation, "<h3>So far</h3>", []string{"operations:read", "messages:read"}},
		{"whom identities act as", "/doors", doordecksim.AdminAda, []string{"operations:read", "identities:read"}},
	}
	for _, without := range append([]string{""}, readingScopes...) {
		g.see(all, without, nil)
	}
	g.see(all[:7], "", ownOf(a))
	var others []shown // nobody sees them who is held to the first tenant
	for _, s := range []shown{
		{path: "/", text: b.account},
		{path: "/", text: b.identity},
		{path: "/messages", text: b.account},
		{path: "/doors", text: b.identity},
		{path: "/messages/" + a.messages[0], text: "everybody"},
		{path: "/", text: "everybody is disabled"},
		{path: "/endpoints", text: "everybody"},
		{path: "/operations", text: b.operation},
		{path: "/audit", text: "Not verified"},
		{path: "/audit", text: b.account},
	} {
		others = append(others, shown{"what is another's on " + s.path + ", " + s.text, s.path, s.text, []string{""}})
	}
	g.see(others, "", ownOf(a))
	g.see([]shown{{"the audit log's chain", "/audit", "/audit/verify", []string{""}}}, "", map[string]any{"accounts": []string{}})
	session := g.session(adminToken)
	path := "/doors/" + b.identity + "/" + doordecksim.LockFront + "/operations/" + a.operation
	if a := g.paged(session, http.MethodGet, path, ""); a.status != http.StatusNotFound {
		t.Errorf("an operation below another identity: %d", a.status)
	}
	hash := sha256.Sum256([]byte(session.Value))
	path = fmt.Sprintf("/sessions/%x/end", hash[:8])
	if a := g.paged(g.session(g.key(map[string]any{"scopes": readingScopes})), http.MethodPost, path, ""); a.status != http.StatusNotFound {
		t.Errorf("ending a session of another key: %d", a.status)
	}
	if a := g.paged(g.session(adminToken), http.MethodPost, path, ""); a.status != http.StatusSeeOther {
		t.Errorf("ending one of the same key: %d", a.status)
	}
}

func ownOf(tn *tenant) map[string]any {
	return map[string]any{"accounts": []string{tn.account}, "identities": []string{tn.identity}}
}

// trouble has the connections, identities and endpoints of tenants need somebody.
func trouble(t *testing.T, g *gateway, df *cloud, tenants ...*tenant) {
	t.Helper()
	for n, tn := range tenants {
		df.RevokeGrant(tn.account)
		if status, _, err := post(t.Context(), probe, g.url, "["+notification(df.url, tn.account, fmt.Sprint(900000+n), "Alost")+"]"); status != http.StatusOK || err != nil {
			t.Fatal(status, err)
		}
		if a := g.call(http.MethodPost, "/v1/identities/"+tn.identity+"/register", `{"new_key":true}`); a.status != http.StatusOK {
			t.Fatal(a.status, string(a.body))
		}
	}
	for _, tn := range tenants {
		g.awaitConnection(tn.account, "reauthorize")
	}
	eventually(t, 20*time.Second, func() string {
		var page struct{ Items []struct{ Enabled bool } }
		g.call(http.MethodGet, "/v1/endpoints", "").json(t, &page)
		for _, e := range page.Items {
			if e.Enabled {
				return "an endpoint that answers 410 is enabled"
			}
		}
		return ""
	})
}
