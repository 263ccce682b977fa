package sharing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

// errTaken says that another worker has written to the operation since it was read.
var errTaken = errors.New("another worker has the operation")

const (
	// saveFor bounds how long what Doordeck has done waits to be stored.
	saveFor   = 20 * time.Second
	saveAgain = 250 * time.Millisecond
)

// save stores what has become of an operation, with the message that reports it where it has reached a status
// that is reported, if nobody else has written to it; else errTaken. It does not end with the caller's
// context, and is tried again while the database is away: what it reports has happened.
func (s *store) save(ctx context.Context, o *operation) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer cancel()
	before := *o
	change, report, err := s.settled(o)
	for err == nil {
		if err = s.events.DoUrgent(ctx, change); err == nil || !errors.Is(err, events.ErrStorage) {
			break
		}
		select {
		case <-time.After(saveAgain):
			err = nil
		case <-ctx.Done():
		}
	}
	if err != nil {
		*o = before
		return fmt.Errorf("storing operation %s: %w", o.ID, err)
	}
	o.Turn++
	if report {
		s.said(o)
	}
	return nil
}

// settled brings the operation in line with its people, and returns the change that stores it, and whether that
// reports a status.
func (s *store) settled(o *operation) (change func(context.Context, *events.Tx) error, report bool, err error) {
	now, was, held := s.now(), o.Status, o.Stage == stageSend
	o.Status, o.Stage = fold(o.statuses())
	if o.Status == Accepted && o.Attempts > 0 {
		o.Status = Running
	}
	if o.Stage == stageFollow && o.FollowedAt == 0 {
		o.FollowedAt = now.UnixMilli()
	}
	o.AliveAt = 0
	for _, p := range o.parts {
		o.AliveAt = max(o.AliveAt, p.ExpiresAt)
	}
	if o.Status.Final() {
		o.FinishedAt, o.Error = now.UnixMilli(), ""
		if o.Type == Unlock {
			o.Error = o.parts[0].Error
		}
		for _, p := range o.parts {
			p.PublicKey = ""
		}
	}
	report = o.Status != was && (o.Status.Final() || o.Status == Queued)
	var said events.Encoded
	if report {
		if said, err = o.message(now); err != nil {
			return nil, false, err
		}
	}
	freed := held && o.Stage != stageSend
	turn, row, parts := o.Turn, *o, clones(o.parts)
	return func(ctx context.Context, tx *events.Tx) error {
		if err := write(ctx, tx, &row, turn, parts); err != nil {
			return err
		}
		if freed {
			if err := callNext(ctx, tx, &row, now.UnixMilli()); err != nil {
				return err
			}
		}
		if err := spent(ctx, tx, &row); err != nil {
			return err
		}
		if report {
			tx.Append(said)
		}
		if !row.Status.Final() {
			return nil
		}
		_, err := audit.Record(ctx, tx.Tx, audit.Entry{
			Actor: audit.Actor{Kind: audit.KindGateway}, Action: "operation." + row.Type, Target: row.Identity + " " + row.Lock + " " + row.ID, Outcome: audited(row.Status),
		})
		return err
	}, report, nil
}

// audited is what the audit log calls a status.
func audited(s Status) audit.Outcome {
	switch s {
	case Applied, Confirmed:
		return audit.Done
	case Partial:
		return audit.Partial
	case Unknown:
		return audit.Unknown
	}
	return audit.Failed
}

// clones keep what is to be written from what happens meanwhile.
func clones(parts []*part) []part {
	all := make([]part, len(parts))
	for i, p := range parts {
		all[i] = *p
	}
	return all
}

func write(ctx context.Context, tx *events.Tx, o *operation, turn int64, parts []part) error {
	n, err := tx.Exec(ctx, `UPDATE operations SET turn = turn + 1, status = ?, error = ?, stage = ?, attempts = ?, deadline_at = ?,
		due_at = ?, followed_at = ?, alive_at = ?, finished_at = ? WHERE id = ? AND turn = ?`,
		o.Status, o.Error, o.Stage, o.Attempts, o.DeadlineAt, o.DueAt, o.FollowedAt, o.AliveAt, o.FinishedAt, o.ID, turn)
	if err != nil {
		return err
	}
	if n == 0 {
		return errTaken
	}
	if o.Status.Final() { // and left alone otherwise: a rotation of keys may have sealed them again
		if _, err := tx.Exec(ctx, `UPDATE operations SET tokens = NULL WHERE id = ? AND tokens IS NOT NULL`, o.ID); err != nil {
			return err
		}
	}
	const step = 50
	for some := range slices.Chunk(parts, step) {
		if err := writeParts(ctx, tx, o.ID, some); err != nil {
			return err
		}
	}
	return nil
}

// writeParts writes what may have changed of some people with one statement.
func writeParts(ctx context.Context, tx *events.Tx, id string, parts []part) error {
	const tuple = `(CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))`
	var args []any
	for _, p := range parts {
		args = append(args, p.N, p.UserID, p.PublicKey, p.Status, p.Error, p.Tries, p.ExpiresAt, p.GuardAt)
	}
	query := `WITH now_so (n, user_id, public_key, status, error, tries, expires_at, guard_at) AS (VALUES ` +
		strings.TrimPrefix(strings.Repeat(", "+tuple, len(parts)), ", ") + `)
		UPDATE operation_parts SET user_id = now_so.user_id, public_key = now_so.public_key, status = now_so.status, error = now_so.error,
			tries = now_so.tries, expires_at = now_so.expires_at, guard_at = now_so.guard_at
		FROM now_so WHERE operation_parts.operation = ? AND operation_parts.n = now_so.n`
	_, err := tx.Exec(ctx, query, append(args, id)...)
	return err
}

// spent notes that nothing signed earlier for those who have arrived can still reach the door.
func spent(ctx context.Context, tx *events.Tx, o *operation) error {
	if len(o.arrived) == 0 {
		return nil
	}
	args := []any{o.Identity, o.Lock, o.Seq}
	for _, user := range o.arrived {
		args = append(args, user)
	}
	_, err := tx.Exec(ctx, `UPDATE operation_parts SET expires_at = 0 WHERE expires_at > 0
		AND operation IN (SELECT id FROM operations WHERE identity = ? AND lock = ? AND seq < ? AND alive_at > 0)
		AND user_id IN (?`+strings.Repeat(`, ?`, len(o.arrived)-1)+`)`, args...)
	return err
}

// callNext has the operation looked at that has become the first of its lane behind one.
func callNext(ctx context.Context, tx *events.Tx, o *operation, now int64) error {
	_, err := tx.Exec(ctx, `UPDATE operations SET due_at = ? WHERE due_at > ? AND seq > ? AND seq = (
		SELECT MIN(seq) FROM operations`+inLane+`)`, now, now, o.Seq, o.Identity, o.Lock, stageSend)
	return err
}
