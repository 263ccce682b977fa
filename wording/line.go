package wording

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/events"
	"gatehouse/sharing"
)

// namedPeople is how many people of an operation a line names.
const namedPeople = 2

// Line says all of it on one line: what has happened, in DoorFlow's words where the message has them, to whom, and
// whatever is unusual about the message.
func (s Subject) Line(body []byte) string {
	m := events.Read(body)
	words := s.line(m, events.ReadAbout(body))
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

func (s Subject) line(m events.Message, about events.About) string {
	switch s.Kind {
	case "notification":
		return s.Title(nil) + ", " + cmp.Or(m.Subject, "of what is not said")
	case "event":
		return s.eventLine(m.Data, about)
	case "operation":
		return s.operationLine(m.Data)
	case "connection", "identity", "endpoint":
		return s.statusLine(m.Data)
	}
	return cmp.Or(m.Subject, s.whole)
}

func (s Subject) eventLine(data json.RawMessage, about events.About) string {
	var d struct {
		Label string `json:"event_label"`
	}
	_ = json.Unmarshal(data, &d)
	words := cmp.Or(d.Label, s.Title(nil))
	for _, more := range []string{about.PersonName, about.DoorName} {
		if more != "" && !strings.Contains(words, more) {
			words += " · " + more
		}
	}
	return words
}

func (s Subject) operationLine(data json.RawMessage) string {
	var a sharing.Answer
	_ = json.Unmarshal(data, &a)
	words := s.Title(data)
	if a.Error != "" {
		words += " (" + strings.ReplaceAll(a.Error, "_", " ") + ")"
	}
	for i, r := range a.Results {
		if i == namedPeople {
			words += fmt.Sprintf(" and %d more", len(a.Results)-i)
			break
		}
		words += " · " + r.Invitee.String()
	}
	return words + " · lock " + cmp.Or(a.Lock, "unknown") + ", asked by " + cmp.Or(a.Caller, "somebody")
}

func (s Subject) statusLine(data json.RawMessage) string {
	var d struct {
		Reason      string `json:"reason"`
		Detail      string `json:"detail"`
		LastError   string `json:"last_error"`
		Description string `json:"description"`
	}
	_ = json.Unmarshal(data, &d)
	words := owners[s.Kind] + " " + cmp.Or(d.Description, s.Whose) + " " + s.status()
	if why := cmp.Or(d.Detail, d.Reason, d.LastError); why != "" {
		words += ": " + strings.ReplaceAll(why, "_", " ")
	}
	return words
}
