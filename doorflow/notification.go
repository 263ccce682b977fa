package doorflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
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

	plain bool // see plain.go
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
	if items, ok := parsePlain(body); ok {
		return items, nil
	}
	return parseGeneral(body)
}

func parseGeneral(body []byte) ([]Notification, error) {
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

// ack is the item's ack token: the one in the URL, which is what DoorFlow expects to be called, or where
// that is missing the field.
func (n Notification) ack() string {
	for _, s := range []string{n.Resource, n.ResourceURL} {
		if !strings.Contains(s, "?") {
			continue
		}
		if u, err := url.Parse(s); err == nil {
			if ack := u.Query().Get(fieldAckToken); ack != "" {
				return ack
			}
		}
	}
	return n.AckToken
}
