package audit

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// Log reads entries, and writes those that belong to no other transaction.
type Log struct {
	// DB is where entries are read.
	DB *sqldb.DB
	// Commit runs a change in a transaction and returns when that is on disk. The change may be run again
	// after it has been undone.
	Commit func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error
}

// Write adds an entry in a transaction of its own and returns its id once it is on disk.
func (l *Log) Write(ctx context.Context, e Entry) (id string, err error) {
	err = l.Commit(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		id, err = Record(ctx, tx, e)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("writing the audit log: %w", err)
	}
	return id, nil
}

// Stored is an entry as the API shows it.
type Stored struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	ActorKind string    `json:"actor_kind" db:"actor_kind"`
	Actor     string    `json:"actor"`
	KeyID     string    `json:"key_id,omitempty" db:"key_id"`
	Remote    string    `json:"remote,omitempty"`
	RequestID string    `json:"request_id,omitempty" db:"request_id"`
	Action    string    `json:"action"`
	Account   string    `json:"account,omitempty"`
	Target    string    `json:"target,omitempty"`
	Outcome   string    `json:"outcome"`
	Status    int       `json:"status,omitempty"`
	Started   string    `json:"started,omitempty"`
	// Chain and Seq are the entry's place: the chain, 0 for entries from before there were chains, and its number
	// there, from 1.
	Chain int64 `json:"chain"`
	Seq   int64 `json:"seq"`
}

// Query asks for a page of entries.
type Query struct {
	// Actor and Action must match exactly; "" matches all.
	Actor, Action string
	// Since leaves out what is older; zero leaves out nothing.
	Since time.Time
	// Accounts holds the answer to the entries of these accounts; nil means all entries.
	Accounts []string
	// OfAccounts leaves out the entries of no account.
	OfAccounts bool
	// After is the cursor that came with the page before, "" for the newest.
	After string
	// Limit is how many entries a page may hold.
	Limit int
}

// where narrows the rows down. Ids rise with time, so that bounding them keeps a search from going back
// further than it was asked to.
func (q Query) where() (string, []any, error) {
	below, err := parseCursor(q.After)
	if err != nil {
		return "", nil, err
	}
	where, args := ` WHERE id < ?`, []any{below}
	if !q.Since.IsZero() {
		where, args = where+` AND id >= ? AND at >= ?`, append(args, firstID(q.Since), q.Since.UnixMilli())
	}
	if q.Actor != "" {
		where, args = where+` AND actor = ?`, append(args, q.Actor)
	}
	if q.Action != "" {
		where, args = where+` AND action = ?`, append(args, q.Action)
	}
	if q.OfAccounts || q.Accounts != nil {
		where += ` AND account <> ''`
	}
	if q.Accounts != nil {
		where += ` AND account IN (NULL` + strings.Repeat(`, ?`, len(q.Accounts)) + `)`
		for _, a := range q.Accounts {
			args = append(args, a)
		}
	}
	return where, args, nil
}

// List returns entries, newest first, and the cursor of the next page, "" at the end. An entry that was
// there when the first page was read is on one page, whatever is added meanwhile.
func (l *Log) List(ctx context.Context, q Query) ([]Stored, string, error) {
	where, args, err := q.where()
	if err != nil {
		return nil, "", err
	}
	var rows []struct {
		Stored
		Millis int64
	}
	err = l.DB.Select(ctx, &rows, `SELECT id, at AS millis, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started,
		chain, seq FROM audit_log`+where+` ORDER BY id DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("reading the audit log: %w", err)
	}
	next := ""
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(rows[q.Limit-1].ID))
	}
	page := make([]Stored, len(rows))
	for i, r := range rows {
		page[i] = r.Stored
		page[i].At = time.UnixMilli(r.Millis).UTC()
	}
	return page, next, nil
}

// last is above every id.
const last = "ffffffff-ffff-ffff-ffff-ffffffffffff"

func parseCursor(s string) (string, error) {
	if s == "" {
		return last, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(raw) == len(last) {
		if id, err := uuid.ParseBytes(raw); err == nil && id.String() == string(raw) {
			return id.String(), nil
		}
	}
	return "", invalid.Field("after", "is not a cursor that this list gave out")
}

// firstID is the smallest id of a moment, "" before there were any.
func firstID(t time.Time) string {
	ms := t.UnixMilli()
	if ms <= 0 || ms >= 1<<48 {
		return ""
	}
	var id uuid.UUID
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id.String()
}
