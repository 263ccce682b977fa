package sessions

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/vault"
)

// ErrNotFound says that a key has no such session.
var ErrNotFound = errors.New("sessions: there is no such session")

// Session is what may be shown of one to those who have its key.
type Session struct {
	// ID names it and lets nobody in: it is the beginning of the SHA-256 of what the cookie holds.
	ID string
	// Way is key or link; Remote is the address that it was opened from, as far as the trusted proxies tell, and
	// Browser what the browser said of itself.
	Way, Remote, Browser string
	// SeenAt is when somebody used it last, to the minute; EndsAt is when it ends however much it is used.
	OpenedAt, SeenAt, EndsAt time.Time
}

const idBytes = 8

func idOf(hash []byte) string { return hex.EncodeToString(hash[:idBytes]) }

// ID names the session that a cookie holds.
func ID(token vault.Secret) string { return idOf(digest(token)) }

type shownRow struct {
	Hash    []byte `db:"token_hash"`
	Way     string
	Remote  string
	Browser string
	Created int64 `db:"created_at"`
	Seen    int64 `db:"seen_at"`
	Expires int64 `db:"expires_at"`
}

// List returns the sessions of a key that work, which are at most fifty, the one used last first.
func (s *Sessions) List(ctx context.Context, key string) ([]Session, error) {
	rows, err := s.rows(ctx, key)
	if err != nil {
		return nil, err
	}
	all := make([]Session, len(rows))
	for i, r := range rows {
		all[i] = Session{idOf(r.Hash), r.Way, r.Remote, r.Browser, moment(r.Created), moment(r.Seen), moment(r.Expires)}
	}
	return all, nil
}

func (s *Sessions) rows(ctx context.Context, key string) ([]shownRow, error) {
	stamp, err := s.keys.Stamp(key)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	var rows []shownRow
	now := s.now().UnixMilli()
	err = s.db.Select(ctx, &rows, `SELECT token_hash, way, remote, browser, created_at, seen_at, expires_at FROM sessions
		WHERE key_id = ? AND stamp = ? AND expires_at > ? AND seen_at > ? ORDER BY seen_at DESC, created_at DESC`,
		key, stamp, now, now-idleFor.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return rows, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// EndOne ends the session of a key that has an id. Error: ErrNotFound.
func (s *Sessions) EndOne(ctx context.Context, key, id string) error {
	rows, err := s.rows(ctx, key)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if idOf(r.Hash) == id {
			return s.end(ctx, "session.close", `DELETE FROM sessions WHERE token_hash = ?`, r.Hash)
		}
	}
	return ErrNotFound
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
