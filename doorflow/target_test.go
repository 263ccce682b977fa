package doorflow_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"gatehouse/doorflow"
)

// event is an item about event 1 that points at the URL and has the given other fields.
func event(resource string, more map[string]any) string {
	fields := map[string]any{
		"action": "CREATE", "resource": resource, "resource_type": "Event", "resource_id": "1", "account_id": "hX9aQ2", "ack_token": "Qk7rT2xLp",
	}
	for name, value := range more {
		if fields[name] = value; value == nil {
			delete(fields, name)
		}
	}
	body, _ := json.Marshal(fields)
	return string(body)
}

func TestTarget(t *testing.T) {
	const good = "https://api.doorflow.com/api/3/events/1?ack_token=Qk7rT2xLp"
	type fields = map[string]any
	credential := func(resource, id string) string {
		return event(resource, fields{"resource_type": "PersonCredential", "resource_id": id})
	}
	const foreign, incomplete = doorflow.FlagForeignURL, doorflow.FlagIncomplete
	for _, tt := range []struct {
		name, item string
		path       string
		flag       doorflow.Flag
	}{
		{"event", event(good, nil), "/api/3/events/1", ""},
		{"perimeter event", event(good, fields{"resource_type": "PerimeterEvent"}), "/api/3/events/1", ""},
		{"id as a number", event(good, fields{"resource_id": 1}), "/api/3/events/1", ""},
		{"host in capitals", event("https://API.DoorFlow.com/api/3/events/1", nil), "/api/3/events/1", ""},
		{"scheme in capitals", event("HTTPS://api.doorflow.com/api/3/events/1", nil), "/api/3/events/1", ""},
		{"credential", credential("https://api.doorflow.com/api/3/people/4821/credentials/R7mKd0P", "R7mKd0P"), "/api/3/people/4821/credentials/R7mKd0P", ""},
		{"both URLs, the same", event(good, fields{"resource_url": good}), "/api/3/events/1", ""},
		{"resource_url only", event("", fields{"resource_url": good}), "/api/3/events/1", ""},
		{"unknown parameters", event(good+"&x=1", nil), "/api/3/events/1", ""},

		{"both URLs, different", event(good, fields{"resource_url": good + "&x=1"}), "", doorflow.FlagConflictingURLs},
		{"foreign host", event("https://api.doorflow.com.evil.test/api/3/events/1", nil), "", foreign},
		{"host with a trailing dot", event("https://api.doorflow.com./api/3/events/1", nil), "", foreign},
		{"http", event("http://api.doorflow.com/api/3/events/1", nil), "", foreign},
		{"no scheme", event("//api.doorflow.com/api/3/events/1", nil), "", foreign},
		{"path only", event("/api/3/events/1", nil), "", foreign},
		{"opaque", event("https:api.doorflow.com/api/3/events/1", nil), "", foreign},
		{"userinfo", event("https://api.doorflow.com@evil.test/api/3/events/1", nil), "", foreign},
		{"userinfo before our host", event("https://user:word@api.doorflow.com/api/3/events/1", nil), "", foreign},
		{"port", event("https://api.doorflow.com:8443/api/3/events/1", nil), "", foreign},
		{"fragment", event("https://api.doorflow.com/api/3/events/1#x", nil), "", foreign},
		{"encoded slash", event("https://api.doorflow.com/api/3/events%2f1", nil), "", foreign},
		{"encoded digit", event("https://api.doorflow.com/api/3/events/%31", nil), "", foreign},
		{"encoded dots", event("https://api.doorflow.com/api/3/%2e%2e/3/events/1", nil), "", foreign},
		{"dots", event("https://api.doorflow.com/api/3/people/../events/1", nil), "", foreign},
		{"double slash", event("https://api.doorflow.com/api/3//events/1", nil), "", foreign},
		{"slash at the end", event("https://api.doorflow.com/api/3/events/1/", nil), "", foreign},
		{"back slash", event(`https://api.doorflow.com\api/3/events/1`, nil), "", foreign},
		{"newline", event("https://api.doorflow.com/api/3/events/1\n", nil), "", foreign},
		{"another id", event("https://api.doorflow.com/api/3/events/2", nil), "", foreign},
		{"another kind", event("https://api.doorflow.com/api/3/people/1", nil), "", foreign},
		{"a credential's path for an event", event("https://api.doorflow.com/api/3/people/4821/credentials/1", nil), "", foreign},
		{"an event id that is not decimal", event("https://api.doorflow.com/api/3/events/a", fields{"resource_id": "a"}), "", foreign},
		{"an event id beyond 64 bits", event("https://api.doorflow.com/api/3/events/"+strings.Repeat("9", 19), fields{"resource_id": strings.Repeat("9", 19)}), "", foreign},
		{"a credential id with a slash", credential("https://api.doorflow.com/api/3/people/1/credentials/a/b", "a/b"), "", foreign},
		{"a credential id of dots", credential("https://api.doorflow.com/api/3/people/1/credentials/..", ".."), "", foreign},
		{"a person who is no number", credential("https://api.doorflow.com/api/3/people/x/credentials/a", "a"), "", foreign},
		{"no person", credential("https://api.doorflow.com/api/3/people//credentials/a", "a"), "", foreign},
		{"two credentials", credential("https://api.doorflow.com/api/3/people/1/credentials/a/credentials/a", "a"), "", foreign},
		{"callback too long", event(good+"&callback="+strings.Repeat("x", 129), nil), "", foreign},
		{"callback with NUL", event(good+"&callback=%00", nil), "", foreign},
		{"callback not UTF-8", event(good+"&callback=%ff", nil), "", foreign},
		{"URL cannot be parsed", event("https://[api.doorflow.com/api/3/events/1", nil), "", foreign},

		{"unknown type", event(good, fields{"resource_type": "Person"}), "", doorflow.FlagUnknownType},
		{"type in other letters", event(good, fields{"resource_type": "event"}), "", doorflow.FlagUnknownType},

		{"no URL", event("", nil), "", incomplete},
		{"no action", event(good, fields{"action": nil}), "", incomplete},
		{"no type", event(good, fields{"resource_type": nil}), "", incomplete},
		{"no id", event(good, fields{"resource_id": nil}), "", incomplete},
		{"no account", event(good, fields{"account_id": nil}), "", incomplete},
		{"empty account", event(good, fields{"account_id": ""}), "", incomplete},
		{"no ack token", event("https://api.doorflow.com/api/3/events/1", fields{"ack_token": nil}), "", incomplete},
		{"action too long", event(good, fields{"action": strings.Repeat("x", 129)}), "", incomplete},
		{"account too long", event(good, fields{"account_id": strings.Repeat("x", 129)}), "", incomplete},
		{"ack token too long", event("https://api.doorflow.com/api/3/events/1", fields{"ack_token": strings.Repeat("x", 129)}), "", incomplete},
		{"ack token with NUL", event("https://api.doorflow.com/api/3/events/1", fields{"ack_token": "a\x00b"}), "", incomplete},
		{"ack token in the URL not UTF-8", event("https://api.doorflow.com/api/3/events/1?ack_token=%ff", nil), "", incomplete},
		{"not an object", "[[]]", "", incomplete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, flag := one(t, tt.item).Target(api)
			if got.Path != tt.path || flag != tt.flag {
				t.Fatalf("path %q flag %q, want %q and %q", got.Path, flag, tt.path, tt.flag)
			}
			if flag != "" && got != (doorflow.Target{}) {
				t.Fatalf("a flagged item has the target %+v", got)
			}
		})
	}
}

