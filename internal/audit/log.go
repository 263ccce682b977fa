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

// bound holds a list to the entries behind the cursor and between the times. An entry has the
// time of its id.
func (q Query) bound(list *sqldb.Newest) error {
	below, err := parseCursor(q.After)
	if err != nil {
		return err
	}
	if !q.Until.IsZero() && q.Until.UnixMilli() < 1<<48 { // no id is later
		below = min(below, firstID(q.Until))
	}
	if list.Below = []any{below}; !q.Since.IsZero() {
		list.From = []any{firstID(q.Since)}
	}
	return nil
}

// choices narrow the entries down, each by an index; the first should leave the fewest. A caller with limits goes through
// what is theirs, so that nothing of others shows, not even that there is a further page. ok is false where nothing is.
func (q Query) choices() (all []sqldb.Choice, ok bool) {
	accounts := q.Accounts
	if q.Account != "" {
		if !q.allow(q.Account) {
			return nil, false
		}
		accounts = []string{q.Account}
	}
	if accounts != nil {
		accounts = slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return a == "" }) // that is none
		all = append(all, sqldb.Is("account", accounts...))
	}
	if q.Action != "" {
		all = append(all, sqldb.Is("action", q.Action))
	}
	if q.Actor != "" {
		all = append(all, sqldb.Is("actor", q.Actor))
	}
	return all, accounts == nil || len(accounts) > 0
}

// further narrows down what no index knows.
func (q Query) further() (all []sqldb.Cond) {
	if q.Target != "" {
		all = append(all, sqldb.Cond{SQL: `LOWER(target) LIKE ? ESCAPE '!'`, Args: []any{"%" + escaped.Replace(strings.ToLower(q.Target)) + "%"}})
	}
	if q.OfAccounts && q.Accounts == nil && q.Account == "" {
		all = append(all, sqldb.Cond{SQL: `account <> ''`})
	}
	return all
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

// lookAt is how many entries one page looks at where more than one thing narrows them down, or a part of a target, which
// no index knows.
const lookAt = 10_000

// List returns entries, newest first, and the cursor of the next page, "" at the end. An entry that was
// there when the first page was read is on one page, whatever is added meanwhile. Where more than one thing narrows them
// down, or a Target, a page may hold few entries, or none, and yet have a next one.
func (l *Log) List(ctx context.Context, q Query) ([]Stored, string, error) {
	choices, ok := q.choices()
	list := sqldb.Newest{Columns: entryColumns, Table: "audit_log", Place: []string{"id"}, Choices: choices, Further: q.further(), Look: lookAt}
	if err := q.bound(&list); err != nil {
		return nil, "", err
	}
	if !ok {
		return []Stored{}, "", nil
	}
	var rows []shownRow
	if err := list.Read(ctx, l.DB, &rows, q.Limit+1); err != nil {
		return nil, "", fmt.Errorf("reading the audit log: %w", err)
	}
	next := ""
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		next = cursor(rows[q.Limit-1].ID)
	} else if list.Looks() {
		var last string
		switch err := list.Behind(ctx, l.DB, &last); {
		case err == nil:
			next = cursor(last)
		case !errors.Is(err, sql.ErrNoRows):
			return nil, "", fmt.Errorf("reading the audit log: %w", err)
		}
	}
	page := make([]Stored, len(rows))
	for i, r := range rows {
		page[i] = r.shown()
	}
	return page, next, nil
}

var escaped = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// ErrNotFound says that there is no such entry, or none that the caller may see.
var ErrNotFound = errors.New("audit: there is no such entry")

// Get returns the entry with an id, if a query, of which only the limits count, allows it. Error: ErrNotFound.
func (l *Log) Get(ctx context.Context, id string, limits Query) (Stored, error) {
	var r shownRow
	err := l.DB.Get(ctx, &r, `SELECT `+entryColumns+` FROM audit_log WHERE id = ?`, id)
	if err == nil && !limits.allow(r.Account) {
		err = sql.ErrNoRows
	}
	if errors.Is(err, sql.ErrNoRows) {
		return Stored{}, ErrNotFound
	}
	if err != nil {
		return Stored{}, fmt.Errorf("reading the audit log: %w", err)
	}
	return r.shown(), nil
}

// allow tells whether the caller may see entries of an account, "" for those of none.
func (q Query) allow(account string) bool {
	if q.Accounts == nil {
		return !q.OfAccounts || account != ""
	}
	return account != "" && slices.Contains(q.Accounts, account)
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
