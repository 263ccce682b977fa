package doordeck

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const redacted = "REDACTED"

// hidden makes whatever embeds it print as REDACTED. What it hides must stand behind a pointer, because fmt
// asks none of these methods when the value is in an unexported field of what it prints.
type hidden struct{}

func (hidden) String() string { return redacted }

// Format covers every verb, %#v and %x included.
func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps the secret out of slog.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and of every other text encoding.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Token is an auth token: it proves to Doordeck who calls. It prints as REDACTED. Two tokens are equal when
// their strings are; the zero Token is none.
type Token struct {
	hidden
	value unique.Handle[string]
}

// NewToken wraps a token that somebody else made.
func NewToken(s string) Token {
	if s == "" {
		return Token{}
	}
	return Token{value: unique.Make(s)}
}

// Reveal returns the token itself.
func (t Token) Reveal() string {
	if t == (Token{}) {
		return ""
	}
	return t.value.Value()
}

// JWT is a signed operation. Until it expires or is spent, whoever has it and an auth token of the same user
// can have it done, so it prints as REDACTED.
type JWT struct {
	hidden
	value unique.Handle[string]
}

func newJWT(s string) JWT { return JWT{value: unique.Make(s)} }

// Reveal returns the signed operation as it is sent.
func (j JWT) Reveal() string {
	if j == (JWT{}) {
		return ""
	}
	return j.value.Value()
}
