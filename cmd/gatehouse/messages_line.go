package main

import (
	"fmt"
	"strings"

	"gatehouse/events"
	"gatehouse/wording"
)

// How a message is shown to people: on one line when it happened, what in plain words, and the subject, which is what
// --subject filters by.

// wordsColumn is how much room the words have in front of the subject; few need more.
const wordsColumn = 56

// leastWords is how much room they have at least behind an id.
const leastWords = 24

// leastSubject is what is left of a subject at least; less of it would say nothing.
const leastSubject = 24

func (s stored) print(t *terminal, withID bool) error {
	said := wording.Read(s.Subject)
	at, id := printable(t.when(events.Read(s.Message).Time))+"  ", ""
	if withID {
		id = printable(s.ID) + "  "
	}
	begin := id + at
	if limit := columns(t.out); withID && limit > 0 && limit-wide(begin) < leastWords { // the words go below their id
		if _, err := fmt.Fprintln(t.out, strings.TrimSpace(id)); err != nil {
			return err
		}
		begin = "  " + at
	}
	words, subject := printable(said.Line(s.Message)), printable(s.Subject)
	space := max(wordsColumn-wide(words), 0) + 2
	if limit := columns(t.out); limit > 0 {
		words = cut(words, max(limit-wide(begin), leastText))
		if left := limit - wide(begin) - wide(words) - space; left < leastSubject {
			subject = ""
		} else {
			subject = cut(subject, left)
		}
	}
	line := begin + paint(t.out, messageTone(said), words)
	if subject != "" {
		line += strings.Repeat(" ", space) + paint(t.out, dim, subject)
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// messageTone is the colour of a message. What only tells that something came is less than what happened.
func messageTone(said wording.Subject) tone {
	switch said.Tone() {
	case wording.Good:
		return good
	case wording.Caution:
		return caution
	case wording.Bad:
		return bad
	}
	if said.Kind == "" || said.Kind == "notification" {
		return dim
	}
	return plain
}
