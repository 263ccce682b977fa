package passthrough

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/invalid"
)

// The scopes of the route.
const (
	ScopeRead  = "doorflow:read"
	ScopeWrite = "doorflow:write"
	ScopeDoors = "doorflow:doors"
)

const (
	routePrefix = "/v1/connections/"
	routeMiddle = "/doorflow"
	apiPrefix   = "/api/3/"
)

// Target is what a request asks DoorFlow for.
type Target struct {
	Account string
	// Sent is the path at DoorFlow as it was sent, from /api/3/ on; Path is the same decoded.
	Sent, Path string
	// Query is as it was sent.
	Query string
}

// ParseTarget judges a request's target (http.Request.RequestURI) as it was sent. Whatever two servers might
// understand differently is an *invalid.Error: dot segments, empty segments, encoded slashes, backslashes
// and percent signs, characters that no path may have.
func ParseTarget(requestURI string) (Target, error) {
	path, query, _ := strings.Cut(requestURI, "?")
	rest, ours := strings.CutPrefix(path, routePrefix)
	account, rest, _ := strings.Cut(rest, "/")
	sent, below := strings.CutPrefix("/"+rest, routeMiddle)
	if !ours || !below || !strings.HasPrefix(sent, apiPrefix) {
		return Target{}, invalid.Field("path", "must be %s{account}%s%s…, written just so", routePrefix, routeMiddle, apiPrefix)
	}
	account, err := segment(account)
	if err != nil {
		return Target{}, err
	}
	var segments []string
	for raw := range strings.SplitSeq(strings.TrimPrefix(sent, apiPrefix), "/") {
		s, err := segment(raw)
		if err != nil {
			return Target{}, err
		}
		segments = append(segments, s)
	}
	return Target{Account: account, Sent: sent, Path: apiPrefix + strings.Join(segments, "/"), Query: query}, checkQuery(query)
}

// segment decodes one segment of a path.
func segment(raw string) (string, error) {
	if raw == "" {
		return "", invalid.Field("path", "must have no empty segment, nor a slash at its end")
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return !strings.ContainsRune(pathCharacters, r) }) {
		return "", invalid.Field("path", "has a character that must be percent-encoded (RFC 3986)")
	}
	s, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`/\%`, r) }) {
		return "", invalid.Field("path", `must encode UTF-8 and neither / \ %% nor control characters`)
	}
	// Some servers cut parameters off a segment (;x) before they look at it.
	if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." || name == "" {
		return "", invalid.Field("path", "must have no dot segments, encoded or not")
	}
	return s, nil
}

// pathCharacters are what a segment may consist of: pchar of RFC 3986.
const pathCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%"

// credentialNames are query parameters by which older interfaces of DoorFlow, or the library it resembles,
// take credentials. With them a request would act for somebody else than the account it is recorded for.
var credentialNames = []string{"access_token", "bearer_token", "api_key"}

func checkQuery(query string) error {
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return invalid.Field("query", "has a character that must be percent-encoded (RFC 3986)")
	}
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil {
			return invalid.Field("query", "cannot be decoded")
		}
		name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(name)), "[")
		if slices.Contains(credentialNames, name) {
			return invalid.Field("query", "must not have %s: the gateway adds the account's token", name)
		}
	}
	return nil
}

// doors are the resources whose commands move doors, under every name that DoorFlow has for them.
var doors = []string{"channels", "channel", "door_controllers", "door_controller"}

// Scope is what a caller needs for a method on the target. It goes by the decoded path, as DoorFlow will.
func (t Target) Scope(method string) string {
	if method == http.MethodGet {
		return ScopeRead
	}
	resource := strings.FieldsFunc(strings.TrimPrefix(t.Path, apiPrefix), func(r rune) bool { return strings.ContainsRune("/.;", r) })
	if method == http.MethodPost && len(resource) > 0 && slices.Contains(doors, strings.ToLower(resource[0])) {
		return ScopeDoors
	}
	return ScopeWrite
}

// Scope is Target.Scope of a request.
func Scope(r *http.Request) (string, error) {
	t, err := ParseTarget(r.RequestURI)
	return t.Scope(r.Method), err
}

// at is the target's URL below the API's base.
func (t Target) at(base *url.URL) *url.URL {
	u := *base
	u.Path = strings.TrimSuffix(base.Path, "/") + t.Path
	u.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + t.Sent
	u.RawQuery = t.Query
	return &u
}
