// Package vault seals secrets at rest with a Tink AEAD key set.
//
// A sealed value is bound to its place (table, row and field): moved elsewhere it does not open. The key
// set is a file of mode 0600, made at the first start on SQLite. A row sealed when the database was new,
// the canary, tells at every start whether the key set is the database's own; if it is not, or is gone,
// Load fails and changes nothing, because a second key set beside sealed rows would only add to the harm.
//
// Tables: vault_secrets. On a crash: the key set file is written whole, synced and then linked into place,
// and the canary is inserted after it, so a start after any crash finds neither, the file alone, or both.
package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrNotOpened says that a sealed value is not what this key set sealed for this place.
var ErrNotOpened = errors.New("vault: a sealed value cannot be opened with this key set")

// Place is where a sealed value lives. It is authenticated with the value, not stored.
type Place struct{ Table, Row, Field string }

// associatedData writes the parts with their lengths, so that no two places read alike.
func (p Place) associatedData() []byte {
	b := []byte("gatehouse vault 1")
	for _, part := range []string{p.Table, p.Row, p.Field} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// Vault seals and opens. It is safe for concurrent use.
type Vault struct {
	aead   tink.AEAD
	macKey []byte
}

// Seal encrypts a secret for its place.
func (v *Vault) Seal(p Place, s Secret) ([]byte, error) {
	sealed, err := v.aead.Encrypt([]byte(s.Reveal()), p.associatedData())
	if err != nil {
		return nil, fmt.Errorf("sealing %s.%s: %w", p.Table, p.Field, err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same place. The error says nothing of the content.
func (v *Vault) Open(p Place, sealed []byte) (Secret, error) {
	plain, err := v.aead.Decrypt(sealed, p.associatedData())
	if err != nil {
		return Secret{}, fmt.Errorf("opening %s.%s: %w", p.Table, p.Field, ErrNotOpened)
	}
	return NewSecret(string(plain)), nil
}

// MAC returns a stable HMAC-SHA256 of data for one purpose, under a key that is itself sealed in the
// database. It survives a rotation of the key set. It makes pseudonyms and digests of things that are
// too short to be hashed in the open, such as a PIN.
func (v *Vault) MAC(purpose string, data []byte) []byte {
	h := hmac.New(sha256.New, v.macKey)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(purpose))))
	h.Write([]byte(purpose))
	h.Write(data)
	return h.Sum(nil)
}
