package sharing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/events"
)

// lane is what is run one at a time: the operations of one identity on one lock, in the order in which they were
// stored.
type lane struct{ identity, lock string }

func laneOf(o *operation) lane { return lane{o.Identity, o.Lock} }

// inLane are the operations of a lane with a stage that is not done. SQLite uses an index of some rows only where
// the query repeats their condition.
const inLane = ` WHERE stage <> 'done' AND identity = ? AND lock = ? AND stage = ?`

// dueLanes groups by an expression, so that SQLite goes by what is due and not through all that is open.
const dueLanes = `SELECT MIN(identity) AS identity, MIN(lock) AS lock FROM operations WHERE stage <> 'done' AND due_at <= ?
	GROUP BY identity || '/' || lock ORDER BY MIN(due_at) LIMIT ?`

// due lists lanes in which something is to be done, the longest due first.
func (s *store) due(ctx context.Context, limit int) ([]lane, error) {
	var rows []struct{ Identity, Lock string }
	err := s.db.Select(ctx, &rows, dueLanes, s.now().UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("looking for operations that are due: %w", err)
	}
	lanes := make([]lane, len(rows))
	for i, r := range rows {
		lanes[i] = lane{r.Identity, r.Lock}
	}
	return lanes, nil
}

// head returns the first operation, or the first revoke, of a lane behind another that is not sent yet, nil when there is none.
func (s *store) head(ctx context.Context, l lane, behind int64, revoke bool) (*operation, error) {
	where := inLane + ` AND seq > ?`
	if revoke {
		where += ` AND type = 'revoke'`
	}
	found, err := s.load(ctx, where+` ORDER BY seq LIMIT 1`, l.identity, l.lock, stageSend, behind)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], s.openTokens(found[0])
}

// overdue returns operations of a lane that nobody has tried to send and that are too old for it.
func (s *store) overdue(ctx context.Context, l lane) ([]*operation, error) {
	return s.load(ctx, inLane+` AND attempts = 0 AND deadline_at <= ? ORDER BY seq LIMIT 100`,
		l.identity, l.lock, stageSend, s.now().UnixMilli())
}

// revokes returns the revokes that stand behind an operation.
func (s *store) revokes(ctx context.Context, o *operation) ([]*operation, error) {
	found, err := s.load(ctx, inLane+` AND seq > ? AND type = 'revoke' ORDER BY seq LIMIT 100`,
		o.Identity, o.Lock, stageSend, o.Seq)
	for _, r := range found {
		if err == nil {
			err = s.openTokens(r)
		}
	}
	return found, err
}

// park leaves alone what stands behind an operation that has to wait, until it would be too old.
func (s *store) park(ctx context.Context, o *operation) error {
	now := s.now()
	return s.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE operations SET due_at = CASE WHEN deadline_at > ? THEN deadline_at ELSE ? END`+inLane+
			` AND seq > ? AND due_at <= ?`, now.UnixMilli(), now.Add(lastRetry).UnixMilli(), o.Identity, o.Lock, stageSend, o.Seq, now.UnixMilli())
		return err
	})
}

// followed returns the operations of a lane that have been sent and are due to be looked after.
func (s *store) followed(ctx context.Context, l lane) ([]*operation, error) {
	return s.load(ctx, inLane+` AND due_at <= ? ORDER BY seq LIMIT 100`,
		l.identity, l.lock, stageFollow, s.now().UnixMilli())
}

// lookAgain notes when operations of which nothing new was learned are to be looked after again.
func (s *store) lookAgain(ctx context.Context, of []*operation) error {
	if len(of) == 0 {
		return nil
	}
	return s.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
		for _, o := range of {
			if _, err := tx.Exec(ctx, `UPDATE operations SET due_at = ? WHERE id = ? AND turn = ?`, o.DueAt, o.ID, o.Turn); err != nil {
				return err
			}
		}
		return nil
	})
}

// allDue has everything that is open looked at: when it was to be looked at next was told by a clock that was wrong.
func (s *store) allDue(ctx context.Context) error {
	now := s.now().UnixMilli()
	return s.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE operations SET due_at = ? WHERE stage <> 'done' AND due_at > ?`, now, now)
		return err
	})
}

