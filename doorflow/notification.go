package doorflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// MaxItems is how many items one webhook may carry. No body of 1 MiB can hold more that are complete.
const MaxItems = 10_000

// ErrUnparsable says that a webhook's body is neither an array of notifications nor one notification.
var ErrUnparsable = errors.New("doorflow: the webhook body is not a JSON array or object of notifications")

// What a webhook says happened to a resource.
const (
	ActionCreate  = "CREATE"
	ActionUpdate  = "UPDATE"
	ActionDestroy = "DESTROY"
)

// Types of resources that webhooks point at. The set is open; others are kept but not fetched.
const (
	TypeEvent          = "Event"
	TypePerimeterEvent = "PerimeterEvent"
	TypeCredential     = "PersonCredential"
)

// Notification is one item of a webhook: no data, only where to fetch it. Fields that are missing, or
// are not what they should be, are empty.
type Notification struct {
	Action, ResourceType, ResourceID, AccountID string
	// Resource is the URL as given; ResourceURL is the second name that DoorFlow's guides use for it.
	Resource, ResourceURL string
	AckToken              string
	// Raw is the item as it was sent.
	Raw json.RawMessage
}

// The fields of an item. Names are compared exactly: a field in other letters is an unknown one.
const (
	fieldAction       = "action"
	fieldResource     = "resource"
	fieldResourceURL  = "resource_url"
	fieldResourceType = "resource_type"
	fieldResourceID   = "resource_id"
	fieldAccountID    = "account_id"
	fieldAckToken     = "ack_token"
)

// ParseNotifications reads a webhook's body, an array or a lone object. Items of any shape are returned;
// only a body that is not JSON, is neither, or has too many items is an error.
func ParseNotifications(body []byte) ([]Notification, error) {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return nil, ErrUnparsable
	}
	var raws []json.RawMessage
	switch trimmed[0] {
	case '[':
		if err := json.Unmarshal(body, &raws); err != nil {
			return nil, ErrUnparsable
		}
	case '{':
		if !json.Valid(body) {
			return nil, ErrUnparsable
		}
		raws = []json.RawMessage{trimmed}
	default:
		return nil, ErrUnparsable
	}
	if len(raws) > MaxItems {
		return nil, fmt.Errorf("%w: more than %d items", ErrUnparsable, MaxItems)
	}
	items := make([]Notification, len(raws))
	for i, raw := range raws {
		items[i] = parseItem(raw)
	}
	return items, nil
}

func parseItem(raw json.RawMessage) Notification {
	n := Notification{Raw: raw}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return n
	}
	n.Action = text(fields[fieldAction])
	n.Resource = text(fields[fieldResource])
	n.ResourceURL = text(fields[fieldResourceURL])
	n.ResourceType = text(fields[fieldResourceType])
	n.ResourceID = text(fields[fieldResourceID])
	n.AccountID = text(fields[fieldAccountID])
	n.AckToken = text(fields[fieldAckToken])
	return n
}

// text reads a JSON string, or a number as it is written: ids have been seen as both in DoorFlow's sources.
func text(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '"' {
		if plain := raw[1 : len(raw)-1]; bytes.IndexByte(plain, '\\') < 0 && isASCII(plain) {
			return string(plain)
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	if raw[0] == '-' || (raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// Public returns the item as it may be shown: without its ack token, which is also cut from the URLs.
// Unknown fields are kept. An item that is not an object comes back as an empty one.
func (n Notification) Public() json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(n.Raw, &fields) != nil || fields == nil {
		return json.RawMessage(`{}`)
	}
	ack := n.ack()
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		if isAckName(name) {
			delete(fields, name)
			continue
		}
		if bytes.Contains(value, []byte(fieldAckToken)) || (ack != "" && bytes.Contains(value, []byte(ack))) {
			fields[name] = withoutAck(name, value, ack)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]byte, 0, len(n.Raw))
	out = append(out, '{')
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(name)
		out = append(append(append(out, key...), ':'), fields[name]...)
	}
	return append(out, '}')
}

func isAckName(name string) bool { return strings.EqualFold(name, fieldAckToken) }

// withoutAck cuts the ack token out of a field: out of a URL's query where it is one, else wherever the
// token stands in the text.
func withoutAck(name string, value json.RawMessage, ack string) json.RawMessage {
	if s := text(value); s != "" && (name == fieldResource || name == fieldResourceURL) {
		if base, query, found := strings.Cut(s, "?"); found {
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
		}
		value, _ = json.Marshal(s)
	}
	if ack == "" {
		return value
	}
	return bytes.ReplaceAll(value, []byte(ack), []byte("REDACTED"))
}

// ack is the item's ack token: the field, or where that is missing the one in the URL.
func (n Notification) ack() string {
	if n.AckToken != "" {
		return n.AckToken
	}
	for _, s := range []string{n.Resource, n.ResourceURL} {
		if u, err := url.Parse(s); err == nil && s != "" {
			if ack := u.Query().Get(fieldAckToken); ack != "" {
				return ack
			}
		}
	}
	return ""
}
