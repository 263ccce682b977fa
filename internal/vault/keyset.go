package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyset is a set of keys as its file holds it. It is never changed: Add, Promote and Drop return another.
type Keyset struct {
	handle *keyset.Handle
	digest [sha256.Size]byte
}

// maxKeyset bounds what is read of a key set file: a key takes some 250 bytes.
const maxKeyset = 1 << 20

// ReadKeyset reads a key set file, which nobody but its owner may read. It is the only place that reads key
// material.
func ReadKeyset(path string) (*Keyset, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key set %s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyset))
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		// Tink's message could quote the file.
		return nil, fmt.Errorf("key set %s is damaged: it is not a Tink JSON key set; restore it from its backup", path)
	}
	if _, err := aead.New(handle); err != nil {
		return nil, fmt.Errorf("key set %s holds no usable AEAD keys; restore it from its backup", path)
	}
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		// Without the prefix nobody could tell which key sealed a value.
		if key.GetOutputPrefixType() != tink_go_proto.OutputPrefixType_TINK {
			return nil, fmt.Errorf("key set %s: key %d has another output prefix than TINK", path, key.GetKeyId())
		}
	}
	return &Keyset{handle: handle, digest: sha256.Sum256(data)}, nil
}

// NewKeyset makes a set of one new key.
func NewKeyset() (*Keyset, error) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key set: %w", err)
	}
	return &Keyset{handle: handle}, nil
}

// Keys are the ids of the keys that can be used, in rising order.
func (k *Keyset) Keys() []uint32 {
	var ids []uint32
	for _, key := range k.handle.KeysetInfo().GetKeyInfo() {
		if key.GetStatus() == tink_go_proto.KeyStatusType_ENABLED {
			ids = append(ids, key.GetKeyId())
		}
	}
	slices.Sort(ids)
	return ids
}

// Has tells whether a key is there and can be used.
func (k *Keyset) Has(id uint32) bool { return slices.Contains(k.Keys(), id) }

// Primary is the key that the file itself names as the one to seal with.
func (k *Keyset) Primary() uint32 { return k.handle.KeysetInfo().GetPrimaryKeyId() }

// Same tells whether two sets were read from the same bytes.
func (k *Keyset) Same(other *Keyset) bool { return k.digest == other.digest }

// Format keeps key material out of whatever prints the set.
func (k *Keyset) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Add returns the set with one more key, which is not the primary one, and its id.
func (k *Keyset) Add() (*Keyset, uint32, error) {
	var id uint32
	more, err := k.changed(func(m *keyset.Manager) (err error) {
		id, err = m.Add(aead.XChaCha20Poly1305KeyTemplate())
		return err
	})
	return more, id, err
}

// Promote returns the set with another primary key.
func (k *Keyset) Promote(id uint32) (*Keyset, error) {
	return k.changed(func(m *keyset.Manager) error { return m.SetPrimary(id) })
}

// Drop returns the set without a key. In the place of the primary one comes the last of the others that can
// be used.
func (k *Keyset) Drop(id uint32) (*Keyset, error) {
	return k.changed(func(m *keyset.Manager) error {
		if id == k.Primary() {
			var next uint32
			for _, key := range k.handle.KeysetInfo().GetKeyInfo() {
				if key.GetKeyId() != id && key.GetStatus() == tink_go_proto.KeyStatusType_ENABLED {
					next = key.GetKeyId()
				}
			}
			if next == 0 {
				return errors.New("it is the only key")
			}
			if err := m.SetPrimary(next); err != nil {
				return err
			}
		}
		return m.Delete(id)
	})
}

func (k *Keyset) changed(change func(*keyset.Manager) error) (*Keyset, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	if err := change(m); err != nil {
		return nil, fmt.Errorf("changing a key set: %w", err)
	}
	handle, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("changing a key set: %w", err)
	}
	return &Keyset{handle: handle}, nil
}

// sealing returns what opens with every key of the set and seals with one.
func (k *Keyset) sealing(id uint32) (tink.AEAD, error) {
	promoted, err := k.Promote(id)
	if err != nil {
		return nil, err
	}
	return aead.New(promoted.handle)
}

// Write writes the set in clear. It is for the file, and for whoever explicitly asked for it.
func (k *Keyset) Write(w io.Writer) error {
	return insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(w))
}

// WriteNew stores the set in a new file.
func (k *Keyset) WriteNew(path string) error {
	var buf bytes.Buffer
	if err := k.Write(&buf); err != nil {
		return err
	}
	return WriteNew(path, buf.Bytes())
}

// Replace puts the set in the place of a file in one step: after a crash there is the old one or the new
// one. A temporary file that a crash leaves beside it, NAME.new, is overwritten by the next Replace. Only
// one process may do this at a time.
func (k *Keyset) Replace(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	file, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(k.Write(file), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// Replaceable tells whether Replace may be expected to work: a mounted secret often is read-only.
func Replaceable(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	const writeAndSearch = 3
	return err == nil && syscall.Access(filepath.Dir(path), writeAndSearch) == nil
}

// Tink writes this byte and the key's id before what it seals.
// https://developers.google.com/tink/wire-format#tink_output_prefix
const prefixByte, prefixSize = 1, 5

// Prefix is how everything begins that a key has sealed.
func Prefix(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{prefixByte}, id) }

// KeyID tells which key sealed a value; ok is false when it is not a sealed value.
func KeyID(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < prefixSize || sealed[0] != prefixByte {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}
