package audit

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
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
	// Actor, Action and Account must match exactly; "" matches all.
	Actor, Action, Account string
	// Target is part of the target, in small letters or capitals; "" matches all.
	Target string
	// Since leaves out what is older, Until what is not; zero leaves out nothing.
	Since, Until time.Time
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
	if ms := q.Until.UnixMilli(); !q.Until.IsZero() && ms < 1<<48 { // no id is later
		where, args = where+` AND id < ? AND at < ?`, append(args, firstID(q.Until.Add(time.Millisecond)), ms)
	}
	if q.Account != "" {
		where, args = where+` AND account = ?`, append(args, q.Account)
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

const entryColumns = `id, at AS millis, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started, chain, seq`

type shownRow struct {
	Stored
	Millis int64
}

func (r shownRow) shown() Stored {
	r.At = time.UnixMilli(r.Millis).UTC()
	return r.Stored
}

// lookAt is how many entries one page looks at for a part of a target, which no index knows.
const lookAt = 20_000

// List returns entries, newest first, and the cursor of the next page, "" at the end. An entry that was
// there when the first page was read is on one page, whatever is added meanwhile. With a Target a page may hold few
// entries, or none, and yet have a next one.
func (l *Log) List(ctx context.Context, q Query) ([]Stored, string, error) {
	where, args, err := q.where()
	if err != nil {
		return nil, "", err
	}
	query, all := `SELECT `+entryColumns+` FROM audit_log`+where+` ORDER BY id DESC LIMIT ?`, append(slices.Clone(args), q.Limit+1)
	if q.Target != "" {
		query = `SELECT * FROM (` + query + `) AS looked WHERE LOWER(target) LIKE ? ESCAPE '!' ORDER BY id DESC LIMIT ?`
		all = append(slices.Clone(args), lookAt, "%"+escaped.Replace(strings.ToLower(q.Target))+"%", q.Limit+1)
	}
	var rows []shownRow
	if err := l.DB.Select(ctx, &rows, query, all...); err != nil {
		return nil, "", fmt.Errorf("reading the audit log: %w", err)
	}
	next := ""
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		next = cursor(rows[q.Limit-1].ID)
	} else if q.Target != "" {
		if next, err = l.lookedUpTo(ctx, where, args); err != nil {
			return nil, "", err
		}
	}
	page := make([]Stored, len(rows))
	for i, r := range rows {
		page[i] = r.shown()
	}
	return page, next, nil
}

var escaped = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// lookedUpTo is the cursor behind as many entries as one page looks at, "" where there are fewer.
func (l *Log) lookedUpTo(ctx context.Context, where string, args []any) (string, error) {
	var id string
	err := l.DB.Get(ctx, &id, `SELECT id FROM audit_log`+where+` ORDER BY id DESC LIMIT 1 OFFSET ?`, append(slices.Clone(args), lookAt-1)...)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the audit log: %w", err)
	}
	return cursor(id), nil
}

// ErrNotFound says that there is no such entry, or none that the caller may see.
var ErrNotFound = errors.New("audit: there is no such entry")

// Get returns the entry with an id, if a query, of which only the limits count, allows it. Error: ErrNotFound.
func (l *Log) Get(ctx context.Context, id string, limits Query) (Stored, error) {
	where, args, err := limits.where()
	if err != nil {
		return Stored{}, err
	}
	var r shownRow
	err = l.DB.Get(ctx, &r, `SELECT `+entryColumns+` FROM audit_log`+where+` AND id = ?`, append(args, id)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Stored{}, ErrNotFound
	}
	if err != nil {
		return Stored{}, fmt.Errorf("reading the audit log: %w", err)
	}
	return r.shown(), nil
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

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
