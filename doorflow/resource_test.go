package doorflow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
)

func TestReadResourceData(t *testing.T) {
	hash := func(n string) any { return "hmac:" + n[:2] }
	pass := func(n string) any { return n }
	for _, tt := range []struct {
		name, kind, body, want string
		numbers                doorflow.Numbers
	}{
		{"card masked", doorflow.TypeEvent, `{"id":1,"credentials_number":"604219"}`, `{"credentials_number":"****","id":1}`, doorflow.Masked},
		{"card as a pseudonym", doorflow.TypeEvent, `{"id":1,"credentials_number":"604219"}`, `{"credentials_number":"hmac:60","id":1}`, hash},
		{"card passed, also in texts", doorflow.TypeEvent, `{"credentials_number":"604219","event_label":"Card 604219"}`, `{"credentials_number":"604219","event_label":"Card 604219"}`, pass},
		{"card as a number", doorflow.TypeEvent, `{"credentials_number":604219}`, `{"credentials_number":"****"}`, doorflow.Masked},
		{"card null", doorflow.TypeEvent, `{"credentials_number":null}`, `{"credentials_number":null}`, doorflow.Masked},
		{"card empty", doorflow.TypeEvent, `{"credentials_number":""}`, `{"credentials_number":null}`, doorflow.Masked},
		{"card of another type", doorflow.TypeEvent, `{"credentials_number":["604219"]}`, `{"credentials_number":null}`, doorflow.Masked},
		{"card nested", doorflow.TypeEvent, `{"x":[{"credentials_number":"604219"}]}`, `{"x":[{"credentials_number":"****"}]}`, doorflow.Masked},
		{"card in a label", doorflow.TypeEvent, `{"credentials_number":"604219","event_label":"Card 0604219 admitted"}`, `{"credentials_number":"****","event_label":"Card 0**** admitted"}`, doorflow.Masked},
		{"card in another number", doorflow.TypeEvent, `{"credentials_number":"604219","raw":604219}`, `{"credentials_number":"****","raw":"****"}`, doorflow.Masked},
		{"one card in another", doorflow.TypeEvent, `{"credentials_number":"604219","x":{"credentials_number":"60421999"},"l":"60421999"}`, `{"credentials_number":"****","l":"****","x":{"credentials_number":"****"}}`, doorflow.Masked},
		{"PIN alone in a label", doorflow.TypeEvent, `{"credentials_number":"2026","event_label":"PIN 2026, 2026"}`, `{"credentials_number":"****","event_label":"PIN ****, ****"}`, doorflow.Masked},
		{
			"PIN that stands elsewhere by chance", doorflow.TypeEvent,
			`{"credentials_number":"2026","created_at":"2026-01-01T00:00:00Z","door_id":2026,"channel_id":"2026","label":"x20261","id":20260001}`,
			`{"channel_id":"2026","created_at":"2026-01-01T00:00:00Z","credentials_number":"****","door_id":2026,"id":20260001,"label":"x20261"}`, doorflow.Masked,
		},
		{"value of a credential", doorflow.TypeCredential, `{"id":"R7","value":"604219","label":"604219"}`, `{"id":"R7","label":"****","value":"****"}`, doorflow.Masked},
		{"value of an event", doorflow.TypeEvent, `{"value":"604219"}`, `{"value":"604219"}`, doorflow.Masked},
		{"url of a pass", doorflow.TypeCredential, `{"url":"https://pass.test/abc","note":"open https://pass.test/abc"}`, `{"note":"open ****"}`, doorflow.Masked},
		{"url of an event", doorflow.TypeEvent, `{"url":"https://x"}`, `{"url":"https://x"}`, doorflow.Masked},
		{"encryption key", doorflow.TypeEvent, `{"channel":{"encryption_key":"k3y","name":"Bay"}}`, `{"channel":{"name":"Bay"}}`, doorflow.Masked},
		{
			"PIN-like fields", doorflow.TypeCredential,
			`{"pin":"1","PIN":"2","pin_code":"3","door_pin":"4","spare_pin_code":"5","passcode":"6","spin":"7","pint":"8","access_token":"9","some_secret":"10"}`,
			`{"pint":"8","spin":"7"}`, doorflow.Masked,
		},
		{"unknown fields", doorflow.TypeEvent, `{"new":{"a":[1,"<&>",null,true]}}`, `{"new":{"a":[1,"<&>",null,true]}}`, doorflow.Masked},
		{"numbers keep their digits", doorflow.TypeEvent, `{"id":9007199254740993,"f":1.10,"e":1e400}`, `{"e":1e400,"f":1.10,"id":9007199254740993}`, doorflow.Masked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := doorflow.ReadResource(tt.kind, []byte(tt.body), tt.numbers)
			if err != nil || string(got.Data) != tt.want {
				t.Fatalf("%s, %v; want %s", got.Data, err, tt.want)
			}
		})
	}
}

