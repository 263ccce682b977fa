package vault

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
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
	keys, err := ReadKeyset(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && sealedBefore != nil:
		return nil, lost(path)
	case errors.Is(err, fs.ErrNotExist) && create:
		if keys, err = createKeyset(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("key set %s does not exist: on SQLite the first start of the gateway makes it; for a shared database make it with `gatehouse keys file new`, the same file on every replica", path)
	case err != nil:
		return nil, err
	}
	v := &Vault{}
	if err := v.settle(ctx, db, keys, path); err != nil {
		return nil, err
	}
	return v, v.loadMACKey(ctx, db)
}

// Check finds out whether Load would accept the key set in the file at path, but makes and changes nothing.
func Check(ctx context.Context, path string, db *sqlx.DB) (*Vault, error) {
	sealedBefore, err := storedSecret(ctx, db, canaryName)
	if err != nil {
		return nil, err
	}
	keys, err := ReadKeyset(path)
	if errors.Is(err, fs.ErrNotExist) && sealedBefore != nil {
		return nil, lost(path)
	}
	if err != nil {
		return nil, err
	}
	v := &Vault{}
	if _, err := v.useCurrent(ctx, db, keys, path); err != nil || sealedBefore == nil {
		return v, err
	}
	return v, v.checkCanary(ctx, db, path)
}

func lost(path string) error {
	return fmt.Errorf("key set %s is missing, and this database was sealed with it: restore the file from its backup; nothing was changed", path)
}

// useCurrent takes up the key that seals this database, 0 where it names none yet; then it is the set's
// primary one.
func (v *Vault) useCurrent(ctx context.Context, db *sqlx.DB, keys *Keyset, path string) (current uint32, err error) {
	if current, err = CurrentKey(ctx, db); err != nil {
		return 0, err
	}
	seal := current
	if current == 0 {
		seal = keys.Primary()
	} else if !keys.Has(current) {
		return 0, lacking(ctx, db, keys, current, path)
	}
	return current, v.Use(keys, seal)
}

// settle finds out which key seals this database, proves with the canary that the set is the right one,
// and on a database that names no key yet lets it name the set's primary one.
func (v *Vault) settle(ctx context.Context, db *sqlx.DB, keys *Keyset, path string) error {
	current, err := v.useCurrent(ctx, db, keys, path)
	if err != nil {
		return err
	}
	if err := v.checkCanary(ctx, db, path); err != nil || current != 0 {
		return err
	}
	seal := keys.Primary()
	// A second row that is current runs into the unique index: another replica was first, perhaps with
	// another primary key.
	const claim = `INSERT INTO vault_keys (id, current, created_at, current_at) VALUES (?, 1, 0, ?) ON CONFLICT DO NOTHING`
	if _, err := db.ExecContext(ctx, db.Rebind(claim), seal, time.Now().UnixMilli()); err != nil {
		return fmt.Errorf("noting which key seals the database: %w", err)
	}
	if current, err = CurrentKey(ctx, db); err != nil || current == seal {
		return err
	}
	if !keys.Has(current) {
		return lacking(ctx, db, keys, current, path)
	}
	return v.Use(keys, current)
}

// CurrentKey is the id of the key that seals the database now, 0 where it names none yet.
func CurrentKey(ctx context.Context, db *sqlx.DB) (uint32, error) {
	var id uint32
	err := db.GetContext(ctx, &id, `SELECT id FROM vault_keys WHERE current = 1`)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading which key seals the database: %w", err)
	}
	return id, nil
}

// lacking tells a set of another database from one that a rotation has left behind.
func lacking(ctx context.Context, db *sqlx.DB, keys *Keyset, current uint32, path string) error {
	var known []uint32
	if err := db.SelectContext(ctx, &known, `SELECT id FROM vault_keys`); err != nil {
		return fmt.Errorf("reading the known keys: %w", err)
	}
	if slices.ContainsFunc(keys.Keys(), func(id uint32) bool { return slices.Contains(known, id) }) {
		return fmt.Errorf("key set %s lacks key %d, which a rotation has made the one that seals this database: put the key set in its place that the other replicas have, or the newest backup of it; nothing was changed", path, current)
	}
	return notTheOne(path)
}

func notTheOne(path string) error {
	return fmt.Errorf("key set %s is not the one this database was sealed with: restore the right file; nothing was changed", path)
}

// createKeyset writes a new key set beside its final name and links it there, which fails rather than
// overwrites if another file appeared meanwhile.
func createKeyset(path string) (*Keyset, error) {
	keys, err := NewKeyset()
	if err != nil {
		return nil, err
	}
	if err := keys.WriteNew(path); err != nil {
		return nil, fmt.Errorf("storing the new key set: %w", err)
	}
	return ReadKeyset(path)
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
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (v *Vault) checkCanary(ctx context.Context, db *sqlx.DB, path string) error {
	plain, err := v.storedOrNew(ctx, db, canaryName, NewSecret(canaryPlain))
	if errors.Is(err, ErrNotOpened) || (err == nil && plain.Reveal() != canaryPlain) {
		return notTheOne(path)
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

const secretsTable, secretsField = "vault_secrets", "sealed"

// storedOrNew reads a sealed row, or stores fresh. It inserts without overwriting and reads again,
// because another replica may have been first.
func (v *Vault) storedOrNew(ctx context.Context, db *sqlx.DB, name string, fresh Secret) (Secret, error) {
	place := Place{Table: secretsTable, Row: name, Field: secretsField}
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
