package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
)

// States of a delivery. One that was given up is stateParked, like a notification.
const (
	stateWaiting   = "waiting"   // to be sent when it is due
	stateDelivered = "delivered" // the endpoint has taken it
)

// message is what is delivered.
type message struct {
	id          string
	writer, seq int64
	at          time.Time // when it was committed
	body        []byte
}

func messageOf(row *events.Row) message {
	return message{row.ID, row.Writer, row.Seq, time.UnixMilli(row.At), row.Body}
}

// job is one attempt to be made: the nth, 0 if it is not claimed.
type job struct {
	endpoint *Endpoint
	message  message
	n        int64
	// The schedule began at roundAt, when roundFrom attempts had been made.
	roundFrom int64
	roundAt   time.Time
	// until is when it may be claimed by somebody else.
	until time.Time
}

var deliveryColumns = []string{
	"message_id", "endpoint_id", "writer", "seq", "state", "place", "due_at", "attempts", "round_from", "round_at", "holder", "created_at",
}

// rows are new deliveries for the inserter. Those that are claimed are counted as attempted once.
func (d *Deliveries) rows(made []*job) []any {
	now := d.Now()
	args := make([]any, 0, len(made)*len(deliveryColumns))
	for _, j := range made {
		due, holder := now, ""
		if j.n > 0 {
			due, holder = now.Add(deliveryLease), d.Log.Holder()
			j.until = due
		}
		j.roundAt = now
		args = append(args, j.message.id, j.endpoint.ID, j.message.writer, j.message.seq, stateWaiting, d.place(),
			due.UnixMilli(), j.n, 0, now.UnixMilli(), holder, now.UnixMilli())
	}
	return args
}

// claimedRow is what claiming returns.
type claimedRow struct {
	MessageID string `db:"message_id"`
	Writer    int64
	Seq       int64
	Attempts  int64
	RoundFrom int64 `db:"round_from"`
	RoundAt   int64 `db:"round_at"`
}

const claimedColumns = `message_id, writer, seq, attempts, round_from, round_at`

// claimAny takes what has been due the longest; two replicas pass each other by.
func claimAny(postgres bool) string {
	skip := ``
	if postgres {
		skip = ` FOR UPDATE SKIP LOCKED`
	}
	return `WITH due AS (SELECT message_id AS id FROM deliveries WHERE endpoint_id = ? AND state = 'waiting' AND due_at <= ?
			ORDER BY due_at LIMIT ?` + skip + `)
		UPDATE deliveries SET holder = ?, attempts = attempts + 1, due_at = ?
		WHERE endpoint_id = ? AND message_id IN (SELECT id FROM due) RETURNING ` + claimedColumns
}

// claimNext takes the first in order, and only if it is due and none is under way. What another replica has made
// since may stand before what is under way.
const claimNext = `UPDATE deliveries SET holder = ?, attempts = attempts + 1, due_at = ?
	WHERE endpoint_id = ? AND state = 'waiting' AND due_at <= ? AND message_id = (
		SELECT message_id FROM deliveries WHERE endpoint_id = ? AND state = 'waiting' ORDER BY place LIMIT 1)
	AND NOT EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = ? AND state = 'waiting' AND holder <> '' AND due_at > ?)
	RETURNING ` + claimedColumns

// claimOrdered lets one replica at a time take the next of an endpoint: two that see different firsts would both find
// nothing under way. It does not lock the endpoint's row, which comes after the version in every change.
func (d *Deliveries) claimOrdered(ctx context.Context, tx *events.Tx, endpoint string, now time.Time) (rows []claimedRow, err error) {
	if tx.Postgres {
		var ours bool
		const lock = `SELECT pg_try_advisory_xact_lock(hashtextextended('gatehouse order ' || ?::text, 0))`
		if err := tx.Get(ctx, &ours, lock, endpoint); err != nil || !ours {
			return nil, err
		}
	}
	at := now.UnixMilli()
	return rows, tx.Select(ctx, &rows, claimNext, d.Log.Holder(), now.Add(deliveryLease).UnixMilli(), endpoint, at, endpoint, endpoint, at)
}

// claim counts an attempt of everything it takes and makes it ours for a while, in one commit for all wishes.
func (d *Deliveries) claim(ctx context.Context, wishes []wish) ([]*job, error) {
	ctx, cancel := committing(ctx)
	defer cancel()
	now := d.Now()
	var jobs []*job
	err := d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		var taken []*job
		for _, w := range wishes {
			var rows []claimedRow
			id, lease := w.endpoint.ID, now.Add(deliveryLease).UnixMilli()
			var err error
			if w.endpoint.Ordered {
				rows, err = d.claimOrdered(ctx, tx, id, now)
			} else {
				err = tx.Select(ctx, &rows, claimAny(tx.Postgres), id, now.UnixMilli(), w.slots, d.Log.Holder(), lease, id)
			}
			if err != nil {
				return fmt.Errorf("claiming deliveries: %w", err)
			}
			for _, r := range rows {
				taken = append(taken, &job{
					endpoint: w.endpoint, n: r.Attempts, roundFrom: r.RoundFrom, roundAt: time.UnixMilli(r.RoundAt),
					message: message{id: r.MessageID, writer: r.Writer, seq: r.Seq}, until: now.Add(deliveryLease),
				})
			}
		}
		jobs = taken
		return nil
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// load reads a message back. One that is gone stays without a body.
func (d *Deliveries) load(ctx context.Context, m message) (message, error) {
	var row struct {
		At   int64
		Body []byte
	}
	err := d.DB.Get(ctx, &row, `SELECT at, body FROM messages WHERE writer = ? AND seq = ? AND id = ?`, m.writer, m.seq, m.id)
	if errors.Is(err, sql.ErrNoRows) {
		err = d.DB.Get(ctx, &row, `SELECT at, body FROM delivery_bodies WHERE message_id = ?`, m.id)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return m, nil
	}
	m.at, m.body = time.UnixMilli(row.At), row.Body
	return m, err
}

// dueEndpoints lists the endpoints that something can be sent to.
func (d *Deliveries) dueEndpoints(ctx context.Context) ([]string, error) {
	var ids []string
	err := d.DB.Select(ctx, &ids, `SELECT e.id FROM endpoints e WHERE e.enabled = 1 AND ? >= CASE WHEN e.ordered = 1
		THEN (SELECT d.due_at FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'waiting' ORDER BY d.place LIMIT 1)
		ELSE (SELECT MIN(d.due_at) FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'waiting') END`, d.Now().UnixMilli())
	return ids, err
}
