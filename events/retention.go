package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	pruneEvery = time.Minute
	// PruneStep is how many rows one step removes at most: few enough that a webhook waiting for the
	// same commit does not notice.
	PruneStep = 500
)

// Pruner removes at most PruneStep rows that nobody needs any more, and returns how many it removed.
type Pruner func(ctx context.Context, tx *Tx) (int64, error)

// Retention removes what is old, in small steps through the log.
type Retention struct {
	log    *Log
	logger *slog.Logger
	prune  []Pruner
}

// NewRetention makes one; the first pruners run first.
func NewRetention(l *Log, logger *slog.Logger, prune ...Pruner) *Retention {
	return &Retention{l, logger, prune}
}

// Run prunes every minute until ctx ends.
func (r *Retention) Run(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.logger.Warn("old rows were not removed; trying again in a minute", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep removes everything that is due.
func (r *Retention) Sweep(ctx context.Context) error {
	for _, prune := range r.prune {
		for {
			var removed int64
			err := r.log.Do(ctx, func(ctx context.Context, tx *Tx) (err error) {
				removed, err = prune(ctx, tx)
				return err
			})
			if err != nil && !errors.Is(err, ErrOverloaded) {
				return err
			}
			if err == nil && removed == 0 {
				break
			}
			// Others first: whoever came meanwhile goes into the next commit.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// Keep is asked by who else reads the log, before messages of a writer up to a place are removed in the same
// transaction. It returns up to where they may be.
type Keep func(ctx context.Context, tx *Tx, writer, upto int64) (int64, error)

// PruneMessages removes messages older than the retention, of this process's writers, that have been
// relayed and that nobody else keeps, then checkpoints that stand for nothing any more, then writers without messages.
func PruneMessages(l *Log, retention time.Duration, keep ...Keep) Pruner {
	return func(ctx context.Context, tx *Tx) (int64, error) {
		cutoff := time.Now().Add(-retention).UnixMilli()
		var writers []struct{ ID, Cursor int64 }
		const ours = `SELECT w.id AS id, COALESCE((SELECT MAX(c.seq) FROM relay_checkpoints c WHERE c.writer = w.id), 0) AS cursor
			FROM writers w WHERE w.holder = ?`
		if err := tx.Select(ctx, &writers, ours, l.holder); err != nil {
			return 0, fmt.Errorf("reading the writers: %w", err)
		}
		for _, w := range writers {
			n, err := pruneWriter(ctx, tx, w.ID, w.Cursor, cutoff, keep)
			if n > 0 || err != nil {
				return n, err
			}
		}
		const empty = `DELETE FROM writers WHERE holder = ? AND fenced = 1
			AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.writer = writers.id)`
		if _, err := tx.Exec(ctx, empty, l.holder); err != nil {
			return 0, fmt.Errorf("removing writers: %w", err)
		}
		_, err := tx.Exec(ctx, `DELETE FROM relay_checkpoints WHERE NOT EXISTS (SELECT 1 FROM writers w WHERE w.id = relay_checkpoints.writer)`)
		return 0, err
	}
}

// pruneWriter removes up to PruneStep of a writer's oldest messages. They lie in the order of time.
func pruneWriter(ctx context.Context, tx *Tx, writer, cursor, cutoff int64, keep []Keep) (int64, error) {
	var last int64
	const query = `SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq, at FROM messages WHERE writer = ? ORDER BY seq LIMIT ?) AS oldest
		WHERE at < ? AND seq <= ?`
	if err := tx.Get(ctx, &last, query, writer, PruneStep, cutoff, cursor); err != nil || last == 0 {
		return 0, err
	}
	if tx.Postgres {
		// Whoever holds one of them may be making something of it. That is waited for, and seen by those who keep.
		const lock = `SELECT 1 FROM messages WHERE writer = ? AND seq <= ? ORDER BY seq FOR UPDATE`
		if _, err := tx.Exec(ctx, lock, writer, last); err != nil {
			return 0, fmt.Errorf("locking old messages: %w", err)
		}
	}
	for _, k := range keep {
		var err error
		if last, err = k(ctx, tx, writer, last); err != nil {
			return 0, err
		}
	}
	n, err := tx.Exec(ctx, `DELETE FROM messages WHERE writer = ? AND seq <= ?`, writer, last)
	if err != nil {
		return 0, fmt.Errorf("removing old messages: %w", err)
	}
	// The newest checkpoint is the cursor and stays.
	_, err = tx.Exec(ctx, `DELETE FROM relay_checkpoints WHERE writer = ? AND seq < ? AND seq < ?`, writer, last, cursor)
	return n, err
}
