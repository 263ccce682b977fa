package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

var (
	// ErrLinkNotFound says that there is no such connect link.
	ErrLinkNotFound = errors.New("there is no such connect link")
	// ErrLinkSpent says that the link has made its connection already.
	ErrLinkSpent = errors.New("this connect link has been used")
	// ErrLinkExpired says that the link, or its ten minutes of pending, are over.
	ErrLinkExpired = errors.New("this connect link has expired")
	// ErrLinkNotPending says that nobody has authorised anything through the link that could be completed.
	ErrLinkNotPending = errors.New("this connect link is not waiting to be completed")
	// ErrCodeWrong says that the code is not the one the browser was given.
	ErrCodeWrong = errors.New("the code does not belong to this connect link")
)

// The states of a link.
const (
	StatusOpen      = "open"
	StatusPending   = "pending"
	StatusConnected = "connected"
	StatusDenied    = "denied"
	StatusFailed    = "failed"
	StatusExpired   = "expired"
)

const (
	linkFor      = 24 * time.Hour
	pendingFor   = 10 * time.Minute
	maxReference = 200
	maxAccount   = 64
	maxReturnURL = 2048
)

// Link is a connect link as the API shows it.
type Link struct {
	ID            string    `json:"id"`
	URL           string    `json:"url"`
	Status        string    `json:"status"`
	Error         string    `json:"error,omitempty"`
	Account       string    `json:"account,omitempty"` // the one wanted, and then the one connected
	Reference     string    `json:"reference,omitempty"`
	ReturnURL     string    `json:"return_url,omitempty"`
	Scopes        []string  `json:"scopes,omitempty"`
	MissingScopes []string  `json:"missing_scopes,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// LinkRequest asks for a link.
type LinkRequest struct {
	ReturnURL string `json:"return_url"`
	Reference string `json:"reference"`
	Account   string `json:"account"`
}

// check refuses what a person should not be shown or sent to.
func (r *LinkRequest) check(origins []string) error {
	if utf8.RuneCountInString(r.Reference) > maxReference || !printable(r.Reference) {
		return invalid.Field("reference", "must be at most %d printable characters", maxReference)
	}
	if r.Account != "" && !isAccount(r.Account) {
		return invalid.Field("account", "must be a DoorFlow account id")
	}
	if r.ReturnURL == "" {
		return nil
	}
	return checkReturnURL(r.ReturnURL, origins)
}

func checkReturnURL(raw string, origins []string) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxReturnURL || u.Host == "" || !printable(raw) {
		return invalid.Field("return_url", "must be an absolute URL of at most %d characters", maxReturnURL)
	}
	if u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") {
		return invalid.Field("return_url", "must have neither credentials nor a fragment")
	}
	if !slices.Contains(origins, origin(u)) {
		return invalid.Field("return_url", "must have one of the origins that GATEHOUSE_RETURN_URLS allows")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return invalid.Field("return_url", "has a query that cannot be read")
	}
	for _, ours := range []string{"link", "code", "status", "error"} {
		if query.Has(ours) {
			return invalid.Field("return_url", "must not have %s in its query: it is added on return", ours)
		}
	}
	return nil
}

// origin is scheme, host and port, the default port left out.
func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// isAccount tells whether a text can be an account's hashid. It stands in pages, paths, subjects and logs.
func isAccount(s string) bool {
	return s != "" && len(s) <= maxAccount && printable(s) && !strings.ContainsRune(s, ' ')
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// random returns 256 bits as base64url.
func random() vault.Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return vault.NewSecret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// digest is how random values are stored: they are too long to be guessed, so they need no salt.
func digest(s vault.Secret) []byte {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return sum[:]
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// missing returns the wanted scopes that were not granted; a write scope covers its reading twin.
func missing(granted, wanted []string) []string {
	var out []string
	for _, w := range wanted {
		if !slices.Contains(granted, w) && !slices.Contains(granted, strings.TrimSuffix(w, ".readonly")) {
			out = append(out, w)
		}
	}
	return out
}
