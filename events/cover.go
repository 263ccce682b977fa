package events

import (
	"encoding/base64"
	"strings"
)

// Cover encrypts what clients keep and bring back. All replicas need the same, across restarts. A tink.AEAD is one.
type Cover interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// cursors hides what cursors say, because it may be more than their holder is to know: a bookmark counts everybody's
// messages, and where a page ends there may be a message of somebody else.
type cursors struct{ cover Cover }

// The kinds of cursors. Each opens as itself only.
const (
	ofList   = "gatehouse cursor of messages"
	ofStream = "gatehouse bookmark of the stream"
)

const (
	// coverStep hides how long a cursor is, which would tell how large its numbers are.
	coverStep  = 64
	maxCovered = 12 << 10 // characters
)

// hide makes a cursor opaque; "" stays "".
func (c cursors) hide(kind, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	padded := cursor + strings.Repeat("=", coverStep-len(cursor)%coverStep)
	sealed, err := c.cover.Encrypt([]byte(padded), []byte(kind))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// reveal returns what was hidden; ok is false for anything else.
func (c cursors) reveal(kind, hidden string) (cursor string, ok bool) {
	if hidden == "" {
		return "", true
	}
	if len(hidden) > maxCovered {
		return "", false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(hidden)
	if err != nil {
		return "", false
	}
	padded, err := c.cover.Decrypt(sealed, []byte(kind))
	return strings.TrimRight(string(padded), "="), err == nil
}
