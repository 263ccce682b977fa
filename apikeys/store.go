package apikeys

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

var (
	// ErrNotFound says that there is no such key.
	ErrNotFound = errors.New("there is no such API key")
	// ErrLastAdmin says that without this key nobody could make keys any more.
	ErrLastAdmin = errors.New("this is the last admin key")
	// ErrTooMany says that there are as many keys as there may be.
	ErrTooMany = errors.New("there are too many API keys")
)

const (
	maxKeys = 1000
	// keepExpired is how long a key is still listed after it has expired.
	keepExpired = 30 * 24 * time.Hour
)

// row is a key as stored; times are Unix milliseconds.
type row struct {
	ID, Name, Scopes     string
	Accounts, Identities sql.NullString
	CreatedAt            int64         `db:"created_at"`
	ExpiresAt            sql.NullInt64 `db:"expires_at"`
	UsedAt               int64         `db:"used_at"` // 0 for never
}

const (
	columns = `id, name, scopes, accounts, identities, created_at, expires_at, used_at`
	// workingAdmin takes the present as its argument.
	workingAdmin = ` (expires_at IS NULL OR expires_at > ?) AND ' ' || scopes || ' ' LIKE '% admin %'`
)

func (r row) key() (Key, error) {
	k := Key{ID: r.ID, Name: r.Name, Scopes: strings.Fields(r.Scopes), CreatedAt: time.UnixMilli(r.CreatedAt).UTC()}
	if r.ExpiresAt.Valid {
		k.ExpiresAt = time.UnixMilli(r.ExpiresAt.Int64).UTC()
	}
	if r.UsedAt != 0 {
		k.UsedAt = time.UnixMilli(r.UsedAt).UTC()
	}
	for _, l := range []struct {
		stored sql.NullString
		into   *[]string
	}{{r.Accounts, &k.Accounts}, {r.Identities, &k.Identities}} {
		if !l.stored.Valid {
			continue
		}
		err := json.Unmarshal([]byte(l.stored.String), l.into)
		if err == nil && *l.into == nil { // it would mean all
			err = errors.New("null is not a list")
		}
		if err != nil {
			return Key{}, fmt.Errorf("reading the limits of key %s: %w", r.ID, err)
		}
	}
	return k, nil
}

func (r row) works(now time.Time) bool {
	return !r.ExpiresAt.Valid || r.ExpiresAt.Int64 > now.UnixMilli()
}

func stored(l list) (sql.NullString, error) {
	if l == nil {
		return sql.NullString{}, nil
	}
	data, err := json.Marshal([]string(l))
	return sql.NullString{String: string(data), Valid: true}, err
}

// Create makes a key, and returns the key itself this one time. Errors: *invalid.Error, ErrTooMany.
func (k *Keys) Create(ctx context.Context, req Request) (Key, vault.Secret, error) {
	now := k.now()
	if err := req.check(now); err != nil {
		return Key{}, vault.Secret{}, err
	}
	r := row{
		ID: uuid.Must(uuid.NewV7()).String(), Name: req.Name, Scopes: strings.Join(slices.Sorted(slices.Values(req.Scopes)), " "),
		CreatedAt: now.UnixMilli(),
	}
	if !req.expiresAt.IsZero() {
		r.ExpiresAt = sql.NullInt64{Int64: req.expiresAt.UnixMilli(), Valid: true}
	}
	var err error
	if r.Accounts, err = stored(req.Accounts); err != nil {
		return Key{}, vault.Secret{}, err
	}
	if r.Identities, err = stored(req.Identities); err != nil {
		return Key{}, vault.Secret{}, err
	}
	secret, entry := newKey(), record(ctx, "api_key.create", r)
	err = k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := insert(ctx, tx, r, digest(secret), now); err != nil {
			return err
		}
		_, err := audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return Key{}, vault.Secret{}, fmt.Errorf("making an API key: %w", err)
	}
	made, err := r.key()
	if err == nil && slices.Contains(made.Scopes, ScopeAdmin) {
		k.retire()
	}
	return made, secret, err
}

