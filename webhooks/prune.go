package webhooks

import (
	"context"
	"time"

	"gatehouse/events"
)

const (
	// keepKeys is how long what has been seen is remembered at least: longer than DoorFlow sends a
	// webhook again, and longer than a wide look at DoorFlow's own list reaches back from now.
	keepKeys = 7 * 24 * time.Hour
	// keepBehind is from how long before an account's watermark on the keys of its events stay, however old:
	// when it reconnects, the look begins an overlap before. The rest is for clocks that differ: the
	// watermark is a time of DoorFlow's, a key's age goes by ours.
	keepBehind = overlap + 24*time.Hour
	// keepUnconnected is how many open notifications are kept of an account that is not connected.
	keepUnconnected = 10_000
)

// Pruners removes notifications that are settled and keys that are old, and what has piled up for
// accounts that nobody connects. Open notifications of connected accounts stay, however old.
func (f *Fetcher) Pruners(retention time.Duration) []events.Pruner {
	keep := max(retention, keepKeys)
	return []events.Pruner{
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			const query = `DELETE FROM notifications WHERE key IN (SELECT key FROM notifications
				WHERE received_at < ? AND state IN ('done', 'gone', 'flagged') ORDER BY received_at LIMIT ?)`
			return tx.Exec(ctx, query, time.Now().Add(-keep).UnixMilli(), events.PruneStep)
		},
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			// Catching up may have said an event whose notification still waits to be fetched.
			const query = `DELETE FROM events WHERE (account, event_id) IN (SELECT e.account, e.event_id FROM events e WHERE e.at < ?
				AND NOT EXISTS (SELECT 1 FROM catchup k WHERE k.account = e.account AND e.at >= k.watermark - ?)
				AND (e.account, e.event_id) NOT IN (SELECT account, resource_id FROM notifications WHERE state = 'open'
					UNION ALL SELECT account, resource_id FROM notifications WHERE state = 'parked')
				ORDER BY e.at LIMIT ?)`
			return tx.Exec(ctx, query, time.Now().Add(-keep).UnixMilli(), keepBehind.Milliseconds(), events.PruneStep)
		},
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			return pruneUnconnected(ctx, tx, time.Now().Add(-keep).UnixMilli())
		},
	}
}

// unconnected lists the accounts that nobody has connected and that have notifications in a state. It goes
// from account to account in the index, and so reads few rows however many there are of each.
func unconnected(state string) string {
	return `WITH RECURSIVE accounts (account) AS (
			SELECT MIN(account) FROM notifications WHERE state = '` + state + `'
		UNION ALL
			SELECT (SELECT MIN(n.account) FROM notifications n WHERE n.state = '` + state + `' AND n.account > a.account)
			FROM accounts a WHERE a.account IS NOT NULL)
		SELECT a.account FROM accounts a WHERE a.account IS NOT NULL AND NOT EXISTS (
			SELECT 1 FROM connections c WHERE c.account = a.account AND c.status IN ('active', 'reauthorize'))`
}

func pruneUnconnected(ctx context.Context, tx *events.Tx, cutoff int64) (int64, error) {
	var parked, open []string
	if err := tx.Select(ctx, &parked, unconnected(stateParked)); err != nil {
		return 0, err
	}
	const old = `DELETE FROM notifications WHERE key IN (
		SELECT key FROM notifications WHERE account = ? AND state = 'parked' AND received_at < ? LIMIT ?)`
	for _, account := range parked {
		if n, err := tx.Exec(ctx, old, account, cutoff, events.PruneStep); n > 0 || err != nil {
			return n, err
		}
	}
	if err := tx.Select(ctx, &open, unconnected(stateOpen)); err != nil {
		return 0, err
	}
	// Those beyond the number that is kept, the oldest first, and those that are too old.
	const last = `SELECT COALESCE(MAX(due_at), 0) FROM (SELECT due_at FROM notifications
		WHERE account = ? AND state = 'open' ORDER BY due_at DESC LIMIT 1 OFFSET ?) AS kept`
	const oldest = `DELETE FROM notifications WHERE key IN (
		SELECT key FROM notifications WHERE account = ? AND state = 'open' AND due_at <= ? ORDER BY due_at LIMIT ?)`
	for _, account := range open {
		var crowded int64
		if err := tx.Get(ctx, &crowded, last, account, keepUnconnected); err != nil {
			return 0, err
		}
		if n, err := tx.Exec(ctx, oldest, account, max(crowded, cutoff), events.PruneStep); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}
