package apikeys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gatehouse/internal/vault"
)

// MinToken is how short an admin token may be that somebody made up.
const MinToken = 16

// openFirst sees to it that there is a way in: where neither an admin token is configured nor an admin key
// works, the token in the file is, and is made if need be.
func (k *Keys) openFirst(ctx context.Context) error {
	if k.file == "" {
		return nil
	}
	other := k.token != nil
	if !other {
		var err error
		if other, err = k.adminWorks(ctx); err != nil {
			return err
		}
	}
	if other {
		k.retire()
		return nil
	}
	token, err := readToken(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		token = newKey()
		if err = vault.WriteNew(k.file, []byte(token.Reveal()+"\n")); err == nil {
			k.log.Info("an admin token was made, which works until there is another admin key", "file", k.file)
		}
	}
	if err != nil {
		return fmt.Errorf("keeping the admin token: %w", err)
	}
	hash := digest(token)
	k.first.Store(&hash)
	return nil
}

func readToken(path string) (vault.Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return vault.Secret{}, err
	}
	token := strings.TrimSpace(string(data))
	if len(token) < MinToken {
		return vault.Secret{}, fmt.Errorf("%s: the token is too short; remove the file to have one made", path)
	}
	return vault.NewSecret(token), nil
}

// adminWorks tells whether some key with the scope admin works.
func (k *Keys) adminWorks(ctx context.Context) (bool, error) {
	var n int
	if err := k.db.Get(ctx, &n, `SELECT COUNT(*) FROM api_keys WHERE`+workingAdmin, k.now().UnixMilli()); err != nil {
		return false, fmt.Errorf("looking for an admin key: %w", err)
	}
	return n > 0, nil
}

// firstWorks tells whether the token in the file still works, and ends it if not.
func (k *Keys) firstWorks(ctx context.Context) (bool, error) {
	other, err := k.adminWorks(ctx)
	if other {
		k.retire()
	}
	return !other && err == nil, err
}

// retire ends the token in the file, and removes the file. If that fails the token does not work all the
// same, and the next start tries again.
func (k *Keys) retire() {
	k.first.Store(nil)
	if k.file == "" {
		return
	}
	err := os.Remove(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = syncDir(filepath.Dir(k.file))
	}
	if err != nil {
		k.log.Warn("the admin token's file could not be removed; its token does not work any more", "file", k.file, "error", err)
		return
	}
	k.log.Info("there is another admin key: the admin token was removed with its file, and does not work any more", "file", k.file)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
