package wording

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Tone is how what is said looks. The dashboard's stylesheet has a class for each.
type Tone string

// The tones.
const (
	Plain   Tone = "plain"
	Good    Tone = "good"
	Caution Tone = "warn"
	Bad     Tone = "bad"
)

// longest is how many bytes of somebody else's words make a title; more is not one.
const longest = 100

// tones go by the last word of a subject.
var tones = map[string]Tone{
	"granted": Good, "active": Good, "ready": Good, "renewed": Good, "resumed": Good, "applied": Good, "confirmed": Good, "recovered": Good,
	"silent": Caution, "verification_required": Caution, "queued": Caution, "partial": Caution, "unknown": Caution, "expired": Caution,
	"failing": Caution,
	"denied":  Bad, "reauthorize": Bad, "failed": Bad, "disabled": Bad,
}

// statuses are how accounts, identities and endpoints stand.
var statuses = map[string]string{
	"connection.active": "is connected", "connection.reauthorize": "must be connected again", "connection.disconnected": "is disconnected",
	"connection.silent": "gets no webhooks", "connection.resumed": "gets webhooks again",
	"identity.ready": "is ready", "identity.verification_required": "waits for a code", "identity.renewed": "has a new certificate",
	"identity.failed":  "cannot sign",
	"endpoint.failing": "does not take deliveries", "endpoint.recovered": "takes deliveries again", "endpoint.disabled": "is disabled",
}

var owners = map[string]string{"connection": "Account", "identity": "Identity", "endpoint": "Endpoint"}

// Subject is a message's subject taken apart: gatehouse.{kind}.{whose}.{what happened}.
type Subject struct {
	// Kind is event, notification, connection, operation, identity or endpoint; "" when it is no subject of ours.
	Kind string
	// Whose is the account, identity or endpoint, escaped as it is in the subject.
	Whose string

	happened []string
	whole    string
}

// Read takes a subject apart.
func Read(subject string) Subject {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 4 {
		return Subject{whole: subject}
	}
	return Subject{tokens[1], tokens[2], tokens[3:], subject}
}

// Tone is how the message looks among others.
func (s Subject) Tone() Tone {
	if s.Kind == "" || s.Kind == "notification" {
		return Plain
	}
	if s.Kind == "event" && s.happened[0] == "door" {
		return Caution
	}
	if tone, ok := tones[s.last()]; ok {
		return tone
	}
	return Plain
}

// Title says in a few words what has happened, and not to whom. Without data, which may be nil, it says what the
// subject tells.
func (s Subject) Title(data json.RawMessage) string {
	var d struct {
		Label string `json:"event_label"`
		Type  string `json:"type"`
	}
	_ = json.Unmarshal(data, &d) // what does not fit is not said
	title := s.whole
	switch s.Kind {
	case "":
	case "notification":
		title = "Notification: " + resource(s.happened[:len(s.happened)-1]) + " " + past(s.last())
	case "event":
		title = s.eventTitle(d.Label)
	case "operation":
		if len(d.Type) > longest || d.Type == "" {
			d.Type = "operation"
		}
		title = Capital(d.Type + " " + s.last())
	case "connection", "identity", "endpoint":
		title = owners[s.Kind] + " " + s.status()
	default:
		title = Capital(s.Kind + " " + strings.Join(s.happened, " "))
	}
	return strings.ReplaceAll(title, "_", " ")
}

// eventTitle is DoorFlow's label where the class says too little; that of an access names the person.
func (s Subject) eventTitle(label string) string {
	class, rest := s.happened[0], strings.Join(s.happened[1:], " ")
	switch {
	case class != "door" && class != "other":
		return Capital(class + " " + rest)
	case label != "" && len(label) <= longest:
		return label
	}
	return Capital(class) + ", code " + rest
}

func (s Subject) last() string { return s.happened[len(s.happened)-1] }

func (s Subject) status() string {
	if in, ok := statuses[s.Kind+"."+s.happened[0]]; ok {
		return in
	}
	return s.happened[0]
}

// resource names DoorFlow's resource types, whose names stand as one word in a subject.
func resource(tokens []string) string {
	switch name := strings.Join(tokens, " "); name {
	case "perimeterevent":
		return "perimeter event"
	case "personcredential":
		return "person’s credential"
	default:
		return name
	}
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

// Capital begins a text with a capital letter.
func Capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}
