package vault

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const redacted = "REDACTED"

// Secret is a string that must not be seen: a token, a key, a client secret. However it is printed,
// logged or marshalled it says REDACTED; only Reveal gives it up. It cannot be stored by accident
// either: as a database value it is an error, so that what is at rest has gone through Seal. Secrets are
// equal when their strings are.
type Secret struct {
	// A handle, because fmt asks none of the methods below when a secret stands in an unexported field of
	// what it prints: it shows the fields as they are, which here is a pointer.
	value unique.Handle[string]
}

// NewSecret wraps a secret string.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{value: unique.Make(s)}
}

// Reveal returns the secret itself. Every call of it is a place to look at in a review.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.value.Value()
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format covers every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue keeps the secret out of slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secret out of JSON and of every other text encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the secret from a flag or an environment variable.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Value refuses to hand a secret to a database in clear.
func (s Secret) Value() (driver.Value, error) {
	return nil, errors.New("vault: a secret must be sealed before it is stored")
}
