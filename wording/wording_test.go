package wording_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/wording"
)

func TestSubjectsInWords(t *testing.T) {
	for _, r := range []struct{ subject, data, kind, title, tone string }{
		{"gatehouse.event.hX9aQ2.access.granted", `{"event_label":"Admitted Ana Pereira using PIN"}`, "event", "Access granted", "good"},
		{"gatehouse.event.hX9aQ2.access.denied", ``, "event", "Access denied", "bad"},
		{"gatehouse.event.hX9aQ2.door.31", ``, "event", "Door, code 31", "warn"},
		{"gatehouse.event.hX9aQ2.door.31", `{"event_label":"Door forced open"}`, "event", "Door forced open", "warn"},
		{"gatehouse.event.hX9aQ2.door.31", `{"event_label":"` + strings.Repeat("x", 5000) + `"}`, "event", "Door, code 31", "warn"},
		{"gatehouse.event.hX9aQ2.door.31", `[7]`, "event", "Door, code 31", "warn"},
		{"gatehouse.event.hX9aQ2.other.90", ``, "event", "Other, code 90", "plain"},
		{"gatehouse.event.hX9aQ2.credential.updated", ``, "event", "Credential updated", "plain"},
		{"gatehouse.notification.hX9aQ2.personcredential.create", ``, "notification", "Notification: person’s credential created", "plain"},
		{"gatehouse.notification.hX9aQ2.perimeterevent.create", ``, "notification", "Notification: perimeter event created", "plain"},
		{"gatehouse.notification.hX9aQ2.door.denied", ``, "notification", "Notification: door denied", "plain"},
		{"gatehouse.connection.hX9aQ2.reauthorize", ``, "connection", "Account must be connected again", "bad"},
		{"gatehouse.identity.acme.verification_required", ``, "identity", "Identity waits for a code", "warn"},
		{"gatehouse.identity.acme.of_tomorrow", ``, "identity", "Identity of tomorrow", "plain"},
		{"gatehouse.endpoint.e-1.disabled", ``, "endpoint", "Endpoint is disabled", "bad"},
		{"gatehouse.operation.acme.applied", ``, "operation", "Operation applied", "good"},
		{"gatehouse.operation.acme.queued", `{"type":"share"}`, "operation", "Share queued", "warn"},
		{"gatehouse.of_tomorrow.acme.is.there", ``, "of_tomorrow", "Of tomorrow is there", "plain"},
		{"odd", ``, "", "odd", "plain"},
	} {
		s := wording.Read(r.subject)
		if s.Kind != r.kind || s.Title([]byte(r.data)) != r.title || string(s.Tone()) != r.tone {
			t.Errorf("%s %.60s: %q %q %q, want %q %q %q", r.subject, r.data, s.Kind, s.Title([]byte(r.data)), s.Tone(), r.kind, r.title, r.tone)
		}
	}
}

func TestLines(t *testing.T) {
	for _, r := range []struct{ subject, body, want string }{
		{"gatehouse.notification.hX9aQ2.event.create", `{"subject":"events/7"}`, "Notification: event created, events/7"},
		{"gatehouse.notification.hX9aQ2.cat.stroke", `{"flag":"unknown_type"}`, "Notification: cat stroke, of what is not said [unknown type]"},
		{
			"gatehouse.event.hX9aQ2.access.granted", `{"data":{"event_label":"Admitted Ana Pereira using PIN","person_name":"Ana Pereira","channel_name":"Workshop"}}`,
			"Admitted Ana Pereira using PIN · Workshop",
		},
		{"gatehouse.event.hX9aQ2.door.31", `{"origin":"replay","data":{"event_label":"Door forced open","channel_name":"Boat Shed"}}`, "Door forced open · Boat Shed (replayed)"},
		{"gatehouse.connection.hX9aQ2.reauthorize", `{"origin":"catchup","data":{"reason":"invalid_grant"}}`, "Account hX9aQ2 must be connected again: invalid grant (caught up)"},
		{
			"gatehouse.operation.acme.partial", `{"data":{"type":"share","lock":"l-1","caller":"desk","results":[{"invitee":{"email":"a@example.test"}},{"invitee":{"email":"b@example.test"}},{"invitee":{"email":"c@example.test"}},{"invitee":{"email":"d@example.test"}}]}}`,
			"Share partial · email a@example.test · email b@example.test and 2 more · lock l-1, asked by desk",
		},
	} {
		if got := wording.Read(r.subject).Line([]byte(r.body)); got != r.want {
			t.Errorf("%s: %q, want %q", r.subject, got, r.want)
		}
	}
}

func TestCapital(t *testing.T) {
	for in, want := range map[string]string{"": "", "door": "Door", "état": "État", "日": "日", "\xff": "\xff"} {
		if got := wording.Capital(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// FuzzLine: whatever a message holds, there is a line for it, and text stays text.
func FuzzLine(f *testing.F) {
	f.Add("gatehouse.operation.acme.applied", []byte(`{"data":{"type":"","results":[null]}}`))
	f.Add("gatehouse.event..door.", []byte(`{"data":7}`))
	f.Add("....", []byte(``))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		s := wording.Read(subject)
		_ = s.Tone()
		if line := s.Line(body) + s.Title(body); utf8.ValidString(subject) && !utf8.ValidString(line) {
			t.Fatalf("%q", line)
		}
	})
}
