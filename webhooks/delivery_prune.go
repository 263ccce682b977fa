package webhooks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"gatehouse/events"
)

// Keep is asked before messages of a writer, up to a place, are removed from the log. It returns up to where they may
// be: as far as they have been fanned out. Of those it keeps what a delivery still needs.
func (d *Deliveries) Keep(ctx context.Context, tx *events.Tx, writer, upto int64) (int64, error) {
	var cursor int64
	if err := tx.Get(ctx, &cursor, `SELECT COALESCE(MAX(seq), 0) FROM delivery_cursors WHERE writer = ?`, writer); err != nil {
		return 0, fmt.Errorf("reading how far the log is fanned out: %w", err)
	}
	upto = min(upto, cursor)
	_, err := tx.Exec(ctx, `INSERT INTO delivery_bodies (message_id, subject, at, body)
		SELECT m.id, m.subject, m.at, m.body FROM messages m WHERE m.writer = ? AND m.seq <= ?
		AND EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.state <> 'delivered')
		ON CONFLICT (message_id) DO NOTHING`, writer, upto)
	if err != nil {
		return 0, fmt.Errorf("keeping messages for deliveries: %w", err)
	}
	return upto, nil
}

// held are those of these messages that are in the log. They stay until the change is committed: retention waits for it,
// and then sees which of them a delivery needs.
func held(ctx context.Context, tx *events.Tx, ids []string) (map[string]bool, error) {
	query, args, err := sqlx.In(`SELECT id FROM messages WHERE id IN (?) ORDER BY writer, seq`, ids)
	if err != nil {
		return nil, err
	}
	return stay(ctx, tx, query, args...)
}

// heldBody tells whether a message that has left the log was kept for deliveries. It stays likewise.
func heldBody(ctx context.Context, tx *events.Tx, id string) (bool, error) {
	there, err := stay(ctx, tx, `SELECT message_id FROM delivery_bodies WHERE message_id = ?`, id)
	return there[id], err
}

func stay(ctx context.Context, tx *events.Tx, query string, args ...any) (map[string]bool, error) {
	if tx.Postgres {
		query += ` FOR KEY SHARE`
	}
	var ids []string
	if err := tx.Select(ctx, &ids, query, args...); err != nil {
		return nil, fmt.Errorf("looking for messages: %w", err)
	}
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	return there, nil
}

// Pruners remove deliveries that have arrived, after the retention; those that are parked, after theirs; and all of
// endpoints that were deleted. They park what has waited too long for an endpoint that is disabled, and forget secrets that sign no
// more.
func (d *Deliveries) Pruners(retention, parked time.Duration) []events.Pruner {
	return []events.Pruner{
		d.expire,
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			return d.prune(ctx, tx, ` state = 'delivered' AND state <> 'waiting' AND settled_at < ? ORDER BY settled_at`, d.Now().Add(-retention).UnixMilli())
		},
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			return d.prune(ctx, tx, ` state = 'parked' AND state <> 'waiting' AND settled_at < ? ORDER BY settled_at`, d.Now().Add(-parked).UnixMilli())
		},
		d.pruneDeleted,
		d.pruneRest,
		d.Endpoints.forgetOldSecrets,
	}
}

