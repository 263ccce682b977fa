package doorflow_test

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestPublic(t *testing.T) {
	for _, tt := range []struct{ name, item, want string }{
		{
			"as DoorFlow sends it", eventItem,
			`{"account_id":"hX9aQ2","action":"CREATE","resource":"https://api.doorflow.com/api/3/events/700000001","resource_id":"700000001","resource_type":"Event"}`,
		},
		{"the token's field in any letter case", `{"ack_token":"Qk7rT2xLp","ACK_TOKEN":"x","Ack_Token":"y"}`, `{}`},
		{
			"both URLs", `{"resource":"https://h/a?ack_token=Qk7rT2xLp&b=1","resource_url":"https://h/a?c=2&ack_token=Qk7rT2xLp"}`,
			`{"resource":"https://h/a?b=1","resource_url":"https://h/a?c=2"}`,
		},
		{
			"two tokens", `{"resource":"https://h/a?ack_token=Qk7rT2xLp","ack_token":"Zt4wB8nYc","x":"Qk7rT2xLp Zt4wB8nYc"}`,
			`{"resource":"https://h/a","x":"REDACTED REDACTED"}`,
		},
		{"a parameter in other letters, or encoded", `{"resource":"https://h/a?ACK_token=Qk7rT2xLp&%61ck_token=Qk7rT2xLp&b=1"}`, `{"resource":"https://h/a?b=1"}`},
		{"ampersands as Rails writes them", `{"resource":"https://h/a?b=1\u0026ack_token=Qk7rT2xLp\u0026c=2","ack_token":"Qk7rT2xLp"}`, `{"resource":"https://h/a?b=1&c=2"}`},
		{"a token in escapes", `{"ack_token":"Qk7rT2xLp","x":"\u0051k7rT2xLp"}`, `{"x":"REDACTED"}`},
		{"a token with a quote", `{"ack_token":"Qk7\"rT2xLp","x":"=Qk7\"rT2xLp="}`, `{"x":"=REDACTED="}`},
		{"a numeric token stays out of numbers", `{"ack_token":123456,"n":91234567,"m":1}`, `{"m":1,"n":"9REDACTED7"}`},
		{"a token in a fragment", `{"resource":"https://h/a?b=1#ack_token=Qk7rT2xLp"}`, `{"resource":"https://h/a?b=1#ack_token=REDACTED"}`},
		{"a token behind a semicolon", `{"resource":"https://h/a?b=1;ack_token=Qk7rT2xLp"}`, `{"resource":"https://h/a?b=1;ack_token=REDACTED"}`},
		{"a token in another URL", `{"self":"https://h/b?ack_token=Qk7rT2xLp&b=1"}`, `{"self":"https://h/b?ack_token=REDACTED&b=1"}`},
		{"nested", `{"ack_token":"Qk7rT2xLp","x":{"ack_token":"other","Qk7rT2xLp":[1,"Qk7rT2xLp",{"y":null}]}}`, `{"x":{"REDACTED":[1,"REDACTED",{"y":null}]}}`},
		{"a short token is not looked for everywhere", `{"ack_token":"e","resource":"https://here/a?ack_token=e","x":true}`, `{"resource":"https://here/a","x":true}`},
		{
			"unknown fields stay as they are", `{"x":1.50,"big":9007199254740993,"s":"\u00e9 <&>","o":{"a":[1.50,9007199254740993]}}`,
			`{"x":1.50,"big":9007199254740993,"s":"é <&>","o":{"a":[1.50,9007199254740993]}}`,
		},
		{"fragment without query", `{"resource":"https://h/a#b"}`, `{"resource":"https://h/a#b"}`},
		{"not an object", `[7]`, `{}`},
		{"null", `[null]`, `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := one(t, tt.item).Public()
			if !reflect.DeepEqual(decode(t, got), decode(t, []byte(tt.want))) {
				t.Fatalf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// decode reads JSON, and numbers as they are written.
func decode(t *testing.T, body []byte) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for name, value := range fields {
		var s any
		if value[0] == '"' && json.Unmarshal(value, &s) == nil {
			fields[name], _ = json.Marshal(s) // however its characters are escaped
		}
	}
	return fields
}

func BenchmarkPublic(b *testing.B) {
	n := one(b, eventItem)
	for b.Loop() {
		n.Public()
	}
}
