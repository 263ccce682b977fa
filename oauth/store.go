package oauth

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/vault"
)

// linkRow is a link as stored; times are Unix milliseconds.
type linkRow struct {
	ID           string
	Status       string
	Error        string
	ReturnURL    string `db:"return_url"`
	Reference    string
	Account      string
	Connected    string
	CodeHash     []byte `db:"code_hash"`
	Access       []byte `db:"access_token"`
	Refresh      []byte `db:"refresh_token"`
	TokenExpires int64  `db:"token_expires"`
	Scopes       string
	CreatedAt    int64 `db:"created_at"`
	ExpiresAt    int64 `db:"expires_at"`
}

const linkColumns = `id, status, error, return_url, reference, account, connected, code_hash, access_token, refresh_token,
	token_expires, scopes, created_at, expires_at`

// status is what the row says, with time taken into account.
func (r *linkRow) status(now time.Time) string {
	if r.Status != StatusConnected && r.ExpiresAt <= now.UnixMilli() {
		return StatusExpired
	}
	return r.Status
}

// usable tells whether a browser may still go through the link, nil when it may.
func (r *linkRow) usable(now time.Time) error {
	switch r.status(now) {
	case StatusOpen, StatusDenied, StatusFailed:
		return nil
	case StatusExpired:
		return ErrLinkExpired
	}
	return ErrLinkSpent
}

func (c *Connect) shown(r linkRow) Link {
	l := Link{
		ID: r.ID, URL: c.public + "/oauth/start/" + r.ID, Status: r.status(c.now()), Error: r.Error,
		Account: r.Account, Reference: r.Reference, ReturnURL: r.ReturnURL,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: time.UnixMilli(r.ExpiresAt).UTC(),
	}
	if r.Connected != "" {
		l.Account = r.Connected
		l.Scopes = strings.Fields(r.Scopes)
		l.MissingScopes = missing(l.Scopes, c.scopes)
	}
	return l
}

func (c *Connect) read(ctx context.Context, id string) (linkRow, error) {
	var r linkRow
	err := c.db.Get(ctx, &r, `SELECT `+linkColumns+` FROM connect_links WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrLinkNotFound
	}
	if err != nil {
		return r, fmt.Errorf("reading a connect link: %w", err)
	}
	return r, nil
}

func (c *Connect) insert(ctx context.Context, r linkRow) error {
	made := entry(ctx, "connect_link.create", r.ID, r.Account)
	return c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO connect_links (id, status, return_url, reference, account, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, r.ID, r.Status, r.ReturnURL, r.Reference, r.Account, r.CreatedAt, r.ExpiresAt)
		return recorded(ctx, tx, made, err)
	})
}

// entry is what the audit log says of a link. Whoever knows a link's id can open it, so that a digest
// stands for it.
func entry(ctx context.Context, action, link, account string) audit.Entry {
	return audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: action, Account: account, Outcome: audit.Done,
		Target: "connect link " + hex.EncodeToString(digest(vault.NewSecret(link))[:6]),
	}
}

// recorded adds the entry to a change that succeeded.
func recorded(ctx context.Context, tx *events.Tx, e audit.Entry, err error) error {
	if err == nil {
		_, err = audit.Record(ctx, tx.Tx, e)
	}
	return err
}

// spend makes a link `connected`. It is part of the change that makes the connection, so of two callbacks
// one wins and the other changes nothing. A refresh token in the row is an earlier attempt's, still to be
// revoked.
func (c *Connect) spend(ctx context.Context, id, account string, scopes []string) func(context.Context, *events.Tx) error {
	connected := entry(ctx, "connection.connect", id, account)
	return func(ctx context.Context, tx *events.Tx) error {
		return recorded(ctx, tx, connected, once(tx.Exec(ctx, `UPDATE connect_links SET status = ?, error = '', connected = ?, scopes = ?
			WHERE id = ? AND expires_at > ? AND status IN ('open', 'denied', 'failed')`,
			StatusConnected, account, strings.Join(scopes, " "), id, c.now().UnixMilli())))
	}
}

// spendPending likewise ends the wait for the app, together with the code and the tokens kept for it.
func (c *Connect) spendPending(ctx context.Context, r linkRow) func(context.Context, *events.Tx) error {
	completed := entry(ctx, "connect_link.complete", r.ID, r.Connected)
	return func(ctx context.Context, tx *events.Tx) error {
		return recorded(ctx, tx, completed, once(tx.Exec(ctx, `UPDATE connect_links SET status = ?, code_hash = NULL, access_token = NULL, refresh_token = NULL,
			token_expires = 0 WHERE id = ? AND expires_at > ? AND status = ? AND code_hash = ?`,
			StatusConnected, r.ID, c.now().UnixMilli(), StatusPending, r.CodeHash)))
	}
}

// pend keeps the tokens with the link until it is completed.
func (c *Connect) pend(id, account string, p Pair, code vault.Secret) (func(context.Context, *events.Tx) error, error) {
	access, err := c.vault.Seal(place(id, "access_token"), p.Access)
	if err != nil {
		return nil, err
	}
	refresh, err := c.vault.Seal(place(id, "refresh_token"), p.Refresh)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *events.Tx) error {
		return once(tx.Exec(ctx, `UPDATE connect_links SET status = ?, error = '', connected = ?, scopes = ?, code_hash = ?, access_token = ?,
			refresh_token = ?, token_expires = ?, expires_at = ? WHERE id = ? AND expires_at > ? AND status IN ('open', 'denied', 'failed')`,
			StatusPending, account, strings.Join(p.Scopes, " "), digest(code), access, refresh, p.ExpiresAt.UnixMilli(),
			c.now().Add(pendingFor).UnixMilli(), id, c.now().UnixMilli()))
	}, nil
}

// once turns "no row was touched" into ErrLinkSpent.
func once(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrLinkSpent
	}
	return err
}

// settle notes a denial or failure. A link that is pending or connected is left as it is: somebody else,
// or another tab, got further.
func (c *Connect) settle(ctx context.Context, id, status, code string) error {
	return c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE connect_links SET status = ?, error = ? WHERE id = ? AND status IN ('open', 'denied', 'failed')`,
			status, code, id)
		return err
	})
}

func place(link, field string) vault.Place {
	return vault.Place{Table: "connect_links", Row: link, Field: field}
}
