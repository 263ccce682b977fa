package dashboard

import (
	"strings"
	"time"

	"gatehouse/events"
)

// row is a message as a list shows it.
type row struct {
	ID, Subject, Account string
	At                   time.Time // committed
	// Happened is what the message says of its time.
	Happened time.Time
	// Title is the message in words, and Kind what its subject begins with.
	Title, Kind, Tone string
	// Identity is whose it is, of an operation or identity.
	Identity string
	events.About
}

func rows(stored []events.Stored) []row {
	all := make([]row, len(stored))
	for i, s := range stored {
		all[i] = newRow(s)
	}
	return all
}

func newRow(s events.Stored) row {
	said := events.Read(s.Body)
	r := row{ID: s.ID, Subject: s.Subject, Account: s.Account, At: s.CommittedAt, Happened: said.Time, About: events.ReadAbout(s.Body)}
	r.Kind, r.Title, r.Tone = inWords(s.Subject)
	if r.Kind == "operation" || r.Kind == "identity" {
		r.Identity = strings.Split(s.Subject, ".")[2]
	}
	return r
}

// tones are how what is said looks, by the last words of its subject.
var tones = map[string]string{
	"granted": "good", "denied": "bad", "active": "good", "ready": "good", "resumed": "good", "applied": "good", "confirmed": "good",
	"recovered": "good", "reauthorize": "bad", "failed": "bad", "silent": "warn", "verification_required": "warn", "partial": "warn",
	"unknown": "warn", "expired": "warn", "failing": "warn", "disabled": "bad",
}

// inWords reads a subject: gatehouse.{kind}.{whose}.{rest}.
func inWords(subject string) (kind, title, tone string) {
	words := strings.Split(subject, ".")
	if len(words) < 4 {
		return "", subject, "plain"
	}
	kind, rest := words[1], words[3:]
	tone = tones[rest[len(rest)-1]]
	switch {
	case kind == "notification":
		title = "Notification: " + strings.Join(rest[:len(rest)-1], " ") + " " + past(rest[len(rest)-1])
	case kind == "event" && rest[0] == "door":
		title, tone = "Door, code "+strings.Join(rest[1:], " "), "warn"
	case kind == "event" && rest[0] == "other":
		title = "Other, code " + strings.Join(rest[1:], " ")
	case kind == "event":
		title = capital(strings.Join(rest, " "))
	default:
		title = capital(kind + " " + strings.Join(rest, " "))
	}
	if tone == "" {
		tone = "plain"
	}
	return kind, strings.ReplaceAll(title, "_", " "), tone
}

// past says what DoorFlow's actions did.
func past(action string) string {
	switch action {
	case "create":
		return "created"
	case "update":
		return "updated"
	case "destroy":
		return "destroyed"
	}
	return action
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
