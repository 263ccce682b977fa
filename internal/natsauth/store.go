package natsauth

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// Credential is what is kept of one: no key that would let anybody in.
type Credential struct {
	Grant
	// Status is active or expired.
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Account is the public key of its NATS account. Another credential of the same name has another.
	Account string `json:"account_key"`
}

// The statuses of a credential that is listed.
const (
	StatusActive  = "active"
	StatusExpired = "expired"
)

const (
	// maxCredentials bounds how many may be active; each is an account of the server.
	maxCredentials = 1000
	// showExpired is how long an expired one is listed, for those who wonder why their app does not connect.
	showExpired = 30 * 24 * time.Hour
)

type row struct {
	Name      string `db:"name"`
	Account   string `db:"account"`
	Granted   string `db:"granted"`
	CreatedAt int64  `db:"created_at"`
	ExpiresAt int64  `db:"expires_at"`
}

const selectCredentials = `SELECT name, account, granted, created_at, expires_at FROM nats_credentials`

func (r row) credential(now time.Time) (Credential, error) {
	c := Credential{
		Status: StatusActive, Account: r.Account,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: time.UnixMilli(r.ExpiresAt).UTC(),
	}
	if err := json.Unmarshal([]byte(r.Granted), &c.Grant); err != nil {
		return c, fmt.Errorf("reading what NATS credential %s may do: %w", r.Name, err)
	}
	if !c.ExpiresAt.After(now) {
		c.Status = StatusExpired
	}
	return c, nil
}

// Load returns the credentials that are active, which the server is to know when it starts.
func Load(ctx context.Context, db *sqldb.DB, now time.Time) ([]Credential, error) {
	var rows []row
	err := db.Select(ctx, &rows, selectCredentials+` WHERE expires_at > ? ORDER BY name`, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("reading NATS credentials: %w", err)
	}
	active := make([]Credential, len(rows))
	for i, r := range rows {
		if active[i], err = r.credential(now); err != nil {
			return nil, err
		}
	}
	return active, nil
}

// insert stores a credential in the place of an expired one of the same name, if there is one.
func insert(ctx context.Context, tx *sqldb.Tx, c Credential) error {
	granted, err := json.Marshal(c.Grant)
	if err != nil {
		return err
	}
	taken, err := tx.Exec(ctx, `INSERT INTO nats_credentials (name, account, granted, created_at, expires_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET account = excluded.account, granted = excluded.granted,
		created_at = excluded.created_at, expires_at = excluded.expires_at WHERE nats_credentials.expires_at <= excluded.created_at`,
		c.Name, c.Account, string(granted), c.CreatedAt.UnixMilli(), c.ExpiresAt.UnixMilli())
	if err != nil {
		return err
	}
	if taken == 0 {
		return ErrExists
	}
	var count int
	err = tx.Get(ctx, &count, `SELECT COUNT(*) FROM nats_credentials WHERE expires_at > ?`, c.CreatedAt.UnixMilli())
	if err == nil && count > maxCredentials {
		return ErrTooMany
	}
	return err
}

// find returns the credential of a name, or ErrNotFound.
func find(ctx context.Context, tx *sqldb.Tx, name string, now time.Time) (Credential, error) {
	var r row
	err := tx.Get(ctx, &r, selectCredentials+` WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return Credential{}, ErrNotFound
	}
	if err != nil {
		return Credential{}, err
	}
	return r.credential(now)
}

// remove deletes one credential; one that has been given its name since is left alone.
func remove(ctx context.Context, tx *sqldb.Tx, c Credential) error {
	_, err := tx.Exec(ctx, `DELETE FROM nats_credentials WHERE name = ? AND account = ?`, c.Name, c.Account)
	return err
}

// forget deletes those that expired long ago.
func forget(ctx context.Context, tx *sqldb.Tx, now time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM nats_credentials WHERE expires_at <= ?`, now.Add(-showExpired).UnixMilli())
	return err
}

// commit runs a change in a transaction.
func commit(ctx context.Context, db *sqldb.DB, what string, change func(*sqldb.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback()
	if err := change(tx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// list returns a page of what is visible, newest first, and the cursor of the next, "" at the end. It reads
// them all: they are few.
func list(ctx context.Context, db *sqldb.DB, after string, limit int, now time.Time, visible func(Credential) bool) ([]Credential, string, error) {
	query, args := selectCredentials, []any{}
	if after != "" {
		at, name, ok := parseCursor(after)
		if !ok {
			return nil, "", invalid.Field("after", "is not a cursor from a list of NATS credentials")
		}
		query += ` WHERE created_at < ? OR (created_at = ? AND name < ?)`
		args = append(args, at, at, name)
	}
	var rows []row
	if err := db.Select(ctx, &rows, query+` ORDER BY created_at DESC, name DESC`, args...); err != nil {
		return nil, "", fmt.Errorf("listing NATS credentials: %w", err)
	}
	page := []Credential{}
	for _, r := range rows {
		c, err := r.credential(now)
		if err != nil {
			return nil, "", err
		}
		if !visible(c) {
			continue
		}
		if len(page) == limit {
			last := page[limit-1]
			return page, base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.CreatedAt.UnixMilli(), 10) + " " + last.Name)), nil
		}
		page = append(page, c)
	}
	return page, "", nil
}

func parseCursor(s string) (at int64, name string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return 0, "", false
	}
	number, name, ok := strings.Cut(string(raw), " ")
	at, err = strconv.ParseInt(number, 10, 64)
	return at, name, ok && err == nil && namePattern.MatchString(name)
}
