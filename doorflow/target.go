package doorflow

import (
	"net/url"
	"strings"
)

// Target is what a notification points at, checked: a path below the API, and what acknowledges it.
type Target struct {
	// Path begins with /api/3/ and holds only digits and an id.
	Path     string
	AckToken string
	// Callback is DoorFlow's "webhook callback ID", passed through where the URL has one.
	Callback string
}

// Flag says why a notification is never fetched. It is also what its message is flagged with.
type Flag string

// Flags of notifications.
const (
	FlagIncomplete      Flag = "incomplete"
	FlagUnknownType     Flag = "unknown_type"
	FlagConflictingURLs Flag = "conflicting_urls"
	FlagForeignURL      Flag = "foreign_url"
)

const maxField = 128

// Target checks what the notification points at. The URL is never used as it was given: it must name the
// configured API and the very resource the item speaks of, and is then rebuilt from the configuration,
// so that no bearer token can be sent anywhere else.
func (n Notification) Target(api *url.URL) (Target, Flag) {
	if t, ok := n.plainTarget(api); ok {
		return t, ""
	}
	for _, s := range []string{n.Action, n.ResourceType, n.ResourceID, n.AccountID} {
		if s == "" || len(s) > maxField {
			return Target{}, FlagIncomplete
		}
	}
	given := n.Resource
	if given == "" {
		given = n.ResourceURL
	}
	ack := n.ack()
	if given == "" || ack == "" || !isPlain(ack) {
		return Target{}, FlagIncomplete
	}
	if n.ResourceURL != "" && n.ResourceURL != given {
		return Target{}, FlagConflictingURLs
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != api.Scheme || !strings.EqualFold(u.Host, api.Host) || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return Target{}, FlagForeignURL
	}
	path, ok := strings.CutPrefix(u.EscapedPath(), strings.TrimSuffix(api.EscapedPath(), "/"))
	if !ok {
		return Target{}, FlagForeignURL
	}
	switch n.ResourceType {
	case TypeEvent, TypePerimeterEvent:
		ok = isDigits(n.ResourceID) && path == "/api/3/events/"+n.ResourceID
	case TypeCredential:
		person, id, found := strings.Cut(strings.TrimPrefix(path, "/api/3/people/"), "/credentials/")
		ok = found && isDigits(person) && id == n.ResourceID && isHashID(id) && path == "/api/3/people/"+person+"/credentials/"+id
	default:
		return Target{}, FlagUnknownType
	}
	callback := u.Query().Get("callback")
	if !ok || !isPlain(callback) {
		return Target{}, FlagForeignURL
	}
	return Target{Path: path, AckToken: ack, Callback: callback}, ""
}

// IsEventID tells whether s is an event's id: a decimal number that fits 64 bits.
func IsEventID(s string) bool { return isDigits(s) }

// isDigits tells whether s is a decimal id that fits 64 bits.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 18
}

// isPlain tells whether an opaque token is of printable ASCII without blanks, and not too long: a database
// and a URL take it as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxField
}

func isHashID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
