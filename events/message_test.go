package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMessageEncode(t *testing.T) {
	at := time.Date(2026, 1, 1, 1, 0, 0, 5e6, time.FixedZone("", 3600))
	m := events.NewMessage(events.EventTopic("hX9aQ2", events.Classify(11)), at, json.RawMessage(`{"id":700000001,"label":"<&> é"}`))
	if m.ID[14] != '7' {
		t.Errorf("id %s is no UUIDv7", m.ID)
	}
	m.ID, m.Subject, m.Origin = "01936f3e-0000-7000-8000-000000000001", "events/700000001", events.OriginWebhook
	got, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/message.json"
	if *update {
		if err := os.WriteFile(file, append(got.Body, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Body, bytes.TrimSuffix(want, []byte("\n"))) {
		t.Errorf("got  %s\nwant %s", got.Body, want)
	}
	if got.ID != m.ID || got.Account != "hX9aQ2" || got.Subject != "gatehouse.event.hX9aQ2.access.granted" {
		t.Errorf("for the log: %+v", got)
	}
}

func TestTopics(t *testing.T) {
	for _, tt := range []struct {
		name, subject, kind string
		topic               events.Topic
	}{
		{"notification", "gatehouse.notification.hX9aQ2.personcredential.update", "gatehouse.notification.personcredential.update", events.NotificationTopic("hX9aQ2", "PersonCredential", "UPDATE")},
		{"empty", "gatehouse.notification.%.%.%", "gatehouse.notification.%.%", events.NotificationTopic("", "", "")},
		{"forged", "gatehouse.notification.a%2E%3E.x%2E%2A.y%20z", "gatehouse.notification.x%2E%2A.y%20z", events.NotificationTopic("a.>", "X.*", "Y z")},
		{"connection", "gatehouse.connection.hX9aQ2.active", "gatehouse.connection.active", events.ConnectionTopic("hX9aQ2", "active")},
		{"operation", "gatehouse.operation.acme.applied", "gatehouse.operation.applied", events.OperationTopic("acme", "applied")},
		{"identity", "gatehouse.identity.a%2E%3E.ready", "gatehouse.identity.ready", events.IdentityTopic("a.>", "ready")},
	} {
		if tt.topic.Subject() != tt.subject || tt.topic.Type() != tt.kind {
			t.Errorf("%s: %s and %s", tt.name, tt.topic.Subject(), tt.topic.Type())
		}
	}
}

// What belongs to an identity belongs to no account, whatever the identity is called.
func TestMessagesOfAnIdentity(t *testing.T) {
	for _, topic := range []events.Topic{events.OperationTopic("hX9aQ2", "applied"), events.IdentityTopic("hX9aQ2", "ready")} {
		m := events.NewMessage(topic, time.Now(), json.RawMessage(`{}`))
		got, err := m.Encode()
		if err != nil || got.Account != "" || m.Source != "/doordeck/identities/hX9aQ2" || strings.Contains(string(got.Body), `"account"`) {
			t.Errorf("%+v %s %v", m, got.Body, err)
		}
	}
}

func TestMessageEncodeOdd(t *testing.T) {
	encode := func(account, data string) (events.Encoded, events.Message) {
		t.Helper()
		m := events.NewMessage(events.NotificationTopic(account, "Event", "CREATE"), time.Now(), json.RawMessage(data))
		m.Subject = "events/1"
		got, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var back events.Message
		if err := json.Unmarshal(got.Body, &back); err != nil {
			t.Fatal(err)
		}
		return got, back
	}
	t.Run("as large as allowed", func(t *testing.T) {
		data := `{"x":"` + strings.Repeat("x", 256<<10-8) + `"}`
		if _, m := encode("a", data); m.Flag != "" || string(m.Data) != data {
			t.Errorf("flag %q, %d bytes", m.Flag, len(m.Data))
		}
	})
	t.Run("too large", func(t *testing.T) {
		_, m := encode("a", `{"x":"`+strings.Repeat("x", 256<<10)+`"}`)
		if m.Flag != events.FlagOversize || string(m.Data) != `{"bytes":262152,"oversize":true,"resource":"events/1"}` {
			t.Errorf("flag %q: %.100s", m.Flag, m.Data)
		}
	})
	t.Run("not UTF-8", func(t *testing.T) {
		if _, m := encode("a", "{\"x\":\"a\xffb\"}"); string(m.Data) != `{"x":"a`+"\uFFFD"+`b"}` {
			t.Errorf("data %s", m.Data)
		}
	})
	t.Run("an account that cannot be one", func(t *testing.T) {
		for account, want := range map[string]string{
			"a\x00b": "a%00b", "a\xffb": "a%FFb", strings.Repeat("x", 1<<20): events.Token(strings.Repeat("x", 1<<20)), "a b": "a b",
		} {
			if got, m := encode(account, `{}`); got.Account != want || m.Account != want || len(got.Body) > 1<<10 {
				t.Errorf("%.20q: %q and %q", account, got.Account, m.Account)
			}
		}
	})
	t.Run("not JSON", func(t *testing.T) {
		m := events.NewMessage(events.ConnectionTopic("a", "active"), time.Now(), json.RawMessage(`{"secret":`))
		if _, err := m.Encode(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	})
}