// expire parks what has waited for longer than anything is tried, because its endpoint is disabled.
func (d *Deliveries) expire(ctx context.Context, tx *events.Tx) (int64, error) {
	var disabled []string
	if err := tx.Select(ctx, &disabled, `SELECT id FROM endpoints WHERE enabled = 0 ORDER BY id`); err != nil {
		return 0, err
	}
	now := d.Now()
	for _, id := range disabled {
		n, err := tx.Exec(ctx, `UPDATE deliveries SET state = 'parked', holder = '', due_at = 0, settled_at = ?
			WHERE endpoint_id = ? AND state = 'waiting' AND message_id IN (SELECT message_id FROM (
				SELECT message_id, round_at FROM deliveries WHERE endpoint_id = ? AND state = 'waiting' ORDER BY place LIMIT ?) AS oldest
				WHERE round_at < ?)`, now.UnixMilli(), id, id, events.PruneStep, now.Add(-giveUpAfter).UnixMilli())
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// prune removes one step of deliveries, with their attempts. SQLite wants an index's condition word for word.
func (d *Deliveries) prune(ctx context.Context, tx *events.Tx, where string, args ...any) (int64, error) {
	query := `SELECT message_id, endpoint_id FROM deliveries WHERE` + where + ` LIMIT ?`
	if tx.Postgres {
		query += ` FOR UPDATE SKIP LOCKED`
	}
	var keys []struct {
		Message  string `db:"message_id"`
		Endpoint string `db:"endpoint_id"`
	}
	if err := tx.Select(ctx, &keys, query, append(args, events.PruneStep)...); err != nil || len(keys) == 0 {
		return 0, err
	}
	args = make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, k.Message, k.Endpoint)
	}
	// As a table and not as a list, for which SQLite would look at every row there is.
	these := `WITH these (message, endpoint) AS (VALUES (?, ?)` + strings.Repeat(`, (?, ?)`, len(keys)-1) + `) DELETE FROM %s
		WHERE (message_id, endpoint_id) IN (SELECT message, endpoint FROM these)`
	if _, err := tx.Exec(ctx, fmt.Sprintf(these, "delivery_attempts"), args...); err != nil {
		return 0, err
	}
	return tx.Exec(ctx, fmt.Sprintf(these, "deliveries"), args...)
}

// pruneDeleted removes what belongs to endpoints that are gone. It goes from endpoint to endpoint in the index, and so
// reads few rows however many there are of each.
func (d *Deliveries) pruneDeleted(ctx context.Context, tx *events.Tx) (int64, error) {
	var gone []string
	const deleted = `WITH RECURSIVE ids (id) AS (
			SELECT MIN(endpoint_id) FROM deliveries
		UNION ALL
			SELECT (SELECT MIN(d.endpoint_id) FROM deliveries d WHERE d.endpoint_id > i.id) FROM ids i WHERE i.id IS NOT NULL)
		SELECT i.id FROM ids i WHERE i.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = i.id)`
	if err := tx.Select(ctx, &gone, deleted); err != nil {
		return 0, err
	}
	for _, id := range gone {
		// What is being sent stays until how that ended is stored, or nobody is expected to store it any more.
		if n, err := d.prune(ctx, tx, ` endpoint_id = ? AND (holder = '' OR due_at <= ?) ORDER BY message_id`, id, d.Now().UnixMilli()); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// pruneRest removes what nothing refers to any more.
func (d *Deliveries) pruneRest(ctx context.Context, tx *events.Tx) (int64, error) {
	n, err := pruneBodies(ctx, tx)
	if n > 0 || err != nil {
		return n, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM delivery_cursors WHERE NOT EXISTS (SELECT 1 FROM writers w WHERE w.id = delivery_cursors.writer)`); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM delivery_hours WHERE hour < ?`, d.Now().Add(-48*time.Hour).Unix()/3600)
	return 0, err
}

// pruneBodies removes messages that were kept for deliveries which have arrived since.
func pruneBodies(ctx context.Context, tx *events.Tx) (int64, error) {
	const unneeded = ` NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = b.message_id AND d.state <> 'delivered')`
	query := `SELECT b.message_id FROM delivery_bodies b WHERE` + unneeded + ` LIMIT ?`
	if tx.Postgres {
		query += ` FOR UPDATE SKIP LOCKED`
	}
	var ids []string
	if err := tx.Select(ctx, &ids, query, events.PruneStep); err != nil || len(ids) == 0 {
		return 0, err
	}
	// Asked once more: a delivery may have been asked for again before they were locked.
	query, args, err := sqlx.In(`DELETE FROM delivery_bodies AS b WHERE b.message_id IN (?) AND`+unneeded, ids)
	if err != nil {
		return 0, err
	}
	return tx.Exec(ctx, query, args...)
}
