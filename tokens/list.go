package tokens

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/internal/invalid"
)

// Connection is what may be shown of a connection: everything but the tokens.
type Connection struct {
	Account         string    `json:"account"`
	Status          string    `json:"status"`
	Reason          string    `json:"reason,omitempty"`
	Scopes          []string  `json:"scopes"`
	MissingScopes   []string  `json:"missing_scopes"`
	Forbidden       []string  `json:"forbidden,omitempty"`
	CreatedAt       time.Time `json:"created_at,omitzero"`
	ConnectedAt     time.Time `json:"connected_at,omitzero"`
	RefreshedAt     time.Time `json:"refreshed_at,omitzero"`
	AccessExpiresAt time.Time `json:"access_expires_at,omitzero"`
	LastWebhookAt   time.Time `json:"last_webhook_at,omitzero"`
	// SilentSince is since when no webhook has come, once that has been said.
	SilentSince time.Time `json:"silent_since,omitzero"`
	// CaughtUpAt is when DoorFlow's list of events was last compared to its end.
	CaughtUpAt time.Time `json:"caught_up_at,omitzero"`
}

type shownRow struct {
	Account, Status, Reason, Scopes, Forbidden string
	CreatedAt                                  int64 `db:"created_at"`
	ConnectedAt                                int64 `db:"connected_at"`
	RefreshedAt                                int64 `db:"refreshed_at"`
	ExpiresAt                                  int64 `db:"expires_at"`
	SeenAt                                     int64 `db:"seen_at"`
	SilentSince                                int64 `db:"silent_since"`
	LookedAt                                   int64 `db:"looked_at"`
}

const selectShown = `SELECT c.account, c.status, c.reason, c.scopes, c.forbidden, c.created_at, c.connected_at, c.refreshed_at,
	c.expires_at, COALESCE(w.at, 0) AS seen_at, COALESCE(u.silent_since, 0) AS silent_since, COALESCE(u.looked_at, 0) AS looked_at
	FROM connections c LEFT JOIN webhook_seen w ON w.account = c.account LEFT JOIN catchup u ON u.account = c.account`

func (k *Keeper) shown(r shownRow) Connection {
	c := Connection{
		Account: r.Account, Status: r.Status, Reason: r.Reason,
		Scopes: list(strings.Fields(r.Scopes)), MissingScopes: []string{}, Forbidden: lines(r.Forbidden),
		CreatedAt: when(r.CreatedAt), ConnectedAt: when(r.ConnectedAt), RefreshedAt: when(r.RefreshedAt),
		AccessExpiresAt: when(r.ExpiresAt), LastWebhookAt: when(r.SeenAt),
		SilentSince: when(r.SilentSince), CaughtUpAt: when(r.LookedAt),
	}
	if r.Status == StatusActive || r.Status == StatusReauthorize {
		c.MissingScopes = list(Missing(c.Scopes, k.wanted))
	}
	return c
}

func when(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// Get returns one connection, or ErrNotFound.
func (k *Keeper) Get(ctx context.Context, account string) (Connection, error) {
	var r shownRow
	err := k.db.Get(ctx, &r, selectShown+` WHERE c.account = ?`, account)
	if errors.Is(err, sql.ErrNoRows) {
		return Connection{}, ErrNotFound
	}
	if err != nil {
		return Connection{}, fmt.Errorf("reading the connection of account %s: %w", account, err)
	}
	return k.shown(r), nil
}

// List returns a page of connections, newest first, and the cursor of the next page, "" at the end.
// Only those of the accounts named are shown; nil means all.
func (k *Keeper) List(ctx context.Context, after string, limit int, accounts []string) (page []Connection, next string, err error) {
	query, args := selectShown+` WHERE 1 = 1`, []any{}
	if after != "" {
		at, account, ok := parseCursor(after)
		if !ok {
			return nil, "", invalid.Field("after", "is not a cursor from a list of connections")
		}
		query += ` AND (c.created_at < ? OR (c.created_at = ? AND c.account < ?))`
		args = append(args, at, at, account)
	}
	where, allowed := ofAccounts(accounts)
	query, args = query+where, append(args, allowed...)
	var rows []shownRow
	query += ` ORDER BY c.created_at DESC, c.account DESC LIMIT ?`
	if err := k.db.Select(ctx, &rows, query, append(args, limit+1)...); err != nil {
		return nil, "", fmt.Errorf("listing connections: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = cursor(rows[limit-1])
	}
	page = make([]Connection, len(rows))
	for i, r := range rows {
		page[i] = k.shown(r)
	}
	return page, next, nil
}

func cursor(r shownRow) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(r.CreatedAt, 10) + " " + r.Account))
}

func parseCursor(s string) (at int64, account string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return 0, "", false
	}
	number, account, ok := strings.Cut(string(raw), " ")
	at, err = strconv.ParseInt(number, 10, 64)
	return at, account, ok && err == nil && utf8.ValidString(account) && !strings.Contains(account, "\x00") // PostgreSQL takes no other text
}

// Active returns the accounts whose connection is active.
func (k *Keeper) Active(ctx context.Context) ([]string, error) {
	accounts := []string{}
	if err := k.db.Select(ctx, &accounts, `SELECT account FROM connections WHERE status = ? ORDER BY account`, StatusActive); err != nil {
		return nil, fmt.Errorf("listing active connections: %w", err)
	}
	return accounts, nil
}