func TestReadResourceFacts(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 5e6, time.UTC)
	for _, tt := range []struct {
		name, body, id string
		code           int64
		at             time.Time
	}{
		{"an event", `{"id":700000001,"event_code":11,"created_at":"2026-01-01T00:00:00.005Z"}`, "700000001", 11, at},
		{"a credential", `{"id":"R7mKd0P"}`, "R7mKd0P", 0, time.Time{}},
		{"with an offset", `{"id":1,"created_at":"2026-01-01T01:00:00.005+01:00"}`, "1", 0, at},
		{"occurred_at", `{"id":1,"occurred_at":"2026-01-01T00:00:00.005Z"}`, "1", 0, at},
		{"created_at is no time", `{"id":1,"created_at":"yesterday","occurred_at":"2026-01-01T00:00:00.005Z"}`, "1", 0, at},
		{"a year too late to be written", `{"id":1,"created_at":"9999-12-31T23:59:59-01:00"}`, "1", 0, time.Time{}},
		{"a year too early", `{"id":1,"created_at":"0000-06-01T00:00:00Z"}`, "1", 0, time.Time{}},
		{"code as text", `{"id":1,"event_code":"70"}`, "1", 70, time.Time{}},
		{"code is no number", `{"id":1,"event_code":"x"}`, "1", 0, time.Time{}},
		{"code beyond 64 bits", `{"id":1,"event_code":99999999999999999999}`, "1", 0, time.Time{}},
		{"no id", `{}`, "", 0, time.Time{}},
		{"id of another type", `{"id":{}}`, "", 0, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := doorflow.ReadResource(doorflow.TypeEvent, []byte(tt.body), doorflow.Masked)
			if err != nil || got.ID != tt.id || got.Code != tt.code || !got.At.Equal(tt.at) {
				t.Fatalf("id %q code %d at %v (%v), want %q %d %v", got.ID, got.Code, got.At, err, tt.id, tt.code, tt.at)
			}
		})
	}
}

func TestReadResourceRefuses(t *testing.T) {
	for _, body := range []string{"", "null", "[]", "1", "{", `{"id":}`, "{}0"} {
		if _, err := doorflow.ReadResource(doorflow.TypeEvent, []byte(body), doorflow.Masked); !errors.Is(err, doorflow.ErrNotJSON) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// Two states are one only if nothing differs, what is not published included.
func TestReadResourceState(t *testing.T) {
	state := func(body string) []byte {
		t.Helper()
		r, err := doorflow.ReadResource(doorflow.TypeCredential, []byte(body), doorflow.Masked)
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	first := state(`{"id":"R7","value":"604219","n":9007199254740993}`)
	if !bytes.Equal(first, state(` { "n" : 9007199254740993, "value":"60421\u0039", "id":"R7" } `)) {
		t.Error("the same resource in another order reads as another state")
	}
	if bytes.Equal(first, state(`{"id":"R7","value":"604218","n":9007199254740993}`)) {
		t.Error("another number reads as the same state")
	}
	if bytes.Equal(first, state(`{"id":"R7","value":"604219","n":9007199254740992}`)) {
		t.Error("a neighbouring number reads as the same state")
	}
}

func FuzzReadResource(f *testing.F) {
	f.Add([]byte(`{"id":1,"credentials_number":"60421987","event_label":"60421987","x":[{"credentials_number":"60421987"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := doorflow.ReadResource(doorflow.TypeCredential, body, doorflow.Masked)
		if err != nil || !json.Valid(body) {
			return
		}
		const planted = `,"credentials_number":"zq60421987qz","planted":"<zq60421987qz>"}`
		if i := bytes.LastIndexByte(bytes.TrimSpace(body), '}'); i > 0 && len(decode(t, body)) > 0 {
			r, err = doorflow.ReadResource(doorflow.TypeCredential, append(bytes.TrimSpace(body)[:i:i], planted...), doorflow.Masked)
			if err != nil || strings.Contains(string(decode(t, r.Data)["planted"]), "zq60421987qz") {
				t.Fatalf("the number is in %s (%v)", r.Data, err)
			}
		}
		if decode(t, r.Data) == nil {
			t.Fatalf("data is not an object: %s", r.Data)
		}
	})
}