// record is what the audit log says of a key: which one, and what it may do.
func record(ctx context.Context, action string, r row) audit.Entry {
	return audit.Entry{Actor: audit.ActorFrom(ctx), Action: action, Target: r.ID + " " + r.Name + ": " + r.Scopes, Outcome: audit.Done}
}

func insert(ctx context.Context, tx *events.Tx, r row, hash []byte, now time.Time) error {
	if _, err := tx.Exec(ctx, `DELETE FROM api_keys WHERE expires_at < ?`, now.Add(-keepExpired).UnixMilli()); err != nil {
		return err
	}
	var count int
	if err := tx.Get(ctx, &count, `SELECT COUNT(*) FROM api_keys`); err != nil {
		return err
	}
	if count >= maxKeys {
		return ErrTooMany
	}
	_, err := tx.Exec(ctx, `INSERT INTO api_keys (`+columns+`, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Name, r.Scopes, r.Accounts, r.Identities, r.CreatedAt, r.ExpiresAt, r.UsedAt, hash)
	return err
}

// List returns a page of keys, newest first, and the cursor of the next page, "" at the end. Expired keys
// are listed for another 30 days, or until they are revoked.
func (k *Keys) List(ctx context.Context, after string, limit int) ([]Key, string, error) {
	query, args := `SELECT `+columns+` FROM api_keys`, []any{}
	if after != "" {
		id, err := base64.RawURLEncoding.DecodeString(after)
		if err != nil || !isID(string(id)) {
			return nil, "", invalid.Field("after", "is not a cursor from a list of API keys")
		}
		query, args = query+` WHERE id < ?`, append(args, string(id))
	}
	var rows []row
	if err := k.db.Select(ctx, &rows, query+` ORDER BY id DESC LIMIT ?`, append(args, limit+1)...); err != nil {
		return nil, "", fmt.Errorf("listing API keys: %w", err)
	}
	next := ""
	if len(rows) > limit {
		rows = rows[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(rows[limit-1].ID))
	}
	page := make([]Key, len(rows))
	for i, r := range rows {
		var err error
		r.UsedAt = max(r.UsedAt, k.used.at(r.ID))
		if page[i], err = r.key(); err != nil {
			return nil, "", err
		}
	}
	return page, next, nil
}

// Get returns one key. Error: ErrNotFound.
func (k *Keys) Get(ctx context.Context, id string) (Key, error) {
	var r row
	err := k.db.Get(ctx, &r, `SELECT `+columns+` FROM api_keys WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("reading API key %s: %w", id, err)
	}
	r.UsedAt = max(r.UsedAt, k.used.at(r.ID))
	return r.key()
}

// Revoke ends a key for good. Errors: ErrNotFound; ErrLastAdmin, when nobody could make keys afterwards.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	if !isID(id) {
		return ErrNotFound
	}
	asked := ctx // the change runs with a context of its own, which does not tell who asked
	err := k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		r, err := k.remove(ctx, tx, id)
		if err == nil {
			_, err = audit.Record(ctx, tx.Tx, record(asked, "api_key.revoke", r))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("revoking API key %s: %w", id, err)
	}
	return nil
}

func (k *Keys) remove(ctx context.Context, tx *events.Tx, id string) (row, error) {
	var r row
	err := tx.Get(ctx, &r, `SELECT `+columns+` FROM api_keys WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	}
	if err != nil {
		return r, err
	}
	now := k.now()
	if k.token == nil && r.works(now) && slices.Contains(strings.Fields(r.Scopes), ScopeAdmin) {
		var others int
		if err := tx.Get(ctx, &others, `SELECT COUNT(*) FROM api_keys WHERE id <> ? AND`+workingAdmin, id, now.UnixMilli()); err != nil {
			return r, err
		}
		if others == 0 {
			return r, ErrLastAdmin
		}
	}
	n, err := tx.Exec(ctx, `DELETE FROM api_keys WHERE id = ?`, id)
	if err == nil && n == 0 { // another replica was first
		err = ErrNotFound
	}
	return r, err
}

// isID tells whether a text is an id in the one form that we write.
func isID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
