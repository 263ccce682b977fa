package sessions

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

const (
	// Lasts is how long a session lives, however much it is used.
	Lasts = 12 * time.Hour
	// idleFor is how long it lives unused, and seenEvery how exactly that is kept.
	idleFor   = 2 * time.Hour
	seenEvery = time.Minute
	// perKey bounds the sessions of a key: with one more, the oldest ends.
	perKey = 50
)

// Config is what Sessions need.
type Config struct {
	DB     *sqldb.DB
	Events *events.Log
	Keys   *apikeys.Keys
	Now    func() time.Time // nil means time.Now
}

// Sessions are those of the gateway.
type Sessions struct {
	db     *sqldb.DB
	events *events.Log
	keys   *apikeys.Keys
	now    func() time.Time
}

// New makes them.
func New(c Config) *Sessions {
	s := &Sessions{db: c.DB, events: c.Events, keys: c.Keys, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Open begins a session for a key that was authenticated just now, and returns what the cookie is to hold.
func (s *Sessions) Open(ctx context.Context, key string) (vault.Secret, error) {
	stamp, err := s.keys.Stamp(key)
	if err != nil {
		return vault.Secret{}, fmt.Errorf("opening a session: %w", err)
	}
	token, now, by := random(), s.now().UnixMilli(), audit.ActorFrom(ctx)
	err = s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		return insert(ctx, tx, token, key, stamp, now, by)
	})
	if err != nil {
		return vault.Secret{}, fmt.Errorf("opening a session: %w", err)
	}
	return token, nil
}

// insert stores a session, and removes those that are over or too many.
func insert(ctx context.Context, tx *events.Tx, token vault.Secret, key, stamp string, now int64, by audit.Actor) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?`, now, now-idleFor.Milliseconds()); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE token_hash IN
		(SELECT token_hash FROM sessions WHERE key_id = ? ORDER BY created_at DESC LIMIT 1000 OFFSET ?)`, key, perKey-1); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO sessions (token_hash, key_id, stamp, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
		digest(token), key, stamp, now, now, now+Lasts.Milliseconds()); err != nil {
		return err
	}
	return record(ctx, tx, by, "session.open", key)
}

func record(ctx context.Context, tx *events.Tx, by audit.Actor, action, target string) error {
	_, err := audit.Record(ctx, tx.Tx, audit.Entry{Actor: by, Action: action, Target: target, Outcome: audit.Done})
	return err
}

// Find returns the key that a session stands for; ok is false when there is no such session, or no longer. With used
// the session is kept from ending for being idle.
func (s *Sessions) Find(ctx context.Context, token vault.Secret, used bool) (key apikeys.Key, ok bool, err error) {
	if !plausible(token) {
		return apikeys.Key{}, false, nil
	}
	var r struct {
		Key     string `db:"key_id"`
		Stamp   string
		Seen    int64 `db:"seen_at"`
		Expires int64 `db:"expires_at"`
	}
	hash, now := digest(token), s.now().UnixMilli()
	err = s.db.Get(ctx, &r, `SELECT key_id, stamp, seen_at, expires_at FROM sessions WHERE token_hash = ?`, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return apikeys.Key{}, false, nil
	}
	if err != nil {
		return apikeys.Key{}, false, fmt.Errorf("looking a session up: %w", err)
	}
	if now >= r.Expires || now >= r.Seen+idleFor.Milliseconds() {
		return apikeys.Key{}, false, nil
	}
	if key, ok, err = s.keys.Again(ctx, r.Key, r.Stamp); !ok || err != nil {
		return apikeys.Key{}, false, err
	}
	if used && now >= r.Seen+seenEvery.Milliseconds() {
		err = s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE sessions SET seen_at = ? WHERE token_hash = ? AND seen_at < ?`, now, hash, now)
			return err
		})
	}
	if errors.Is(err, events.ErrOverloaded) || errors.Is(err, events.ErrStorage) {
		err = nil // nothing to keep a reader out for; the next minute tries again
	}
	return key, err == nil, err
}

// End ends one session.
func (s *Sessions) End(ctx context.Context, token vault.Secret) error {
	return s.end(ctx, "session.close", `DELETE FROM sessions WHERE token_hash = ?`, digest(token))
}

// EndAll ends all sessions of a key, and takes back the links that would open others.
func (s *Sessions) EndAll(ctx context.Context, key string) error {
	return s.end(ctx, "session.close_all", `DELETE FROM sessions WHERE key_id = ?`, key)
}

func (s *Sessions) end(ctx context.Context, action, query string, which any) error {
	by := audit.ActorFrom(ctx)
	err := s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, query, which)
		if err != nil || n == 0 {
			return err
		}
		if key, all := which.(string); all {
			if _, err := tx.Exec(ctx, `DELETE FROM sign_in_links WHERE key_id = ?`, key); err != nil {
				return err
			}
		}
		return record(ctx, tx, by, action, by.KeyID)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// random returns 256 bits as base64url.
func random() vault.Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return vault.NewSecret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// plausible tells whether a text can be a token at all. What cannot need not be looked up.
func plausible(token vault.Secret) bool { return len(token.Reveal()) == 43 }

// digest is how tokens are stored: they are too long to be guessed, so they need no salt.
func digest(token vault.Secret) []byte {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return sum[:]
}
