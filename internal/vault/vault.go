// Package vault seals secrets at rest with a Tink AEAD key set.
//
// A sealed value is bound to its place (table, row and field): moved elsewhere it does not open. It begins
// with the id of the key that sealed it. The key set is a file of mode 0600, made at the first start on
// SQLite; it may hold several keys, all of which open. Which of them seals stands in the database, so that
// replicas with files of different age agree. Package keys changes both.
//
// A row sealed when the database was new, the canary, tells at every start whether the key set is the
// database's own; if it is not, or is gone, or lacks the key that seals now, Load fails and changes nothing,
// because a second key set beside sealed rows would only add to the harm.
//
// Tables: vault_secrets, vault_keys. On a crash: the key set file is written whole, synced and then linked
// into place, and the canary is inserted after it, so a start after any crash finds neither, the file alone,
// or both. A file that is replaced is the old one or the new one.
package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
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

// Column is a database column of sealed values. Each package that seals declares its own, so that a rotation
// finds them: what is sealed and not declared stays behind under the old key.
type Column struct {
	// Table and Field are the Place's, and the names in the database.
	Table, Field string
	// Key is the table's primary key, one column.
	Key string
	// Row makes the Place's row of the key; nil where it is the key as it is.
	Row func(key []byte) string
}

// Place is where the column's value in the row with this key lives.
func (c Column) Place(key []byte) Place {
	row := string(key)
	if c.Row != nil {
		row = c.Row(key)
	}
	return Place{Table: c.Table, Row: row, Field: c.Field}
}

// SealedColumns are this package's own.
func SealedColumns() []Column {
	return []Column{{Table: secretsTable, Key: "name", Field: secretsField}}
}

// Vault seals and opens. It is safe for concurrent use.
type Vault struct {
	using  atomic.Pointer[using]
	macKey []byte
}

// using is a key set with the key that seals.
type using struct {
	keys *Keyset
	seal uint32
	aead tink.AEAD
}

// Use makes the vault open with every key of a set and seal with one of them.
func (v *Vault) Use(keys *Keyset, seal uint32) error {
	primitive, err := keys.sealing(seal)
	if err != nil {
		return err
	}
	v.using.Store(&using{keys, seal, primitive})
	return nil
}

// Using is the key set and the key that seals.
func (v *Vault) Using() (keys *Keyset, seal uint32) {
	u := v.using.Load()
	return u.keys, u.seal
}

// Seal encrypts a secret for its place.
func (v *Vault) Seal(p Place, s Secret) ([]byte, error) {
	sealed, err := v.using.Load().aead.Encrypt([]byte(s.Reveal()), p.associatedData())
	if err != nil {
		return nil, fmt.Errorf("sealing %s.%s: %w", p.Table, p.Field, err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same place. The error says nothing of the content.
func (v *Vault) Open(p Place, sealed []byte) (Secret, error) {
	plain, err := v.using.Load().aead.Decrypt(sealed, p.associatedData())
	if err != nil {
		return Secret{}, fmt.Errorf("opening %s.%s: %w", p.Table, p.Field, ErrNotOpened)
	}
	return NewSecret(string(plain)), nil
}

// Reseal opens a value and seals it for the same place with the key that seals now.
func (v *Vault) Reseal(p Place, sealed []byte) ([]byte, error) {
	s, err := v.Open(p, sealed)
	if err != nil {
		return nil, err
	}
	return v.Seal(p, s)
}

// Cover encrypts what leaves the gateway and is to come back, such as a cursor. Its key follows from that of MAC: what was
// covered opens on every replica, and after a rotation.
func (v *Vault) Cover(purpose string) tink.AEAD {
	c, err := subtle.NewXChaCha20Poly1305(v.MAC("cover "+purpose, nil))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return c
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
