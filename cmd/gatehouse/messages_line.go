package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/events"
	"gatehouse/sharing"
)

// How a message is shown to people: on one line when it happened, what in plain words, and the subject, which is what
// --subject filters by.

// wordsColumn is how much room the words have in front of the subject; few need more.
const wordsColumn = 56

// leastSubject is what is left of a subject at least; less of it would say nothing.
const leastSubject = 24

func (s stored) print(t *terminal, withID bool) error {
	m := events.Read(s.Message)
	begin := printable(t.when(m.Time)) + "  "
	if withID {
		begin = printable(s.ID) + "  " + begin
	}
	words, subject := printable(s.words(m)), printable(s.Subject)
	space := max(wordsColumn-wide(words), 0) + 2
	if limit := columns(t.out); limit > 0 {
		words = cut(words, max(limit-wide(begin), leastColumn))
		if left := limit - wide(begin) - wide(words) - space; left < leastSubject {
			subject = ""
		} else {
			subject = cut(subject, left)
		}
	}
	line := begin + paint(t.out, s.tone(), words)
	if subject != "" {
		line += strings.Repeat(" ", space) + paint(t.out, dim, subject)
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// parts are the tokens of the subject: what kind of message it is, whose, and what has happened.
func (s stored) parts() (kind, whose string, happened []string) {
	tokens := strings.Split(s.Subject, ".")
	if len(tokens) < 4 {
		return "", "", nil
	}
	return tokens[1], tokens[2], tokens[3:]
}

func (s stored) tone() tone {
	kind, _, happened := s.parts()
	switch {
	case kind == "notification" || kind == "":
		return dim
	case kind == "endpoint" && happened[0] == "disabled":
		return bad
	case kind == "event" && happened[0] == "door":
		return caution
	}
	return tones[happened[len(happened)-1]]
}

// words say what has happened, in the words of DoorFlow where the message has them.
func (s stored) words(m events.Message) string {
	kind, whose, happened := s.parts()
	var words string
	switch kind {
	case "notification":
		words = "Webhook: " + strings.Join(happened, " ") + ", " + cmp.Or(m.Subject, "of what is not said")
	case "event":
		words = eventWords(m.Data, events.ReadAbout(s.Message), happened)
	case "operation":
		words = operationWords(m.Data, happened[0])
	case "connection", "identity", "endpoint":
		words = statusWords(kind, whose, happened[0], m.Data)
	default:
		words = cmp.Or(m.Subject, s.Subject)
	}
	if m.Flag != "" {
		words += " [" + strings.ReplaceAll(m.Flag, "_", " ") + "]"
	}
	switch m.Origin {
	case events.OriginCatchup:
		words += " (caught up)"
	case events.OriginReplay:
		words += " (replayed)"
	}
	return words
}

func eventWords(data json.RawMessage, about events.About, happened []string) string {
	var d struct {
		Label string `json:"event_label"`
	}
	_ = json.Unmarshal(data, &d) // what does not fit is not said
	words := d.Label
	if words == "" {
		words = capital(strings.Join(happened, " "))
	}
	for _, more := range []string{about.PersonName, about.DoorName} {
		if more != "" && !strings.Contains(words, more) {
			words += " · " + more
		}
	}
	return words
}

func operationWords(data json.RawMessage, status string) string {
	var a sharing.Answer
	_ = json.Unmarshal(data, &a)
	words := capital(strings.TrimSpace(a.Type + " " + status))
	if a.Error != "" {
		words += " (" + strings.ReplaceAll(a.Error, "_", " ") + ")"
	}
	for i, r := range a.Results {
		if i == 2 {
			words += fmt.Sprintf(" and %d more", len(a.Results)-i)
			break
		}
		words += " · " + r.Invitee.String()
	}
	return words + " · lock " + cmp.Or(a.Lock, "unknown") + ", asked by " + cmp.Or(a.Caller, "somebody")
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// statuses are how accounts, identities and endpoints stand, in plain words.
var statuses = map[string]string{
	"connection.active": "is connected", "connection.reauthorize": "must be connected again", "connection.disconnected": "is disconnected",
	"connection.silent": "gets no webhooks", "connection.resumed": "gets webhooks again",
	"identity.ready": "is ready", "identity.verification_required": "waits for a code", "identity.renewed": "has a new certificate",
	"identity.failed":  "cannot sign",
	"endpoint.failing": "does not take deliveries", "endpoint.recovered": "takes deliveries again", "endpoint.disabled": "is disabled",
}

func statusWords(kind, whose, status string, data json.RawMessage) string {
	var d struct {
		Reason      string `json:"reason"`
		Detail      string `json:"detail"`
		LastError   string `json:"last_error"`
		Description string `json:"description"`
	}
	_ = json.Unmarshal(data, &d)
	name := map[string]string{"connection": "Account ", "identity": "Identity ", "endpoint": "Endpoint "}[kind]
	words := name + cmp.Or(d.Description, whose) + " " + cmp.Or(statuses[kind+"."+status], status)
	if why := cmp.Or(d.Detail, d.Reason, d.LastError); why != "" {
		words += ": " + strings.ReplaceAll(why, "_", " ")
	}
	return words
}
