package doorflow

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Resource is a fetched event or credential with its secrets taken out.
type Resource struct {
	// ID is the resource's own id, as text.
	ID string
	// Code is an event's code, 0 where there is none.
	Code int64
	// At is when it happened, zero where the resource does not say.
	At time.Time
	// Data is the resource as it may be published.
	Data json.RawMessage
	// State is the whole resource in one canonical form, secrets included: to be compared, never kept.
	State []byte
}

// Numbers says what becomes of a card number or PIN: what it returns stands in its place.
type Numbers func(number string) any

// Masked replaces every number by four asterisks.
func Masked(string) any { return "****" }

// ReadResource reads a fetched resource. Numbers decides what stands for `credentials_number` and a
// credential's `value`; a pass's `url`, encryption keys and PIN-like fields are left out; a number that
// shows up in other texts is masked there. Unknown fields stay.
func ReadResource(resourceType string, body json.RawMessage, numbers Numbers) (Resource, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil || fields == nil || dec.More() {
		return Resource{}, ErrNotJSON
	}
	c := cleaner{numbers: numbers, credential: resourceType == TypeCredential}
	c.collect(fields)
	// The longest first: one secret may be part of another.
	slices.SortFunc(c.secrets, func(a, b string) int { return len(b) - len(a) })
	clean := c.object(fields)
	state, err := json.Marshal(fields)
	if err != nil {
		return Resource{}, ErrNotJSON
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(clean); err != nil {
		return Resource{}, ErrNotJSON
	}
	return Resource{
		ID:    scalar(fields["id"]),
		Code:  integer(fields["event_code"]),
		At:    firstTime(fields["created_at"], fields["occurred_at"]),
		Data:  bytes.TrimSpace(buf.Bytes()),
		State: state,
	}, nil
}

// cleaner takes secrets out of a decoded resource.
type cleaner struct {
	numbers    Numbers
	credential bool
	secrets    []string // values seen in secret fields, to be masked in other texts
}

func (c *cleaner) isNumber(name string) bool {
	return name == "credentials_number" || (c.credential && name == "value")
}

// isSecret names fields that are dropped. A person's dynamic fields may hold live PINs, so names are
// matched broadly.
func (c *cleaner) isSecret(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "encryption_key", "pin", "pincode", "passcode", "password", "invitation_code":
		return true
	case "url":
		return c.credential // of a mobile pass: whoever has it has the pass
	}
	return strings.HasPrefix(name, "pin_") || strings.HasSuffix(name, "_pin") || strings.HasSuffix(name, "_pin_code") ||
		strings.HasSuffix(name, "_secret") || strings.HasSuffix(name, "_token") || strings.HasSuffix(name, "_key")
}

// collect gathers the values of secret fields, so that they can be found in other texts.
func (c *cleaner) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			if s := scalar(field); len(s) >= 4 && (c.isSecret(name) || (c.isNumber(name) && c.numbers(s) != s)) {
				c.secrets = append(c.secrets, s)
			}
			c.collect(field)
		}
	case []any:
		for _, item := range v {
			c.collect(item)
		}
	}
}

func (c *cleaner) object(fields map[string]any) map[string]any {
	clean := make(map[string]any, len(fields))
	for name, v := range fields {
		switch {
		case c.isNumber(name):
			clean[name] = nil
			if s := scalar(v); s != "" {
				clean[name] = c.numbers(s)
			}
		case c.isSecret(name):
		case isID(name):
			// An id that happens to hold a short PIN must stay what it is.
			clean[name] = c.nested(v)
		default:
			clean[name] = c.value(v)
		}
	}
	return clean
}

// value cleans a field or an item: nested ones by their names, others where a secret stands in the text.
func (c *cleaner) value(v any) any {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return v
		}
		return c.mask(v)
	case json.Number:
		if masked := c.mask(v.String()); masked != v.String() {
			return masked
		}
		return v
	default:
		return c.nested(v)
	}
}

func (c *cleaner) nested(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return c.object(v)
	case []any:
		clean := make([]any, len(v))
		for i, item := range v {
			clean[i] = c.value(item)
		}
		return clean
	default:
		return v
	}
}

// mask hides the secrets in a text. One of four or five characters, such as a PIN, may stand in a longer
// number by chance, so it counts only where it stands alone.
func (c *cleaner) mask(s string) string {
	for _, secret := range c.secrets {
		for from := 0; ; {
			i := strings.Index(s[from:], secret)
			if i < 0 {
				break
			}
			i += from
			end := i + len(secret)
			if len(secret) < 6 && (i > 0 && isAlphanumeric(s[i-1]) || end < len(s) && isAlphanumeric(s[end])) {
				from = i + 1
				continue
			}
			s = s[:i] + "****" + s[end:]
			from = i + len("****")
		}
	}
	return s
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func isID(name string) bool { return name == "id" || strings.HasSuffix(name, "_id") }

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

func integer(v any) int64 {
	i, err := strconv.ParseInt(scalar(v), 10, 64)
	if err != nil {
		return 0
	}
	return i
}

// firstTime reads the first value that is a time. DoorFlow's sources show both names and both zones.
func firstTime(values ...any) time.Time {
	for _, v := range values {
		at, err := time.Parse(time.RFC3339, scalar(v))
		// In UTC the first and last years reach beyond what can be written again.
		if err == nil && at.UTC().Year() >= 1 && at.UTC().Year() <= 9999 {
			return at
		}
	}
	return time.Time{}
}
