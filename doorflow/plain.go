package doorflow

import (
	"encoding/json"
	"net/url"
	"strings"
)

// Nearly every webhook looks the same: items with six known fields, whose values are short ASCII strings
// without escapes. This file reads and writes just those, without building what encoding/json builds for
// the general case; anything else is left to that. A fuzz test holds both to the same results.

// parsePlain reads a body of plain items only.
func parsePlain(body []byte) ([]Notification, bool) {
	s := plainScanner{b: body, text: string(body)}
	if !s.take('[') {
		return nil, false
	}
	items := make([]Notification, 0, 1)
	for {
		n, ok := s.item()
		if !ok || len(items) == MaxItems {
			return nil, false
		}
		items = append(items, n)
		if s.take(',') {
			continue
		}
		return items, s.take(']') && s.end()
	}
}

// plainScanner reads JSON of the plainest kind. Strings are cut out of one copy of the whole.
type plainScanner struct {
	b    []byte
	text string
	at   int
}

// take skips white space and one byte, if that is c.
func (s *plainScanner) take(c byte) bool {
	s.space()
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *plainScanner) space() {
	for s.at < len(s.b) && (s.b[s.at] == ' ' || s.b[s.at] == '\n' || s.b[s.at] == '\t' || s.b[s.at] == '\r') {
		s.at++
	}
}

func (s *plainScanner) end() bool {
	s.space()
	return s.at == len(s.b)
}

// word reads a string without escapes.
func (s *plainScanner) word() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	for from := s.at; s.at < len(s.b); s.at++ {
		switch c := s.b[s.at]; {
		case c == '"':
			s.at++
			return s.text[from : s.at-1], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return "", false
		}
	}
	return "", false
}

// item reads an object that has each of the six fields once and no other.
func (s *plainScanner) item() (Notification, bool) {
	var n Notification
	s.space()
	from := s.at
	if !s.take('{') {
		return n, false
	}
	for count := 1; ; count++ {
		name, ok := s.word()
		if !ok || !s.take(':') {
			return n, false
		}
		field := n.field(name)
		if field == nil || *field != "" {
			return n, false
		}
		if *field, ok = s.word(); !ok || *field == "" {
			return n, false
		}
		if s.take(',') {
			continue
		}
		if !s.take('}') {
			return n, false
		}
		n.Raw = json.RawMessage(s.b[from:s.at])
		n.plain = count == 6 && n.ResourceURL == ""
		return n, n.plain
	}
}

func (n *Notification) field(name string) *string {
	switch name {
	case fieldAction:
		return &n.Action
	case fieldResource:
		return &n.Resource
	case fieldResourceType:
		return &n.ResourceType
	case fieldResourceID:
		return &n.ResourceID
	case fieldAccountID:
		return &n.AccountID
	case fieldAckToken:
		return &n.AckToken
	}
	return nil
}

// plainPublic is Public of a plain item whose URL's query is its ack token and nothing else.
func (n Notification) plainPublic() (json.RawMessage, bool) {
	if !n.plain || len(n.AckToken) < leastToken || !isHashID(n.AckToken) {
		return nil, false
	}
	bare, query, _ := strings.Cut(n.Resource, "?")
	if query != fieldAckToken+"="+n.AckToken || strings.ContainsAny(bare, `"\%#=`) {
		return nil, false
	}
	for _, s := range []string{n.Action, n.ResourceType, n.ResourceID, n.AccountID, bare} {
		if strings.Contains(s, n.AckToken) || (s != bare && !isHashID(s)) {
			return nil, false
		}
	}
	out := make([]byte, 0, len(n.Raw))
	for i, f := range [][2]string{
		{fieldAccountID, n.AccountID},
		{fieldAction, n.Action},
		{fieldResource, bare},
		{fieldResourceID, n.ResourceID},
		{fieldResourceType, n.ResourceType},
	} {
		out = append(out, "{,"[min(i, 1)], '"')
		out = append(append(out, f[0]...), '"', ':', '"')
		out = append(append(out, f[1]...), '"')
	}
	return append(out, '}'), true
}

// plainTarget is Target of a plain item that speaks of an event.
func (n Notification) plainTarget(api *url.URL) (Target, bool) {
	if !n.plain || (n.ResourceType != TypeEvent && n.ResourceType != TypePerimeterEvent) || !isDigits(n.ResourceID) ||
		!isHashID(n.AckToken) || len(n.Action) > maxField || len(n.AccountID) > maxField {
		return Target{}, false
	}
	rest := n.Resource
	for _, part := range [...]string{
		api.Scheme, "://", api.Host, strings.TrimSuffix(api.EscapedPath(), "/"), "/api/3/events/", n.ResourceID, "?ack_token=", n.AckToken,
	} {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, part); !ok {
			return Target{}, false
		}
	}
	return Target{Path: "/api/3/events/" + n.ResourceID, AckToken: n.AckToken}, rest == ""
}
