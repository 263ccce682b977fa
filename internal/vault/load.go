package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	canaryName  = "canary"
	canaryPlain = "gatehouse key set canary"
	macKeyName  = "mac-key"
)

// Load opens the key set in the file at path and checks it against the migrated database. Where neither
// file nor canary exists and create is set, both are made.
func Load(ctx context.Context, path string, db *sqlx.DB, create bool) (*Vault, error) {
	sealedBefore, err := storedSecret(ctx, db, canaryName)
	if err != nil {
		return nil, err
	}
	primitive, err := readKeyset(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && sealedBefore != nil:
		return nil, fmt.Errorf("key set %s is missing, and this database was sealed with it: restore the file from its backup; nothing was changed", path)
	case errors.Is(err, fs.ErrNotExist) && create:
		if primitive, err = createKeyset(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("key set %s does not exist: a shared database needs an explicit key set, the same file on every replica", path)
	case err != nil:
		return nil, err
	}
	v := &Vault{aead: primitive}
	if err := v.checkCanary(ctx, db, path); err != nil {
		return nil, err
	}
	return v, v.loadMACKey(ctx, db)
}

// readKeyset is the only place that reads key material.
func readKeyset(path string) (tink.AEAD, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key set %s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		// Tink's message could quote the file.
		return nil, fmt.Errorf("key set %s is damaged: it is not a Tink JSON key set; restore it from its backup", path)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("key set %s holds no usable AEAD keys; restore it from its backup", path)
	}
	return primitive, nil
}

// createKeyset writes a new key set beside its final name and links it there, which fails rather than
// overwrites if another file appeared meanwhile.
func createKeyset(path string) (tink.AEAD, error) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key set: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return nil, fmt.Errorf("making a key set: %w", err)
	}
	if err := WriteNew(path, buf.Bytes()); err != nil {
		return nil, fmt.Errorf("storing the new key set: %w", err)
	}
	return readKeyset(path)
}

// WriteNew stores a new file of mode 0600, synced together with its directory. It never overwrites.
func WriteNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Link(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (v *Vault) checkCanary(ctx context.Context, db *sqlx.DB, path string) error {
	plain, err := v.storedOrNew(ctx, db, canaryName, NewSecret(canaryPlain))
	if errors.Is(err, ErrNotOpened) || (err == nil && plain.Reveal() != canaryPlain) {
		return fmt.Errorf("key set %s is not the one this database was sealed with: restore the right file; nothing was changed", path)
	}
	return err
}

func (v *Vault) loadMACKey(ctx context.Context, db *sqlx.DB) error {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return err
	}
	key, err := v.storedOrNew(ctx, db, macKeyName, NewSecret(string(fresh)))
	v.macKey = []byte(key.Reveal())
	return err
}

// storedOrNew reads a sealed row, or stores fresh. It inserts without overwriting and reads again,
// because another replica may have been first.
func (v *Vault) storedOrNew(ctx context.Context, db *sqlx.DB, name string, fresh Secret) (Secret, error) {
	place := Place{Table: "vault_secrets", Row: name, Field: "sealed"}
	sealed, err := storedSecret(ctx, db, name)
	if err != nil {
		return Secret{}, err
	}
	if sealed == nil {
		if sealed, err = v.Seal(place, fresh); err != nil {
			return Secret{}, err
		}
		const insert = `INSERT INTO vault_secrets (name, sealed) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
		if _, err = db.ExecContext(ctx, db.Rebind(insert), name, sealed); err != nil {
			return Secret{}, fmt.Errorf("storing the sealed row %q: %w", name, err)
		}
		if sealed, err = storedSecret(ctx, db, name); err != nil {
			return Secret{}, err
		}
	}
	return v.Open(place, sealed)
}

// storedSecret returns a sealed row, nil where there is none.
func storedSecret(ctx context.Context, db *sqlx.DB, name string) ([]byte, error) {
	var sealed []byte
	err := db.GetContext(ctx, &sealed, db.Rebind(`SELECT sealed FROM vault_secrets WHERE name = ?`), name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the sealed row %q: %w", name, err)
	}
	return sealed, nil
}