func TestTargetAcknowledges(t *testing.T) {
	const path = "https://api.doorflow.com/api/3/events/1"
	for _, tt := range []struct {
		name, url string
		field     any
		want      doorflow.Target
	}{
		{"both", path + "?ack_token=Qk7rT2xLp", "Qk7rT2xLp", doorflow.Target{AckToken: "Qk7rT2xLp"}},
		{"only the field", path, "Qk7rT2xLp", doorflow.Target{AckToken: "Qk7rT2xLp"}},
		{"only the URL", path + "?ack_token=Qk7rT2xLp", nil, doorflow.Target{AckToken: "Qk7rT2xLp"}},
		{"the URL is what DoorFlow expects to be called", path + "?ack_token=url", "field", doorflow.Target{AckToken: "url"}},
		{"empty in the URL", path + "?ack_token=", "field", doorflow.Target{AckToken: "field"}},
		{"a number", path, 123456, doorflow.Target{AckToken: "123456"}},
		{"callback", path + "?callback=cb1&ack_token=Qk7rT2xLp", nil, doorflow.Target{AckToken: "Qk7rT2xLp", Callback: "cb1"}},
		{"encoded", path + "?ack_token=a%26b", nil, doorflow.Target{AckToken: "a&b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, flag := one(t, event(tt.url, map[string]any{"ack_token": tt.field})).Target(api)
			if tt.want.Path = "/api/3/events/1"; got != tt.want || flag != "" {
				t.Fatalf("%+v, flag %q; want %+v", got, flag, tt.want)
			}
		})
	}
}

func TestTargetBelowAPrefix(t *testing.T) {
	base, err := url.Parse("http://127.0.0.1:8081/doorflow/")
	if err != nil {
		t.Fatal(err)
	}
	if got, flag := one(t, event("http://127.0.0.1:8081/doorflow/api/3/events/1", nil)).Target(base); flag != "" || got.Path != "/api/3/events/1" {
		t.Errorf("%+v, flag %q", got, flag)
	}
	if _, flag := one(t, event("http://127.0.0.1:8081/api/3/events/1", nil)).Target(base); flag != doorflow.FlagForeignURL {
		t.Errorf("outside of the prefix: flag %q", flag)
	}
}
