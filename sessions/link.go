package sessions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/vault"
)

var (
	// ErrLink says that a sign-in link does not exist, has been used or is too old; which of them is nobody's business.
	ErrLink = errors.New("sessions: the sign-in link does not work")
	// ErrTooManyLinks says that a key has as many unused links as it may.
	ErrTooManyLinks = errors.New("sessions: there are too many sign-in links")
)

const (
	linkFor  = 10 * time.Minute
	maxLinks = 20 // of a key, unused
)

// NewLink makes a link that signs one browser in as the key with that id, and returns its token and when it ends.
func (s *Sessions) NewLink(ctx context.Context, key string) (vault.Secret, time.Time, error) {
	stamp, err := s.keys.Stamp(key)
	if err != nil {
		return vault.Secret{}, time.Time{}, fmt.Errorf("making a sign-in link: %w", err)
	}
	token, now, by := random(), s.now(), audit.ActorFrom(ctx)
	ends := now.Add(linkFor)
	err = s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM sign_in_links WHERE expires_at <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		var count int
		if err := tx.Get(ctx, &count, `SELECT COUNT(*) FROM sign_in_links WHERE key_id = ?`, key); err != nil {
			return err
		}
		if count >= maxLinks {
			return ErrTooManyLinks
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sign_in_links (token_hash, key_id, stamp, created_at, expires_at) VALUES (?, ?, ?, ?, ?)`,
			digest(token), key, stamp, now.UnixMilli(), ends.UnixMilli()); err != nil {
			return err
		}
		return record(ctx, tx, by, "sign_in_link.create", key)
	})
	if err != nil {
		return vault.Secret{}, time.Time{}, fmt.Errorf("making a sign-in link: %w", err)
	}
	return token, ends.UTC(), nil
}

type linkRow struct {
	Key     string `db:"key_id"`
	Stamp   string
	Expires int64 `db:"expires_at"`
}

// Usable tells whether a link would sign somebody in. It spends nothing.
func (s *Sessions) Usable(ctx context.Context, link vault.Secret) error {
	_, _, err := s.read(ctx, link)
	return err
}

func (s *Sessions) read(ctx context.Context, link vault.Secret) (linkRow, apikeys.Key, error) {
	if !plausible(link) {
		return linkRow{}, apikeys.Key{}, ErrLink
	}
	var r linkRow
	err := s.db.Get(ctx, &r, `SELECT key_id, stamp, expires_at FROM sign_in_links WHERE token_hash = ?`, digest(link))
	if errors.Is(err, sql.ErrNoRows) || err == nil && s.now().UnixMilli() >= r.Expires {
		return r, apikeys.Key{}, ErrLink
	}
	if err != nil {
		return r, apikeys.Key{}, fmt.Errorf("looking a sign-in link up: %w", err)
	}
	key, ok, err := s.keys.Again(ctx, r.Key, r.Stamp)
	if err == nil && !ok {
		err = ErrLink
	}
	return r, key, err
}

// Redeem spends a link and opens its session, in one commit. It returns what the cookie is to hold. Errors: ErrLink.
func (s *Sessions) Redeem(ctx context.Context, link vault.Secret, in Browser) (vault.Secret, error) {
	r, key, err := s.read(ctx, link)
	if err != nil {
		return vault.Secret{}, err
	}
	by := audit.ActorFrom(ctx)
	by.Kind, by.Name, by.KeyID = audit.KindKey, key.Name, key.ID
	o := opening{in, random(), r.Key, r.Stamp, withLink, s.now().UnixMilli(), by}
	err = s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM sign_in_links WHERE token_hash = ?`, digest(link))
		if err == nil && n == 0 { // another browser was first
			err = ErrLink
		}
		if err != nil {
			return err
		}
		return o.store(ctx, tx)
	})
	if err != nil {
		return vault.Secret{}, fmt.Errorf("spending a sign-in link: %w", err)
	}
	return o.token, nil
}
