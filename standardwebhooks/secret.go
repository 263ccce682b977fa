package standardwebhooks

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unique"
)

const (
	secretPrefix = "whsec_"
	// The specification: at least 24 bytes (192 bits), at most 512 bits.
	minKey, maxKey = 24, 64
	newKey         = 32
)

// ErrSecret says that a secret is not "whsec_" and 24 to 64 bytes in padded base64, or that none was given. The
// secret is not in the error.
var ErrSecret = errors.New(`standardwebhooks: want a secret of "whsec_" and 24 to 64 bytes in base64`)

// Secret is the key that sender and receiver share. However it is printed, logged or marshalled it says REDACTED.
// The zero Secret is no secret: nothing can be signed or verified with it.
type Secret struct {
	// A handle, because fmt asks no method of what stands in an unexported field: it would print the string.
	text unique.Handle[string]
}

// NewSecret makes a secret of 32 random bytes.
func NewSecret() Secret {
	key := make([]byte, newKey)
	_, _ = rand.Read(key) // crypto/rand: it never fails
	return Secret{unique.Make(secretPrefix + base64.StdEncoding.EncodeToString(key))}
}

// ParseSecret reads a secret as it is shown to people. Anything else is ErrSecret.
func ParseSecret(s string) (Secret, error) {
	encoded, ok := strings.CutPrefix(s, secretPrefix)
	if !ok || len(encoded) > base64.StdEncoding.EncodedLen(maxKey) || strings.ContainsAny(encoded, "\r\n") { // the decoder skips line ends
		return Secret{}, ErrSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return Secret{}, ErrSecret
	}
	return Secret{unique.Make(s)}, nil
}

// Reveal returns the secret as it is shown to people, "whsec_…"; of the zero Secret nothing.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// key is nil for the zero Secret.
func (s Secret) key() []byte {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), secretPrefix)) // it was checked when it was made
	if len(key) == 0 {
		return nil
	}
	return key
}

// Format covers every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "REDACTED") }

// LogValue keeps the secret out of slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// MarshalText keeps the secret out of JSON and of other text encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }
