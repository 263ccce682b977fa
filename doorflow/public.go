package doorflow

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// leastToken is how long an ack token must be to be looked for in all texts. A shorter one would be found
// everywhere; it is cut where ack tokens stand.
const leastToken = 6

const redacted = "REDACTED"

// Public returns the item as it may be shown: without its ack token, which is also cut from the URLs and
// from every other text. Unknown fields are kept. An item that is not an object comes back as an empty one.
func (n Notification) Public() json.RawMessage {
	if data, ok := n.plainPublic(); ok {
		return data
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(n.Raw, &fields) != nil || fields == nil {
		return json.RawMessage(`{}`)
	}
	s := n.shroud()
	names := make([]string, 0, len(fields))
	for name := range fields {
		if !isAckName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := append(make([]byte, 0, len(n.Raw)), '{')
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(s.name(name))
		out = append(append(append(out, key...), ':'), s.raw(name, fields[name])...)
	}
	return append(out, '}')
}

func isAckName(name string) bool { return strings.EqualFold(name, fieldAckToken) }

// shroud takes ack tokens out of what an item holds.
type shroud struct{ tokens []string }

func (n Notification) shroud() shroud {
	var s shroud
	for _, token := range []string{n.AckToken, n.ack()} {
		if len(token) >= leastToken && !slices.Contains(s.tokens, token) {
			s.tokens = append(s.tokens, token)
		}
	}
	return s
}

// raw returns a field's value as it was sent where nothing in it can be a token, else a cleaned one.
func (s shroud) raw(name string, value json.RawMessage) json.RawMessage {
	if s.harmless(value) {
		return value
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return json.RawMessage(`null`)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if enc.Encode(s.value(name, v)) != nil {
		return json.RawMessage(`null`)
	}
	return bytes.TrimSpace(buf.Bytes())
}

// harmless tells, without decoding, that a value is a plain one: no escapes, no parameters, no nesting,
// and no token.
func (s shroud) harmless(value json.RawMessage) bool {
	if bytes.ContainsAny(value, `\?=%{[`) {
		return false
	}
	for _, token := range s.tokens {
		if bytes.Contains(value, []byte(token)) {
			return false
		}
	}
	return true
}

func (s shroud) value(name string, v any) any {
	switch v := v.(type) {
	case string:
		if name == fieldResource || name == fieldResourceURL {
			v = withoutAckParameter(v)
		}
		return s.text(v)
	case json.Number:
		if clean := s.text(v.String()); clean != v.String() {
			return clean
		}
		return v
	case []any:
		for i := range v {
			v[i] = s.value("", v[i])
		}
		return v
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, field := range v {
			if !isAckName(name) {
				clean[s.name(name)] = s.value(name, field)
			}
		}
		return clean
	default:
		return v
	}
}

// ackParameter finds an ack token in the text of a URL.
var ackParameter = regexp.MustCompile(`(?i)(ack_token(?:=|%3d))[^&#\s"]+`)

func (s shroud) text(v string) string {
	v = ackParameter.ReplaceAllString(v, "${1}"+redacted)
	for _, token := range s.tokens {
		v = strings.ReplaceAll(v, token, redacted)
	}
	return v
}

// name cleans a field's name, but for those that every item has.
func (s shroud) name(name string) string {
	switch name {
	case fieldAction, fieldResource, fieldResourceURL, fieldResourceType, fieldResourceID, fieldAccountID:
		return name
	}
	return s.text(name)
}

// withoutAckParameter cuts the ack token out of a URL's query.
func withoutAckParameter(s string) string {
	base, query, found := strings.Cut(s, "?")
	if !found {
		return s
	}
	query, fragment, _ := strings.Cut(query, "#")
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		return err != nil || isAckName(key)
	})
	if s = base; len(kept) > 0 {
		s += "?" + strings.Join(kept, "&")
	}
	if fragment != "" {
		s += "#" + fragment
	}
	return s
}
