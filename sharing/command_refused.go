package sharing

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/events"
)

// refuse says, once, that a command has failed before anything was stored of it. The id in it stays free: who
// corrects the command may use it.
func (o *Operations) refuse(ctx context.Context, place string, a Answer) error {
	now := o.now()
	a.FinishedAt = when(now.UnixMilli())
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("saying that a command failed: %w", err)
	}
	said, err := events.NewMessage(events.OperationTopic(a.Identity, string(a.Status)), now, data).Encode()
	if err != nil {
		return fmt.Errorf("saying that a command failed: %w", err)
	}
	return o.store.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO refused_commands (place, at) VALUES (?, ?) ON CONFLICT (place) DO NOTHING`, place, now.UnixMilli())
		if err == nil && n > 0 {
			tx.Append(said)
		}
		return err
	})
}

// refused tells whether it has been said that a command failed.
func (o *Operations) refused(ctx context.Context, place string) (bool, error) {
	var n int
	if err := o.db.Get(ctx, &n, `SELECT COUNT(*) FROM refused_commands WHERE place = ?`, place); err != nil {
		return false, fmt.Errorf("looking for a command that failed: %w", err)
	}
	return n > 0, nil
}

// CommandPruner forgets commands that were refused when none of them can come again.
func (o *Operations) CommandPruner() events.Pruner {
	return func(ctx context.Context, tx *events.Tx) (int64, error) {
		return tx.Exec(ctx, `DELETE FROM refused_commands WHERE place IN (SELECT place FROM refused_commands WHERE at < ? ORDER BY at LIMIT ?)`,
			o.now().Add(-keepOperations).UnixMilli(), events.PruneStep)
	}
}
