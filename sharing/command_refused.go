package sharing

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

// noteRefused records that somebody asked for what they may not ask for, and returns why that is refused, or that
// it could not be recorded.
func (o *Operations) noteRefused(ctx context.Context, op *operation, why error) error {
	entry := audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: "operation." + op.Type, Target: op.Identity + " " + op.Lock, Outcome: audit.Refused,
	}
	err := o.store.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording that an operation is refused: %w", err)
	}
	return why
}

// refuse says, once, that a command has failed before anything was stored of it, and records it. The id in it stays
// free: who corrects the command may use it.
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
	entry := audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: "operation." + a.Type, Target: a.Identity + " " + place + " " + a.Error, Outcome: audit.Refused,
	}
	return o.store.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO refused_commands (place, at) VALUES (?, ?) ON CONFLICT (place) DO NOTHING`, place, now.UnixMilli())
		if err != nil || n == 0 {
			return err
		}
		tx.Append(said)
		_, err = audit.Record(ctx, tx.Tx, entry)
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
