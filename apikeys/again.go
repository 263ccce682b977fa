package apikeys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
)

// signsToken begins the bytes that are signed for a stamp, so that no signature serves for something else.
const signsToken = "gatehouse admin token 1"

// Stamp tells one admin token from the next, which has the same id. Other keys need none, "": their ids are never
// given again. It is of no use to whoever reads it.
func (k *Keys) Stamp(id string) (string, error) {
	if id != admin().ID {
		return "", nil
	}
	hash := k.token
	if hash == nil {
		first := k.first.Load()
		if first == nil {
			return "", ErrNotFound
		}
		hash = *first
	}
	mac, err := k.db.Sign(append([]byte(signsToken), hash...))
	return hex.EncodeToString(mac), err
}

// Again finds a key that was authenticated before, by its id and the stamp it had then; ok is false when it does not
// work any more. An error says that it could not be found out.
func (k *Keys) Again(ctx context.Context, id, stamp string) (key Key, ok bool, err error) {
	if id == admin().ID {
		ok, err := k.adminAgain(ctx, stamp)
		return admin(), ok, err
	}
	var r row
	err = k.db.Get(ctx, &r, `SELECT `+columns+` FROM api_keys WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, false, nil
	}
	if err != nil {
		return Key{}, false, fmt.Errorf("looking API key %s up: %w", id, err)
	}
	return k.use(r)
}

func (k *Keys) adminAgain(ctx context.Context, stamp string) (bool, error) {
	now, err := k.Stamp(admin().ID)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil || subtle.ConstantTimeCompare([]byte(now), []byte(stamp)) != 1 {
		return false, err
	}
	if k.token != nil {
		return true, nil
	}
	return k.firstWorks(ctx)
}
