package webhooks

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"gatehouse/events"
)

// keepAttempts is how many attempts of one delivery are kept: more than a schedule has.
const keepAttempts = 100

// result is how an attempt ended, on its way into the database.
type result struct {
	job
	attempt Attempt
	verdict verdict
	at      time.Time // when that was known
	due     time.Time // of a delivery that is tried again
	notes   bool      // whether the endpoint's health is to know
}

func (r result) size() int { return 512 + len(r.attempt.Answer) }

var attemptColumns = []string{"message_id", "endpoint_id", "n", "at", "took", "outcome", "status", "answer"}

// writeResults stores how attempts ended, many callers' at a time. A delivery that somebody else has claimed since, and
// so counted another attempt of, is left to them.
func (d *Deliveries) writeResults(ctx context.Context, tx *events.Tx, all []result) error {
	// In one order on all replicas, so that two of them never wait for each other.
	slices.SortFunc(all, func(a, b result) int {
		return cmp.Or(cmp.Compare(a.message.id, b.message.id), cmp.Compare(a.endpoint.ID, b.endpoint.ID))
	})
	args := make([]any, 0, len(all)*len(attemptColumns))
	for i := range all {
		r := &all[i]
		args = append(args, r.message.id, r.endpoint.ID, r.attempt.N, r.attempt.At.UnixMilli(), r.attempt.Took.Milliseconds(),
			string(r.attempt.Outcome), r.attempt.Status, r.attempt.Answer)
	}
	if _, err := d.ended.Exec(ctx, tx.Tx, args); err != nil {
		return err
	}
	if err := writeArrived(ctx, tx, all); err != nil {
		return err
	}
	for i := range all {
		if err := all[i].write(ctx, tx); err != nil {
			return err
		}
	}
	return d.writeHealth(ctx, tx, all)
}

// writeArrived settles what has arrived, a statement for each message: it usually goes to many endpoints.
func writeArrived(ctx context.Context, tx *events.Tx, all []result) error {
	type attempt struct {
		message string
		n       int64
	}
	var order []attempt
	to := map[attempt][]string{}
	for i := range all {
		if r := &all[i]; r.verdict == arrived {
			of := attempt{r.message.id, r.n}
			if to[of] == nil {
				order = append(order, of)
			}
			to[of] = append(to[of], r.endpoint.ID)
		}
	}
	for _, of := range order {
		query, args, err := sqlx.In(`UPDATE deliveries SET state = 'delivered', holder = '', settled_at = ?
			WHERE message_id = ? AND attempts = ? AND state = 'waiting' AND endpoint_id IN (?)`, all[0].at.UnixMilli(), of.message, of.n, to[of])
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// write says what becomes of a delivery that has not arrived.
func (r *result) write(ctx context.Context, tx *events.Tx) error {
	state, due, settled, passed := stateWaiting, r.due.UnixMilli(), int64(0), 0
	switch r.verdict {
	case arrived:
		return nil
	case giveUp:
		state, due, settled = stateParked, 0, r.at.UnixMilli()
	case putBack:
		passed = 1 // it counts, because it may have left, but the schedule goes on as if it had not been made
	}
	_, err := tx.Exec(ctx, `UPDATE deliveries SET state = ?, holder = '', due_at = ?, settled_at = ?, round_from = round_from + ?
		WHERE message_id = ? AND endpoint_id = ? AND attempts = ? AND state = 'waiting'`,
		state, due, settled, passed, r.message.id, r.endpoint.ID, r.n)
	if err == nil && r.n > keepAttempts {
		_, err = tx.Exec(ctx, `DELETE FROM delivery_attempts WHERE message_id = ? AND endpoint_id = ? AND n <= ?`,
			r.message.id, r.endpoint.ID, r.n-keepAttempts)
	}
	return err
}

// writeHealth notes how each endpoint fares, of the attempts that it needs to know of.
func (d *Deliveries) writeHealth(ctx context.Context, tx *events.Tx, all []result) error {
	var tried []Tried
	for i := range all {
		if r := &all[i]; r.notes {
			tried = append(tried, Tried{Endpoint: r.endpoint, Outcome: r.attempt.Outcome, At: r.at})
		}
	}
	return d.Endpoints.Note(ctx, tx, tried)
}
