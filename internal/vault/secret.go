package vault

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "REDACTED"

// Secret is a string that must not be seen: a token, a key, a client secret. However it is printed,
// logged or marshalled it says REDACTED; only Reveal gives it up. It cannot be stored by accident
// either: as a database value it is an error, so that what is at rest has gone through Seal.
type Secret struct{ value string }

// NewSecret wraps a secret string.
func NewSecret(s string) Secret { return Secret{value: s} }

// Reveal returns the secret itself. Every call of it is a place to look at in a review.
func (s Secret) Reveal() string { return s.value }

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.value == "" }

func (s Secret) String() string {
	if s.value == "" {
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
	s.value = string(text)
	return nil
}

// Value refuses to hand a secret to a database in clear.
func (s Secret) Value() (driver.Value, error) {
	return nil, errors.New("vault: a secret must be sealed before it is stored")
}