// signed is what can still reach the door for one person: when the last of it ends, of operations that are open, and of
// those that have ended, which nobody looks after any more.
type signed struct {
	open, ended int64
	// lost tells that of some of it no answer came, so that it may still be on its way to Doordeck.
	lost bool
}

func (s signed) until() int64 { return max(s.open, s.ended) }

// queued tells that some of it may wait at Doordeck for the door, and is not just on its way. Less may be left of what
// waits; then it ends before the revoke is given up that is tried until then.
func (s signed) queued(now time.Time) bool { return s.until()-now.UnixMilli() > landed.Milliseconds() }

// aliveFor is what can still reach a door, by people, of operations but one, whatever identity they are signed as.
const aliveFor = `SELECT p.user_id, CASE WHEN o.stage = 'done' THEN 1 ELSE 0 END AS ended, MAX(p.expires_at) AS expires_at,
	MAX(CASE WHEN p.tries = 1 AND p.status IN ('queued', 'confirmed') THEN 0 ELSE 1 END) AS lost
	FROM operations o JOIN operation_parts p ON p.operation = o.id
	WHERE o.lock = ? AND o.alive_at > 0 AND o.alive_at > ? AND o.id <> ? AND p.expires_at > ? AND p.user_id <> ''`

// alive returns what other operations have signed for people and can still reach the lane's door. One revoke
// cannot undo another.
func (s *store) alive(ctx context.Context, o *operation) (map[string]signed, error) {
	now := s.now().UnixMilli()
	var rows []struct {
		UserID    string `db:"user_id"`
		Ended     bool
		ExpiresAt int64 `db:"expires_at"`
		Lost      bool
	}
	undoes := ``
	if o.Type == Revoke {
		undoes = ` AND o.type = 'share'`
	}
	err := s.db.Select(ctx, &rows, aliveFor+undoes+` GROUP BY 1, 2`, o.Lock, now, o.ID, now)
	if err != nil {
		return nil, fmt.Errorf("reading what can still reach the door: %w", err)
	}
	found := make(map[string]signed, len(rows))
	for _, r := range rows {
		of := found[r.UserID]
		of.lost = of.lost || r.Lost
		if r.Ended {
			of.ended = r.ExpiresAt
		} else {
			of.open = r.ExpiresAt
		}
		found[r.UserID] = of
	}
	return found, nil
}

// overtaking is what was asked after an operation, for its people and as any identity, and has been sent and not refused.
const overtaking = `SELECT p.user_id, MAX(CASE WHEN p.status IN ('queued', 'applied', 'confirmed') THEN 1 ELSE 0 END) > 0 AS settled
	FROM operations o JOIN operation_parts p ON p.operation = o.id
	WHERE o.lock = ? AND o.seq > ? AND p.tries > 0 AND p.status IN ('running', 'queued', 'watched', 'applied', 'confirmed')
	AND p.user_id IN (`

// overtaken returns those of an operation's people for whom a later one has been sent and not refused, and
// whether that is known to be done, or to wait for the door.
func (s *store) overtaken(ctx context.Context, o *operation) (map[string]bool, error) {
	var rows []struct {
		UserID  string `db:"user_id"`
		Settled bool
	}
	args := []any{o.Lock, o.Seq}
	for _, p := range o.parts {
		if p.UserID != "" {
			args = append(args, p.UserID)
		}
	}
	err := s.db.Select(ctx, &rows, overtaking+`''`+strings.Repeat(`, ?`, len(args)-2)+`) GROUP BY p.user_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what was asked after operation %s: %w", o.ID, err)
	}
	found := make(map[string]bool, len(rows))
	for _, r := range rows {
		found[r.UserID] = r.Settled
	}
	return found, nil
}

// nudge has what was sent on a lane looked after at once.
func (s *store) nudge(ctx context.Context, l lane) error {
	return s.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE operations SET due_at = ?`+inLane, s.now().UnixMilli(), l.identity, l.lock, stageFollow)
		return err
	})
}
