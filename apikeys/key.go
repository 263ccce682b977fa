package apikeys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

// ScopeAdmin stands for all scopes, and is the only one that may make and revoke keys.
const ScopeAdmin = "admin"

// Scopes are all that a key may have: an area and a verb, or ScopeAdmin. None contains another: a key that
// reads and writes has both.
func Scopes() []string {
	return []string{
		ScopeAdmin, "audit:read",
		"connections:read", "connections:write",
		"doorflow:doors", "doorflow:read", "doorflow:write",
		"endpoints:read", "endpoints:write",
		"identities:read", "identities:write",
		"messages:read", "messages:write",
		"operations:admin", "operations:provision", "operations:read", "operations:unlock", "operations:write",
	}
}

// Key is what may be shown of a key: everything but itself.
type Key struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	// Accounts and Identities are what the key is held to; nil means all, an empty list none.
	Accounts   []string  `json:"accounts,omitzero"`
	Identities []string  `json:"identities,omitzero"`
	CreatedAt  time.Time `json:"created_at"`
	// ExpiresAt is when it stops working; zero means never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// UsedAt is when it, or a session that it opened, worked last, to the minute; zero means never so far.
	UsedAt time.Time `json:"used_at,omitzero"`
}

// Request asks for a key.
type Request struct {
	Name   string `json:"name"`
	Scopes list   `json:"scopes"`
	// Accounts and Identities limit the key; nil means all, an empty list none.
	Accounts   list `json:"accounts"`
	Identities list `json:"identities"`
	// ExpiresAt is a time of RFC 3339, nil for never.
	ExpiresAt *string `json:"expires_at"`

	expiresAt time.Time
}

// list refuses null, with which one program means nothing and another all.
type list []string

func (l *list) UnmarshalJSON(data []byte) error {
	read := []string{}
	if bytes.Equal(data, []byte("null")) || json.Unmarshal(data, &read) != nil {
		return &json.UnmarshalTypeError{Type: reflect.TypeFor[[]string]()}
	}
	*l = read
	return nil
}

const (
	maxName  = 64
	maxID    = 64  // of an account or identity
	maxLimit = 100 // accounts, and as many identities
)

// check says what is wrong with a request, naming the field.
func (r *Request) check(now time.Time) error {
	if n := utf8.RuneCountInString(r.Name); n == 0 || n > maxName || !printable(r.Name) || strings.TrimSpace(r.Name) != r.Name {
		return invalid.Field("name", "must be 1 to %d printable characters that do not begin or end with a space", maxName)
	}
	if err := r.checkScopes(); err != nil {
		return err
	}
	if err := r.Accounts.checkLimit("accounts", r.Scopes); err != nil {
		return err
	}
	if err := r.Identities.checkLimit("identities", r.Scopes); err != nil {
		return err
	}
	if r.ExpiresAt == nil {
		return nil
	}
	at, err := time.Parse(time.RFC3339, *r.ExpiresAt)
	if err != nil {
		return invalid.Field("expires_at", "must be a time such as 2030-01-01T00:00:00Z (RFC 3339); leave it out for a key that never ends")
	}
	if r.expiresAt = at.UTC().Truncate(time.Millisecond); !r.expiresAt.After(now) {
		return invalid.Field("expires_at", "must be in the future")
	}
	return nil
}

func (r *Request) checkScopes() error {
	known := Scopes()
	if len(r.Scopes) == 0 {
		return invalid.Field("scopes", "must name at least one of: %s", strings.Join(known, ", "))
	}
	if len(r.Scopes) > len(known) {
		return invalid.Field("scopes", "must name each scope once")
	}
	for i, scope := range r.Scopes {
		if !slices.Contains(known, scope) {
			return invalid.Field("scopes", "must be some of: %s", strings.Join(known, ", "))
		}
		if slices.Contains(r.Scopes[:i], scope) {
			return invalid.Field("scopes", "must name each scope once")
		}
	}
	return nil
}

// checkLimit checks a list of accounts or identities. A key that may make other keys is held to nothing: it could make
// itself one without the limit.
func (l list) checkLimit(field string, scopes []string) error {
	if l == nil {
		return nil
	}
	if slices.Contains(scopes, ScopeAdmin) {
		return invalid.Field(field, "cannot limit a key with the scope admin, which could make itself a key without limits; leave it out, or name other scopes")
	}
	if len(l) > maxLimit {
		return invalid.Field(field, "must be at most %d; make another key for the others", maxLimit)
	}
	for i, id := range l {
		if id == "" || len(id) > maxID || !printable(id) || strings.ContainsRune(id, ' ') {
			return invalid.Field(field, "must be ids of 1 to %d printable characters without spaces", maxID)
		}
		if slices.Contains(l[:i], id) {
			return invalid.Field(field, "must name each once")
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Prefix is what every key begins with, so that people and programs that look for leaked secrets know one
// when they see it.
const Prefix = "gh_"

// newKey returns 256 random bits behind the prefix.
func newKey() vault.Secret {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return vault.NewSecret(Prefix + base64.RawURLEncoding.EncodeToString(random[:]))
}

// plausible tells whether a text can be a key at all. What cannot need not be looked up.
func plausible(secret string) bool {
	return len(secret) == len(Prefix)+43 && strings.HasPrefix(secret, Prefix)
}

// digest is how a key is stored. It is too long to be guessed, so it needs no salt.
func digest(s vault.Secret) []byte {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return sum[:]
}
