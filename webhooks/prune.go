package webhooks

import (
	"context"
	"time"

	"gatehouse/events"
)

const (
	// keepKeys is how long what has been seen is remembered at least: longer than DoorFlow sends a
	// webhook again, and longer than comparing with DoorFlow's own list reaches back.
	keepKeys = 7 * 24 * time.Hour
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
				WHERE received_at < ? AND (state NOT IN ('open', 'parked') OR NOT EXISTS (
					SELECT 1 FROM connections c WHERE c.account = notifications.account AND c.status IN ('active', 'reauthorize')))
				LIMIT ?)`
			return tx.Exec(ctx, query, time.Now().Add(-keep).UnixMilli(), events.PruneStep)
		},
		func(ctx context.Context, tx *events.Tx) (int64, error) {
			const query = `DELETE FROM events WHERE at < ? AND at <= (SELECT COALESCE(MAX(at), 0) FROM
				(SELECT at FROM events WHERE at < ? ORDER BY at LIMIT ?) AS oldest)`
			cutoff := time.Now().Add(-keep).UnixMilli()
			return tx.Exec(ctx, query, cutoff, cutoff, events.PruneStep)
		},
		f.pruneUnconnected,
	}
}

func (f *Fetcher) pruneUnconnected(ctx context.Context, tx *events.Tx) (int64, error) {
	var accounts []string
	const crowded = `SELECT n.account FROM notifications n WHERE n.state = 'open' AND NOT EXISTS (
			SELECT 1 FROM connections c WHERE c.account = n.account AND c.status IN ('active', 'reauthorize'))
		GROUP BY n.account HAVING COUNT(*) > ? LIMIT 1`
	if err := tx.Select(ctx, &accounts, crowded, keepUnconnected); err != nil || len(accounts) == 0 {
		return 0, err
	}
	const oldest = `DELETE FROM notifications WHERE key IN (
		SELECT key FROM notifications WHERE account = ? AND state = 'open' ORDER BY due_at LIMIT ?)`
	return tx.Exec(ctx, oldest, accounts[0], events.PruneStep)
}
