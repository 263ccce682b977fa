package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
)

// About is whom and what a message is about, as far as its data tells in DoorFlow's words or in those of an
// operation.
type About struct {
	PersonID, PersonName string
	DoorID, DoorName     string
}

// id is a number or a text.
type id string

func (v *id) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var s string
	if json.Unmarshal(data, &s) != nil {
		s = string(data)
	}
	*v = id(s)
	return nil
}

// ReadAbout reads it out of a message; what is not there stays empty.
func ReadAbout(body []byte) About {
	var m struct {
		Data struct {
			PersonID       id     `json:"person_id"`
			PersonName     string `json:"person_name"`
			ChannelID      id     `json:"channel_id"`
			ChannelName    string `json:"channel_name"`
			ControllerID   id     `json:"door_controller_id"`
			ControllerName string `json:"door_controller_name"`
			Lock           id     `json:"lock"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &m) // whatever does not fit is not there
	d := m.Data
	return About{
		PersonID: string(d.PersonID), PersonName: d.PersonName,
		DoorID:   cmp.Or(string(d.ChannelID), string(d.ControllerID), string(d.Lock)),
		DoorName: cmp.Or(d.ChannelName, d.ControllerName),
	}
}

// about tells whether a message concerns the person and the door that somebody looks for.
func (f Filter) about(body []byte) bool {
	if f.Person == "" && f.Door == "" {
		return true
	}
	lower := bytes.ToLower(body)
	if !mayHold(lower, f.Person) || !mayHold(lower, f.Door) {
		return false // most are, and need not be parsed
	}
	a := ReadAbout(body)
	return named(f.Person, a.PersonID, a.PersonName) && named(f.Door, a.DoorID, a.DoorName)
}

// mayHold tells whether JSON in lower case can have a text in it. What JSON may write in more ways than one always can.
func mayHold(lower []byte, text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || strings.IndexByte(`"\/<>&`, c) >= 0 {
			return true
		}
	}
	return bytes.Contains(lower, []byte(strings.ToLower(text)))
}

func named(wanted, id, name string) bool {
	return wanted == "" || wanted == id || strings.Contains(strings.ToLower(name), strings.ToLower(wanted))
}
