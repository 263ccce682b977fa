package passthrough_test

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/internal/invalid"
	"gatehouse/passthrough"
)

const route = "/v1/connections/hX9aQ2/doorflow"

func TestTargets(t *testing.T) {
	for uri, want := range map[string]passthrough.Target{
		route + "/api/3/people":                              {Account: "hX9aQ2", Sent: "/api/3/people", Path: "/api/3/people"},
		route + "/api/3/people/4821/credentials/R7mKd0P":     {Account: "hX9aQ2", Sent: "/api/3/people/4821/credentials/R7mKd0P", Path: "/api/3/people/4821/credentials/R7mKd0P"},
		route + "/api/3/people.json?email=a%40b&page=2":      {Account: "hX9aQ2", Sent: "/api/3/people.json", Path: "/api/3/people.json", Query: "email=a%40b&page=2"},
		route + "/api/3/a%20b;c=d/%C3%A9,..x":                {Account: "hX9aQ2", Sent: "/api/3/a%20b;c=d/%C3%A9,..x", Path: "/api/3/a b;c=d/é,..x"},
		"/v1/connections/h%58/doorflow/api/3/account?":       {Account: "hX", Sent: "/api/3/account", Path: "/api/3/account"},
		route + "/api/3/events?next=/../%2e%2e//x&ack_token": {Account: "hX9aQ2", Sent: "/api/3/events", Path: "/api/3/events", Query: "next=/../%2e%2e//x&ack_token"},
	} {
		got, err := passthrough.ParseTarget(uri)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", uri, got, err)
		}
	}
}

func TestTargetsThatAreRefused(t *testing.T) {
	paths := []string{
		"", "/", "/api/3", "/api/3/", "/api/2/people", "/api/3x/people", "/API/3/people", "//api/3/people", "/api//3/people", "/oauth/token",
		"/api/3//people", "/api/3/people//4", "/api/3/people/", "/api/3/./people", "/api/3/people/.", "/api/3/../2/people", "/api/3/people/..",
		"/api/3/%2e%2e/oauth", "/api/3/%2E./oauth", "/api/3/.%2e/oauth", "/api/3/%2e/people", "/api/3/..;/oauth", "/api/3/..%3b/oauth", "/api/3/;/oauth",
		"/api/3/a%2fb", "/api/3/a%2Fb", "/api/3/a%5cb", "/api/3/a%5Cb", `/api/3/a\b`, "/api/3/%252e%252e/x", "/api/3/a%25", "/api%2f3/people", "/%61pi/3/people",
		"/api/3/a%00b", "/api/3/a%0d%0ab", "/api/3/a%7fb", "/api/3/a%c2%85b", "/api/3/%c0%ae%c0%ae/x", "/api/3/%ff", "/api/3/%", "/api/3/%zz", "/api/3/%4",
		"/api/3/é", "/api/3/a b", "/api/3/a#b", `/api/3/a"b`, "/api/3/<a>", "/api/3/a|b", "/api/3/a^b", "/api/3/a\x00b", "/api/3/a\tb",
		"/api/3/people?access_token=x", "/api/3/people?page=1&API_KEY=x", "/api/3/people?%61pi_key=x", "/api/3/people?a;bearer_token=x", "/api/3/people?access_token[]=x",
		"/api/3/people?a=b#c", "/api/3/people?a=b c", "/api/3/people?a=é", "/api/3/people?%zz=1",
	}
	uris := []string{
		"", "*", "http://gate.example/v1/connections/hX9aQ2/doorflow/api/3/people", "/v1/connections//doorflow/api/3/people",
		"/v1/connections/a/b/doorflow/api/3/people", "/v1/connections/../doorflow/api/3/people", "/v1/connections/%2e%2e/doorflow/api/3/people",
		"/v1/connections/a%2fb/doorflow/api/3/people", "/v1/connections/a%00/doorflow/api/3/people", "//v1/connections/a/doorflow/api/3/people",
		"/v1/connections/hX9aQ2/doorflow;x/api/3/people", "/v1/connections/hX9aQ2/doorflow%2fapi/3/people", "/V1/connections/hX9aQ2/doorflow/api/3/people",
	}
	for _, p := range paths {
		uris = append(uris, route+p)
	}
	for _, uri := range uris {
		_, err := passthrough.ParseTarget(uri)
		fault, ok := errors.AsType[*invalid.Error](err)
		if !ok || (fault.Field != "path" && fault.Field != "query") {
			t.Errorf("%q: %v", uri, err)
		}
		if ok && strings.Contains(fault.Detail, "hX9aQ2") {
			t.Errorf("%q is repeated in %q", uri, fault.Detail)
		}
	}
}

func TestScopesFollowWhatDoorFlowWillSee(t *testing.T) {
	const read, write, doors = passthrough.ScopeRead, passthrough.ScopeWrite, passthrough.ScopeDoors
	for request, want := range map[string]string{
		"GET people": read, "GET channels/5012": read, "POST people": write, "POST sync": write, "PUT people/4": write, "DELETE people/4": write,
		"POST people/channels": write, "POST channelsx/1": write, "PUT channels/1": write, "DELETE channels/1": write,
		"POST channels/5012/admit": doors, "POST channels": doors, "POST %63hannels/5012/admit": doors, "POST channel%73/5012/unlock": doors,
		"POST channel/5012/admit": doors, "POST Channels/5012/admit": doors, "POST channels.json": doors, "POST channels;x/5012/admit": doors,
		"POST door_controllers/5012/admit": doors, "POST door%5fcontroller/5012/admit": doors,
	} {
		method, rest, _ := strings.Cut(request, " ")
		target, err := passthrough.ParseTarget(route + "/api/3/" + rest)
		if got := target.Scope(method); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", request, got, want, err)
		}
	}
}

// Whatever is let through means the same to everybody who reads it.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{
		"/api/3/people/4821?page=2", "/api/3/%2e%2e/x", "/api/3/a%2fb", "/api/3//x", "/api/3/a;b=c", "/api/3/%E2%80%AE", "/api/3/x?api_key=1", "/api/3/a/..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		target, err := passthrough.ParseTarget(route + rest)
		if err != nil {
			return
		}
		uri := target.Sent
		if target.Query != "" {
			uri += "?" + target.Query
		}
		if !strings.HasPrefix(route+rest, route+uri) {
			t.Errorf("%q goes on as %q", rest, uri)
		}
		u, err := url.ParseRequestURI("http://api.example" + uri)
		if err != nil || u.Path != target.Path || u.EscapedPath() != target.Sent {
			t.Errorf("%q is read as %v, %v", uri, u, err)
		}
		if path.Clean(target.Path) != target.Path || !strings.HasPrefix(target.Path, "/api/3/") || !utf8.ValidString(target.Path) ||
			strings.ContainsAny(target.Path, "\\%\x00\r\n") || target.Account != "hX9aQ2" {
			t.Errorf("%q leads to %q", rest, target.Path)
		}
	})
}
