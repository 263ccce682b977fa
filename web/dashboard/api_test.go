package dashboard

import (
	"strings"
	"testing"

	"gatehouse/web"
	"gatehouse/web/reference"
)

func TestProse(t *testing.T) {
	got := string(prose("Take `a<b>` and\nleave.\n\n\n\nThen <i>stop</i>."))
	if want := "<p>Take <code>a&lt;b&gt;</code> and\nleave.</p>\n<p>Then &lt;i&gt;stop&lt;/i&gt;.</p>\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A request can be typed into a shell, whatever its example holds.
func TestARequestAsACommand(t *testing.T) {
	r := reference.Request{Method: "POST", Path: "/v1/{x}", Try: "/v1/x", Headers: []string{"Prefer: wait=20"}, Scopes: []string{"x:write"}, Body: &reference.Body{Kind: "application/json", Examples: []string{`{"a":"it's"}`}}}
	want := "curl -X POST -H \"Authorization: Bearer $GATEHOUSE_TOKEN\" -H 'Prefer: wait=20' \"$GATEHOUSE_URL/v1/x\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{\"a\":\"it'\\''s\"}'"
	if got := curl(r); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := curl(reference.Request{Method: "GET", Try: "/livez"}); got != `curl "$GATEHOUSE_URL/livez"` {
		t.Error(got)
	}
}

// No command has anything left in it that only stands for something: a shell or curl would take it for its own.
func TestEveryCommandCanBeTyped(t *testing.T) {
	all, err := reference.Read(web.Descriptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all.Requests {
		for _, r := range g.Requests {
			command, _, _ := strings.Cut(curl(r), " -d ")
			if strings.ContainsAny(command, "{}[]") || !strings.Contains(command, "$GATEHOUSE_URL/") {
				t.Errorf("%s: %s", r.ID, command)
			}
			if (r.ID == "streamMessages") != strings.Contains(command, "curl -N") && r.ID != "verifyAudit" {
				t.Errorf("%s: %s", r.ID, command)
			}
		}
	}
}

// What is looked for is found by any of its words, in any case, and nothing else is.
func TestLookingForARequest(t *testing.T) {
	all, err := reference.Read(web.Descriptions())
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"ROTATE-secret": "rotateEndpointSecret", "audit:read verify": "verifyAudit", "gatehouse.command unlock": "commandUnlock",
		"/problems/LAST-admin-key": "revokeAPIKey", "batch_sharing search": "listDoors", "events_found": "connection",
	} {
		var found []string
		for _, g := range append(matching(all.Requests, query), matching(all.Messages, query)...) {
			for _, r := range g.Requests {
				found = append(found, r.ID)
			}
			for _, ch := range g.Channels {
				found = append(found, ch.ID)
			}
		}
		if strings.Join(found, " ") != want {
			t.Errorf("%q finds %v, want %s", query, found, want)
		}
	}
	if found := matching(all.Requests, "zzz"); len(found) > 0 {
		t.Errorf("nonsense finds %v", found)
	}
}
