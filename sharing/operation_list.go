package sharing

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// OperationQuery asks for a page of operations. What is "" narrows nothing.
type OperationQuery struct {
	// ID is the callers' own id.
	ID, Identity, Lock, Caller, Type string
	Status                           Status
	// Since and Until bound when it was asked for: from Since on and before Until.
	Since, Until time.Time
	// Identities are those that the caller is held to, nil for all.
	Identities []string
	// After is the cursor that came with the page before, "" for the newest.
	After string
	Limit int
}

func (q OperationQuery) check() error {
	for field, value := range map[string]string{"id": q.ID, "identity": q.Identity, "caller": q.Caller} {
		if len(value) > 256 || !printable(value) {
			return invalid.Field(field, "must be at most 256 printable characters")
		}
	}
	switch {
	case q.Lock != "" && !doordeck.LockID(q.Lock).Valid():
		return invalid.Field("lock", "must be a UUID: the id of the lock")
	case q.Type != "" && q.Type != Share && q.Type != Revoke && q.Type != Unlock:
		return invalid.Field("type", "must be share, revoke or unlock")
	case q.Status != "" && !q.Status.Final() && q.Status != Accepted && q.Status != Running && q.Status != Queued:
		return invalid.Field("status", "must be a status of an operation")
	}
	return nil
}

// standing is where an operation stands in the list: by when it was asked for, and then in the order of their storing.
type standing struct {
	At  int64 `db:"received_at"`
	Seq int64
}

// bounds are the places that the operations behind the cursor and between the times lie between; from is nil where nothing
// bounds them.
func (q OperationQuery) bounds() (below, from []any, err error) {
	p, err := parseOperationCursor(q.After)
	if at := q.Until.UnixMilli(); !q.Until.IsZero() && at <= p.At {
		p = standing{At: at}
	}
	if !q.Since.IsZero() {
		from = []any{q.Since.UnixMilli(), 0}
	}
	return []any{p.At, p.Seq}, from, err
}

// choices narrow the operations down, each by an index; the first should leave the fewest. A caller with limits goes through
// what is theirs, so that nothing of others shows, not even that there is a further page. ok is false where nothing is.
func (q OperationQuery) choices() (all []sqldb.Choice, ok bool) {
	theirs := q.Identities
	if q.Identity != "" {
		if theirs != nil && !slices.Contains(theirs, q.Identity) {
			return nil, false
		}
		theirs = []string{q.Identity}
	}
	var callers []string
	if q.Caller != "" {
		callers = []string{byKey.stored(q.Caller), byNATS.stored(q.Caller)}
	}
	lock := sqldb.Is("lock", one(strings.ToLower(q.Lock))...)
	for _, c := range []sqldb.Choice{
		sqldb.Is("caller_id", one(q.ID)...), sqldb.Is("identity", theirs...), lock, sqldb.Is("caller", callers...),
		sqldb.Is("status", one(string(q.Status))...), sqldb.Is("type", one(q.Type)...),
	} {
		if c.Values != nil {
			all = append(all, c)
		}
	}
	return all, theirs == nil || len(theirs) > 0
}

// one is a value to choose by, none where it is "".
func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// lookAt is how many operations one page looks at where more than one thing narrows them down.
const lookAt = 10_000

// List returns operations, newest first, and the cursor of the next page, "" at the end. A page is short where
// its operations name many people, and may be short or empty where more than one thing narrows them down.
func (o *Operations) List(ctx context.Context, q OperationQuery) ([]Answer, string, error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	below, from, err := q.bounds()
	if err != nil {
		return nil, "", err
	}
	choices, ok := q.choices()
	if !ok {
		return []Answer{}, "", nil
	}
	list := sqldb.Newest{
		Columns: operationColumns, Table: "operations", Place: []string{"received_at", "seq"}, Below: below, From: from, Choices: choices, Look: lookAt,
	}
	var rows []*operation
	if err := list.Read(ctx, o.db, &rows, q.Limit+1); err != nil {
		return nil, "", fmt.Errorf("listing operations: %w", err)
	}
	next, people := "", 0
	for i, op := range rows {
		if people += op.People; i == q.Limit || i > 0 && people > maxLoaded {
			next, rows = operationCursor(standing{rows[i-1].ReceivedAt, rows[i-1].Seq}), rows[:i]
			break
		}
	}
	if next == "" && list.Looks() {
		var last standing
		switch err := list.Behind(ctx, o.db, &last); {
		case err == nil:
			next = operationCursor(last)
		case !errors.Is(err, sql.ErrNoRows):
			return nil, "", fmt.Errorf("listing operations: %w", err)
		}
	}
	if err := o.store.loadParts(ctx, rows); err != nil {
		return nil, "", err
	}
	page := make([]Answer, len(rows))
	for i, op := range rows {
		page[i] = op.answer()
	}
	return page, next, nil
}

func operationCursor(p standing) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", p.At, p.Seq))
}

// parseOperationCursor returns the place of a cursor; "" stands for the end of time.
func parseOperationCursor(s string) (p standing, err error) {
	if s == "" {
		return standing{math.MaxInt64, math.MaxInt64}, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(s)
	at, seq, _ := strings.Cut(string(data), ".")
	if err == nil && len(s) <= 64 {
		if p.At, err = strconv.ParseInt(at, 10, 64); err == nil {
			p.Seq, err = strconv.ParseInt(seq, 10, 64)
		}
		if err == nil && operationCursor(p) == s {
			return p, nil
		}
	}
	return standing{}, invalid.Field("after", "is not a cursor that this list gave out")
}

// keepOperations is how long an id is remembered at least: longer than anybody sends an operation again.
const keepOperations = 72 * time.Hour

// Pruner removes operations that have ended long ago, and of which nothing can reach a door any more.
func (o *Operations) Pruner(retention time.Duration) events.Pruner {
	return func(ctx context.Context, tx *events.Tx) (int64, error) {
		now := o.now()
		var old []struct {
			ID     string
			People int
		}
		err := tx.Select(ctx, &old, `SELECT id, people FROM operations WHERE stage = 'done' AND finished_at < ? AND alive_at < ?
			ORDER BY finished_at LIMIT ?`, now.Add(-max(retention, keepOperations)).UnixMilli(), now.UnixMilli(), events.PruneStep)
		if err != nil {
			return 0, err
		}
		var removed int64
		for rows := 0; len(old) > 0 && (rows == 0 || rows+old[0].People < events.PruneStep); old = old[1:] {
			if _, err := tx.Exec(ctx, `DELETE FROM operation_parts WHERE operation = ?`, old[0].ID); err != nil {
				return removed, err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM operations WHERE id = ?`, old[0].ID); err != nil {
				return removed, err
			}
			rows += old[0].People + 1
			removed++
		}
		return removed, nil
	}
}
