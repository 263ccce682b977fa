package sharing

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/invalid"
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

func (q OperationQuery) where() (string, []any, error) {
	if err := q.check(); err != nil {
		return "", nil, err
	}
	where, args := ` WHERE seq > 0`, []any{}
	if q.After != "" {
		seq, err := parseOperationCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		where, args = where+` AND seq < ?`, append(args, seq)
	}
	for _, c := range []struct{ column, value string }{
		{"caller_id", q.ID},
		{"identity", q.Identity},
		{"lock", strings.ToLower(q.Lock)},
		{"type", q.Type},
		{"status", string(q.Status)},
	} {
		if c.value != "" {
			where, args = where+` AND `+c.column+` = ?`, append(args, c.value)
		}
	}
	if !q.Since.IsZero() {
		where, args = where+` AND received_at >= ?`, append(args, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		where, args = where+` AND received_at < ?`, append(args, q.Until.UnixMilli())
	}
	if q.Caller != "" {
		where, args = where+` AND caller IN (?, ?)`, append(args, byKey.stored(q.Caller), byNATS.stored(q.Caller))
	}
	if q.Identities != nil {
		where += ` AND identity IN (''` + strings.Repeat(`, ?`, len(q.Identities)) + `)`
		for _, name := range q.Identities {
			args = append(args, name)
		}
	}
	return where, args, nil
}

// List returns operations, newest first, and the cursor of the next page, "" at the end. A page is short where
// its operations name many people.
func (o *Operations) List(ctx context.Context, q OperationQuery) ([]Answer, string, error) {
	where, args, err := q.where()
	if err != nil {
		return nil, "", err
	}
	var rows []*operation
	query := `SELECT ` + operationColumns + ` FROM operations` + where + ` ORDER BY seq DESC LIMIT ?`
	if err := o.db.Select(ctx, &rows, query, append(args, q.Limit+1)...); err != nil {
		return nil, "", fmt.Errorf("listing operations: %w", err)
	}
	next, people := "", 0
	for i, op := range rows {
		if people += op.People; i == q.Limit || i > 0 && people > maxLoaded {
			next, rows = operationCursor(rows[i-1].Seq), rows[:i]
			break
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

func operationCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(seq, 10)))
}

func parseOperationCursor(s string) (int64, error) {
	if data, err := base64.RawURLEncoding.DecodeString(s); err == nil && len(s) <= 32 {
		if seq, err := strconv.ParseInt(string(data), 10, 64); err == nil && seq > 0 {
			return seq, nil
		}
	}
	return 0, invalid.Field("after", "is not a cursor that this list gave out")
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
