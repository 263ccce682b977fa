package events

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// ErrNotFound says that no message has that id, or none any more.
var ErrNotFound = errors.New("events: there is no such message")

// History reads the log back.
type History struct {
	db  *sqldb.DB
	log *Log
}

// NewHistory makes one. The log is needed to replay and to follow.
func NewHistory(db *sqldb.DB, l *Log) *History { return &History{db, l} }

// Query asks for a page of messages.
type Query struct {
	Filter
	// Since leaves out what was committed before; zero means everything.
	Since time.Time
	// Until leaves out what was committed then or later; zero means everything.
	Until time.Time
	// Look bounds how many rows are looked at; 0 means 20,000, or 4,000 where the messages have to be read.
	Look int
	// After is the cursor that came with the page before, "" for the newest.
	After string
	// Limit is from 1 to MaxPage; 0 means 50.
	Limit int
}

// MaxPage is how many messages a page may hold.
const MaxPage = 500

const (
	defaultPage = 50
	pageBytes   = 8 << 20
	// scanStep is how many rows one query looks at; maxLooked, how many a page may cost in all, and maxRead, how many of
	// them may be read, which takes five times as long.
	scanStep  = 2_000
	maxLooked = 20_000
	maxRead   = 4_000
	// scanChunk bounds how many bodies are in memory at once.
	scanChunk = 50
	// idSlack is how much older than its commit a message's id may be: it was made before, waited for its
	// turn, and the commit may have been tried more than once.
	idSlack = time.Hour
	newest  = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	columns = `writer, seq, id, account, subject, at, body`
)

// List returns messages, newest first, and the cursor of the next page, "" at the end. Paging is by id,
// which is made once and rises with time, so whatever is committed meanwhile moves nothing: each message
// that was there when the first page was read is on one page. A page may be short although another
// follows: one call looks at a bounded number of rows, however rare the matches are.
func (h *History) List(ctx context.Context, q Query) ([]Stored, string, error) {
	below, err := parseListCursor(q.After)
	if err != nil {
		return nil, "", err
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	lowest := ""
	if !q.Since.IsZero() {
		lowest = firstID(q.Since.Add(-idSlack))
	}
	p := page{query: q, limit: min(q.Limit, MaxPage), items: []Stored{}}
	if !q.Until.IsZero() {
		below = min(below, cmp.Or(firstID(q.Until.Add(time.Millisecond)), newest)) // a message's id is made before its commit
	}
	most := maxLooked
	if q.Person != "" || q.Door != "" {
		most = maxRead
	}
	look := min(cmp.Or(q.Look, most), most)
	step := min(scanStep, look)
	if q.Filter.empty() {
		step = p.limit + 1 // all of them match
	}
	for range max(1, look/scanStep) {
		floor, last, err := h.floor(ctx, below, lowest, step)
		if err == nil {
			err = h.scan(ctx, &p, floor, below)
		}
		if err != nil {
			return nil, "", fmt.Errorf("reading messages: %w", err)
		}
		if p.full {
			return p.items, listCursor(p.items[len(p.items)-1].ID), nil
		}
		if last {
			return p.items, "", nil
		}
		below = floor
	}
	return p.items, listCursor(below), nil
}

// page gathers matches until it is full, which shows only with the match that finds no room.
type page struct {
	query Query
	limit int
	items []Stored
	bytes int
	full  bool
}

func (p *page) add(r Row) {
	if !p.query.Match(r.Account, r.Subject) || !p.query.about(r.Body) {
		return
	}
	if len(p.items) == p.limit || (p.bytes > pageBytes && len(p.items) > 0) {
		p.full = true
		return
	}
	p.items, p.bytes = append(p.items, r.stored()), p.bytes+len(r.Body)
}

// floor returns the id where a step of so many rows below the given one ends, and whether it is the last step.
func (h *History) floor(ctx context.Context, below, lowest string, step int) (string, bool, error) {
	var floor string
	err := h.db.Get(ctx, &floor, `SELECT id FROM messages WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT 1 OFFSET ?`,
		below, lowest, step-1)
	if errors.Is(err, sql.ErrNoRows) {
		return lowest, true, nil
	}
	return floor, false, err
}

// scan puts the matches from below down to floor, which is included, on the page.
func (h *History) scan(ctx context.Context, p *page, floor, below string) error {
	where, args := p.query.where()
	if !p.query.Since.IsZero() {
		where, args = where+` AND at >= ?`, append(args, p.query.Since.UnixMilli())
	}
	if !p.query.Until.IsZero() {
		where, args = where+` AND at < ?`, append(args, p.query.Until.UnixMilli())
	}
	query := `SELECT ` + columns + ` FROM messages WHERE id < ? AND id >= ?` + where + ` ORDER BY id DESC LIMIT ?`
	chunk := min(p.limit+1, scanChunk)
	for {
		var rows []Row
		if err := h.db.Select(ctx, &rows, query, append(append([]any{below, floor}, args...), chunk)...); err != nil {
			return err
		}
		for _, r := range rows {
			if p.add(r); p.full {
				return nil
			}
		}
		if len(rows) < chunk {
			return nil
		}
		below = rows[len(rows)-1].ID
	}
}

// Get returns one message, or ErrNotFound.
func (h *History) Get(ctx context.Context, id string) (Stored, error) {
	if !isID(id) {
		return Stored{}, ErrNotFound
	}
	var r Row
	err := h.db.Get(ctx, &r, `SELECT `+columns+` FROM messages WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Stored{}, ErrNotFound
	}
	if err != nil {
		return Stored{}, fmt.Errorf("reading message %s: %w", id, err)
	}
	return r.stored(), nil
}

// Replay says a message again, as a new one that names the old, and returns the new id. It is ErrNotFound
// or ErrNotReplayable when it cannot; replaying twice says it twice.
func (h *History) Replay(ctx context.Context, id string) (string, error) {
	old, err := h.Get(ctx, id)
	if err != nil {
		return "", err
	}
	again, err := replayed(old.Subject, old.Body)
	if err != nil {
		return "", err
	}
	// Programs act on what is said: who says something again is in the audit log.
	entry := audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: "message.replay", Account: old.Account, Target: old.ID + " as " + again.ID, Outcome: audit.Done,
	}
	err = h.log.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Append(again)
		_, err := audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("replaying message %s: %w", id, err)
	}
	return again.ID, nil
}

// isID tells whether a string is an id in the one form that we write.
func isID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}

// firstID is the smallest UUIDv7 of a moment, "" before there were any.
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

// timeOf is the moment in an id.
func timeOf(id string) time.Time {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}
	}
	sec, nsec := parsed.Time().UnixTime()
	return time.Unix(sec, nsec).UTC()
}

func listCursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func parseListCursor(s string) (string, error) {
	if s == "" {
		return newest, nil
	}
	if len(s) <= base64.RawURLEncoding.EncodedLen(len(newest)) {
		if id, err := base64.RawURLEncoding.DecodeString(s); err == nil && isID(string(id)) {
			return string(id), nil
		}
	}
	return "", notACursor()
}

func notACursor() error { return invalid.Field("after", "is not a cursor that this list gave out") }
