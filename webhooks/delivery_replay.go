package webhooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
)

const (
	// replayLooks is how many messages one call looks at; replayRead, how many it reads at once.
	replayLooks = 10_000
	replayRead  = 500
	// idAge is how much older than its commit a message's id may be: it was made before, and waited for its turn.
	idAge = time.Hour
)

// ReplayRequest asks for what was said in a span of time to be delivered again, to one endpoint.
type ReplayRequest struct {
	// Since and Until are by when messages were committed. Until is not included; zero means now.
	Since, Until time.Time
	// Subjects narrow down what the endpoint wants; none: all of it.
	Subjects []string
	// After goes on where the last call ended.
	After string
}

// Replayed is what a call came to.
type Replayed struct {
	// Deliveries is how many were made, or sent again.
	Deliveries int64 `json:"deliveries"`
	// Gone is how many retention removed before they could be.
	Gone int64 `json:"gone,omitempty"`
	// Next is what the next call has to name in after, "" when all is done.
	Next string `json:"next,omitempty"`
	// Reached is when the last message was committed that was looked at, zero when all is done.
	Reached time.Time `json:"-"`
}

func (q *ReplayRequest) check(now time.Time) ([]events.Pattern, error) {
	if q.Since.IsZero() {
		return nil, invalid.Field("since", "must be given: a time such as 2026-01-01T00:00:00Z (RFC 3339)")
	}
	if q.Until.IsZero() {
		q.Until = now
	}
	if !q.Since.Before(q.Until) {
		return nil, invalid.Field("until", "must be after since")
	}
	if len(q.Subjects) > maxSubjects {
		return nil, invalid.Field("subjects", "must be at most %d patterns", maxSubjects)
	}
	var patterns []events.Pattern
	for _, s := range q.Subjects {
		pattern, err := events.ParsePattern(s)
		if err != nil || s == "" {
			return nil, invalid.Field("subjects", "%s", events.ErrPattern)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

// Replay delivers again to one endpoint, under their own ids, messages that it wants and that are still in the log,
// whether it had them or not, in their order. What is on its way to it already is left alone. One call looks at a bounded number of
// messages and says where the next has to go on. Errors: *invalid.Error, ErrNoEndpoint, ErrEndpointDisabled.
func (d *Deliveries) Replay(ctx context.Context, endpoint string, q ReplayRequest, of Limits) (Replayed, error) {
	e, err := d.Endpoints.Get(ctx, endpoint, of)
	if err == nil && !e.Enabled {
		err = ErrEndpointDisabled
	}
	if err != nil {
		return Replayed{}, err
	}
	patterns, err := q.check(d.Now())
	if err != nil {
		return Replayed{}, err
	}
	above := firstMessage(q.Since.Add(-idAge))
	if q.After != "" {
		if above, err = parseMessageCursor(q.After); err != nil {
			return Replayed{}, err
		}
	}
	entry := audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: "endpoint.replay", Outcome: audit.Done,
		Target: endpoint + " " + q.Since.UTC().Format(time.RFC3339) + " to " + q.Until.UTC().Format(time.RFC3339),
	}
	if err := d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := audit.Record(ctx, tx.Tx, entry)
		return err
	}); err != nil {
		return Replayed{}, err
	}
	done, reached := Replayed{}, int64(0)
	for range replayLooks / replayRead {
		rows, err := d.span(ctx, q, above)
		if err != nil {
			return done, fmt.Errorf("reading messages to replay: %w", err)
		}
		n, gone, err := d.again(ctx, e, rows, patterns)
		if err != nil {
			return done, fmt.Errorf("replaying to endpoint %s: %w", endpoint, err)
		}
		done.Deliveries, done.Gone = done.Deliveries+n, done.Gone+gone
		if len(rows) < replayRead {
			return done, nil
		}
		above, reached = rows[len(rows)-1].ID, rows[len(rows)-1].At
	}
	done.Next, done.Reached = messageCursor(above), moment(reached)
	return done, nil
}

// span reads some messages of the span of time, without their bodies.
func (d *Deliveries) span(ctx context.Context, q ReplayRequest, above string) (rows []events.Row, err error) {
	return rows, d.DB.Select(ctx, &rows, `SELECT writer, seq, id, account, subject, at FROM messages
		WHERE id > ? AND id < ? AND at >= ? AND at < ? ORDER BY id LIMIT ?`,
		above, firstMessage(q.Until.Add(idAge)), q.Since.UnixMilli(), q.Until.UnixMilli(), replayRead)
}

// again makes deliveries wait that are not waiting, of messages that are still there.
func (d *Deliveries) again(ctx context.Context, e *Endpoint, rows []events.Row, patterns []events.Pattern) (n, gone int64, err error) {
	var wanted []*job
	var ids []string
	for i := range rows {
		r := &rows[i]
		named := len(patterns) == 0 || slices.ContainsFunc(patterns, func(p events.Pattern) bool { return p.Match(r.Subject) })
		if named && e.Wants(r.Account, r.Subject) {
			wanted, ids = append(wanted, &job{endpoint: e, message: messageOf(r)}), append(ids, r.ID)
		}
	}
	if len(wanted) == 0 {
		return 0, 0, nil
	}
	all := d.rows(wanted)
	var made, missed int64
	err = d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		there, err := held(ctx, tx, ids)
		if err != nil {
			return err
		}
		args := make([]any, 0, len(all))
		for i, id := range ids {
			if there[id] {
				args = append(args, all[i*len(deliveryColumns):(i+1)*len(deliveryColumns)]...)
			}
		}
		missed = int64(len(ids) - len(there))
		made, err = d.replay.Exec(ctx, tx.Tx, args)
		return err
	})
	d.lanes.stir(e.ID)
	if err != nil {
		return 0, 0, err // the change may still be made: made and missed are not to be read
	}
	return made, missed, nil
}

// sendAgain makes a delivery that is there already begin anew.
const sendAgain = `ON CONFLICT (message_id, endpoint_id) DO UPDATE SET state = excluded.state, place = excluded.place, due_at = excluded.due_at,
	round_from = deliveries.attempts, round_at = excluded.round_at, holder = '', settled_at = 0 WHERE deliveries.state <> 'waiting'`
