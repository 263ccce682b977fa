package doorflow_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gatehouse/doorflow"
)

const (
	eventItem = `{"action":"CREATE","resource":"https://api.doorflow.com/api/3/events/700000001?ack_token=Qk7rT2xLp",` +
		`"resource_type":"Event","resource_id":"700000001","account_id":"hX9aQ2","ack_token":"Qk7rT2xLp"}`
	credentialItem = `{"action":"UPDATE","resource":"https://api.doorflow.com/api/3/people/4821/credentials/R7mKd0P?ack_token=Zt4wB8nYc",` +
		`"resource_type":"PersonCredential","resource_id":"R7mKd0P","account_id":"hX9aQ2","ack_token":"Zt4wB8nYc"}`
)

var api = &url.URL{Scheme: "https", Host: "api.doorflow.com"}

// one parses a body of one item.
func one(t testing.TB, body string) doorflow.Notification {
	t.Helper()
	items, err := doorflow.ParseNotifications([]byte(body))
	if err != nil || len(items) != 1 {
		t.Fatalf("%d items, %v; want one", len(items), err)
	}
	return items[0]
}

func TestParseNotifications(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		items      int
		err        error
	}{
		{"array", "[" + eventItem + "," + credentialItem + "]", 2, nil},
		{"lone object", eventItem, 1, nil},
		{"lone object among white space", " \r\n\t" + eventItem + "\n", 1, nil},
		{"no items", "[]", 0, nil},
		{"no items but white space", " [ \n] ", 0, nil},
		{"empty", "", 0, doorflow.ErrUnparsable},
		{"white space only", " \n", 0, doorflow.ErrUnparsable},
		{"garbage", "action=CREATE", 0, doorflow.ErrUnparsable},
		{"string", `"CREATE"`, 0, doorflow.ErrUnparsable},
		{"number", "7", 0, doorflow.ErrUnparsable},
		{"null", "null", 0, doorflow.ErrUnparsable},
		{"cut short", eventItem[:60], 0, doorflow.ErrUnparsable},
		{"array cut short", "[" + eventItem, 0, doorflow.ErrUnparsable},
		{"object and more", eventItem + eventItem, 0, doorflow.ErrUnparsable},
		{"array and more", "[]x", 0, doorflow.ErrUnparsable},
		{"byte order mark", "\xef\xbb\xbf[]", 0, doorflow.ErrUnparsable},
		{"items of any type", `[1,"x",null,true,[1],{}]`, 6, nil},
		{"nested too deep", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), 0, doorflow.ErrUnparsable},
		{"nested deep", "[" + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "]", 1, nil},
		{"as many as allowed", "[" + strings.Repeat("{},", doorflow.MaxItems-1) + "{}]", doorflow.MaxItems, nil},
		{"one too many", "[" + strings.Repeat("{},", doorflow.MaxItems) + "{}]", 0, doorflow.ErrUnparsable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			items, err := doorflow.ParseNotifications([]byte(tt.body))
			if !errors.Is(err, tt.err) || len(items) != tt.items {
				t.Fatalf("%d items, %v; want %d, %v", len(items), err, tt.items, tt.err)
			}
		})
	}
}

func TestParseNotificationFields(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       doorflow.Notification
	}{
		{
			"as DoorFlow sends it", eventItem,
			doorflow.Notification{
				Action: "CREATE", ResourceType: "Event", ResourceID: "700000001", AccountID: "hX9aQ2", AckToken: "Qk7rT2xLp",
				Resource: "https://api.doorflow.com/api/3/events/700000001?ack_token=Qk7rT2xLp",
			},
		},
		{"ids as numbers", `{"resource_id":700000001,"account_id":-3}`, doorflow.Notification{ResourceID: "700000001", AccountID: "-3"}},
		{"a number keeps its digits", `{"resource_id":9007199254740993}`, doorflow.Notification{ResourceID: "9007199254740993"}},
		{"the last of two fields of one name counts", `{"action":"CREATE","action":"DESTROY"}`, doorflow.Notification{Action: "DESTROY"}},
		{"escapes", `{"action":"\u0043REATE","account_id":"\u00e9"}`, doorflow.Notification{Action: "CREATE", AccountID: "é"}},
		{"half a surrogate pair", `{"account_id":"\ud800"}`, doorflow.Notification{AccountID: "\uFFFD"}},
		{"not UTF-8", "{\"account_id\":\"a\xffb\"}", doorflow.Notification{AccountID: "a\uFFFDb"}},
		{"other types are missing", `{"action":null,"account_id":{},"resource_id":[],"ack_token":true}`, doorflow.Notification{}},
		{"names are exact", `{"Action":"CREATE","ACCOUNT_ID":"x"}`, doorflow.Notification{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := one(t, tt.body)
			if string(got.Raw) != tt.body {
				t.Errorf("Raw is %s", got.Raw)
			}
			if got.Raw = nil; !equal(got, tt.want) {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func equal(a, b doorflow.Notification) bool {
	return a.Action == b.Action && a.ResourceType == b.ResourceType && a.ResourceID == b.ResourceID && a.AccountID == b.AccountID &&
		a.Resource == b.Resource && a.ResourceURL == b.ResourceURL && a.AckToken == b.AckToken
}

var targetPath = regexp.MustCompile(`^/api/3/(events/[0-9]+|people/[0-9]+/credentials/[0-9A-Za-z_-]+)$`)

func FuzzParseNotifications(f *testing.F) {
	for _, seed := range []string{
		eventItem, credentialItem, "[" + eventItem + "]", "[]", `[1,"x",null,[{}]]`,
		`{"ack_token":"\u0051k7rT2xLp","x":"Qk7rT2xLp","y":{"Qk7rT2xLp":["Qk7rT2xLp"]}}`,
		`{"ack_token":123456,"resource_id":9123456,"n":1e5}`,
		`{"resource":"https://u:p@h/api/3/events/1?ack_token=abcdefg#ack_token=abcdefg","resource_url":"x?ACK_TOKEN=abcdefg"}`,
		`{"ack_token":"a\"b\\cdef","x":"a\"b\\cdef"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := doorflow.ParseNotifications(body)
		if err != nil {
			if !errors.Is(err, doorflow.ErrUnparsable) {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, n := range items {
			public := n.Public()
			var shown map[string]any
			if err := json.Unmarshal(public, &shown); err != nil || shown == nil {
				t.Fatalf("Public is no JSON object: %s (%v)", public, err)
			}
			if findable(n.AckToken) && holds(shown, n.AckToken) {
				t.Fatalf("the ack token %q is in %s", n.AckToken, public)
			}
			if target, flag := n.Target(api); flag == "" && !targetPath.MatchString(target.Path) {
				t.Fatalf("target %q", target.Path)
			}
		}
	})
}

// findable tells whether a token can be told from what stands in every item anyway.
func findable(token string) bool {
	const always = "REDACTED action resource_url resource_type resource_id account_id"
	return len(token) >= 6 && !strings.Contains(always, token) && !strings.Contains(token, "REDACTED") &&
		token[0] != 'D' && token[len(token)-1] != 'R' && !strings.Contains(token, "\uFFFD")
}

// holds tells whether a text stands anywhere in a decoded value.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		for _, item := range v {
			if holds(item, text) {
				return true
			}
		}
	case map[string]any:
		for name, field := range v {
			if strings.Contains(name, text) || holds(field, text) {
				return true
			}
		}
	}
	return false
}
