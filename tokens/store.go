package tokens

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/events"
	"gatehouse/internal/vault"
)

// The states of a connection.
const (
	StatusPending      = "pending"
	StatusActive       = "active"
	StatusReauthorize  = "reauthorize"
	StatusDisconnected = "disconnected"
)

// row is a connection as stored; times are Unix milliseconds.
type row struct {
	Account     string
	Status      string
	Reason      string
	Generation  int64
	Pair        int64
	Access      []byte `db:"access_token"`
	Refresh     []byte `db:"refresh_token"`
	Revoke      []byte `db:"revoke_token"`
	RevokeUntil int64  `db:"revoke_until"`
	ExpiresAt   int64  `db:"expires_at"`
	Scopes      string
	Forbidden   string
	CreatedAt   int64 `db:"created_at"`
	ConnectedAt int64 `db:"connected_at"`
	RefreshedAt int64 `db:"refreshed_at"`
}

const columns = `account, status, reason, generation, pair, access_token, refresh_token, revoke_token,
	revoke_until, expires_at, scopes, forbidden, created_at, connected_at, refreshed_at`

// read returns the row as last committed.
func (k *Keeper) read(ctx context.Context, account string) (row, error) {
	var r row
	err := k.db.Get(ctx, &r, `SELECT `+columns+` FROM connections WHERE account = ?`, account)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("reading the connection of account %s: %w", account, err)
	}
	return r, nil
}

// lock reads the row inside a change and keeps others from changing it until the commit.
func lock(ctx context.Context, tx *events.Tx, account string) (row, error) {
	query := `SELECT ` + columns + ` FROM connections WHERE account = ?`
	if tx.Postgres { // SQLite has one writer
		query += ` FOR UPDATE`
	}
	var r row
	err := tx.Get(ctx, &r, query, account)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	}
	return r, err
}

// usable tells why there are no tokens to be had from a row, nil when there are.
func (r *row) usable() error {
	switch r.Status {
	case StatusActive:
		return nil
	case StatusReauthorize:
		return ErrNeedsReconnect
	}
	return ErrNotConnected
}

// refreshAhead is how long before its end a token is refreshed.
const refreshAhead = time.Minute

// fresh tells whether the access token need not be refreshed yet. Where DoorFlow has just given a token
// that lives for less than two minutes, its half must do, or every call would refresh.
func (r *row) fresh(now time.Time) bool {
	ahead := refreshAhead.Milliseconds()
	if r.RefreshedAt > 0 {
		ahead = min(ahead, (r.ExpiresAt-r.RefreshedAt)/2)
	}
	return r.ExpiresAt-now.UnixMilli() >= ahead && r.live(now)
}

// live tells whether the access token has not expired.
func (r *row) live(now time.Time) bool { return r.ExpiresAt > now.UnixMilli() }

func place(account, field string) vault.Place {
	return vault.Place{Table: "connections", Row: account, Field: field}
}

// SealedColumns are where tokens are kept.
func SealedColumns() []vault.Column {
	return []vault.Column{
		{Table: "connections", Key: "account", Field: "access_token"},
		{Table: "connections", Key: "account", Field: "refresh_token"},
		{Table: "connections", Key: "account", Field: "revoke_token"},
	}
}

func (k *Keeper) access(r row) (vault.Secret, error) {
	return k.vault.Open(place(r.Account, "access_token"), r.Access)
}

// sealedPair is a pair ready to be stored.
type sealedPair struct {
	access, refresh []byte
	expiresAt       int64
	scopes          string
}

func (k *Keeper) seal(account string, p Pair) (s sealedPair, err error) {
	if s.access, err = k.vault.Seal(place(account, "access_token"), p.Access); err != nil {
		return s, err
	}
	if s.refresh, err = k.vault.Seal(place(account, "refresh_token"), p.Refresh); err != nil {
		return s, err
	}
	s.expiresAt = p.ExpiresAt.UnixMilli()
	s.scopes = strings.Join(tidy(p.Scopes), " ")
	return s, nil
}

// storeRotated stores a refreshed pair if the row is still the one it was refreshed from, and tells
// whether that restored a connection which was to be made again.
func (k *Keeper) storeRotated(ctx context.Context, tx *events.Tx, from row, s sealedPair, token vault.Secret) (restored bool, err error) {
	current, err := lock(ctx, tx, from.Account)
	if errors.Is(err, ErrNotFound) {
		return false, errSuperseded
	}
	if err != nil {
		return false, err
	}
	if current.Generation != from.Generation || current.Pair != from.Pair {
		// A commit whose answer was lost may have stored this very pair already.
		if stored, err := k.access(current); len(current.Access) > 0 && err == nil && stored == token {
			return false, nil
		}
		return false, errSuperseded
	}
	_, err = tx.Exec(ctx, `UPDATE connections SET status = ?, reason = '', pair = pair + 1, access_token = ?, refresh_token = ?,
		expires_at = ?, scopes = ?, refreshed_at = ? WHERE account = ?`,
		StatusActive, s.access, s.refresh, s.expiresAt, s.scopes, k.now().UnixMilli(), from.Account)
	if err != nil || current.Status == StatusActive {
		return false, err
	}
	return true, k.activated(ctx, tx, from.Account, strings.Fields(s.scopes))
}

// storeDirectly is the last resort of a process whose log has closed under it: the pair without a
// message, the status as it is.
func (k *Keeper) storeDirectly(ctx context.Context, from row, s sealedPair) error {
	tx, err := k.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	n, err := tx.Exec(ctx, `UPDATE connections SET pair = pair + 1, access_token = ?, refresh_token = ?, expires_at = ?, scopes = ?,
		refreshed_at = ? WHERE account = ? AND generation = ? AND pair = ?`,
		s.access, s.refresh, s.expiresAt, s.scopes, k.now().UnixMilli(), from.Account, from.Generation, from.Pair)
	if err != nil {
		return err
	}
	if n == 0 {
		return errSuperseded
	}
	return tx.Commit()
}

// storeReauthorize gives a connection up, unless it has changed since the refused token was read.
func (k *Keeper) storeReauthorize(ctx context.Context, tx *events.Tx, from row) error {
	n, err := tx.Exec(ctx, `UPDATE connections SET status = ?, reason = ? WHERE account = ? AND generation = ? AND pair = ? AND status = ?`,
		StatusReauthorize, "invalid_grant", from.Account, from.Generation, from.Pair, StatusActive)
	if err != nil {
		return err
	}
	if n == 0 {
		return errSuperseded
	}
	return k.say(tx, from.Account, StatusReauthorize, "invalid_grant", strings.Fields(from.Scopes))
}
