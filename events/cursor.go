package events

import (
	"context"
	"fmt"
	"time"
)

// keepCheckpoints is how far apart the checkpoints are that stay when newer ones come.
const keepCheckpoints = 10 * time.Second

// TakeOver makes the logs of dead writers ours: on SQLite all but our own, because the data directory is locked; on
// PostgreSQL those whose lease has run out. Fencing them first makes sure that they do not go on writing. Whoever reads the
// log for all replicas together, like the relay, reads what is ours.
func (l *Log) TakeOver(ctx context.Context) error {
	dead := `holder <> ?`
	if l.db.Postgres() {
		// A writer whose row is locked is either alive or being taken over by another; it must not hold us up.
		dead = `id IN (SELECT id FROM writers WHERE holder <> ? AND expires_at <= ` + l.db.Millis() + ` FOR UPDATE SKIP LOCKED)`
	}
	var adopted int64
	err := l.DoUrgent(ctx, func(ctx context.Context, tx *Tx) (err error) {
		adopted, err = tx.Exec(ctx, `UPDATE writers SET fenced = 1, holder = ?, expires_at = `+l.db.Millis()+` + ? WHERE `+dead,
			l.holder, writerLease.Milliseconds(), l.holder)
		return err
	})
	if err != nil {
		return fmt.Errorf("taking over dead writers: %w", err)
	}
	if adopted > 0 {
		l.log.Info("took over the log of earlier processes", "writers", adopted)
	}
	return nil
}

// adopt takes over what dead writers have left.
func (r *Relay) adopt(ctx context.Context) error {
	if err := r.log.TakeOver(ctx); err != nil {
		return err
	}
	return r.poll(ctx)
}

// poll reads which writers are ours and how far their logs go.
func (r *Relay) poll(ctx context.Context) error {
	began := time.Now()
	var rows []struct{ ID, Head, Fenced int64 }
	if err := r.db.Select(ctx, &rows, `SELECT id, head, fenced FROM writers WHERE holder = ?`, r.log.holder); err != nil {
		return fmt.Errorf("reading the writers: %w", err)
	}
	ours := map[int64]bool{}
	for _, row := range rows {
		ours[row.ID] = true
		l := r.lanes[row.ID]
		if l == nil {
			l = &lane{writer: row.ID, next: 1, unheard: row.Fenced == 0}
			r.lanes[row.ID] = l
		}
		l.head = max(l.head, row.Head)
	}
	for writer := range r.lanes {
		if !ours[writer] {
			delete(r.lanes, writer) // another process took it over, or it was pruned away
		}
	}
	r.owned = began
	r.measure()
	return nil
}

// stillOwner tells whether the lanes are surely ours: a process that was stopped for longer than the
// lease must look before it publishes, because another may have done so.
func (r *Relay) stillOwner() bool {
	return !r.db.Postgres() || time.Since(r.owned) < writerLease
}

// saveCursors stores how far each lane has come. It keeps a checkpoint every ten seconds; in between, a
// newer one replaces the last.
func (r *Relay) saveCursors(ctx context.Context, final bool) error {
	// The change may run after ctx has ended and the relay has gone on, so it has copies.
	type step struct {
		lane          *lane
		writer, saved int64
		passing       bool
		reached       checkpoint
	}
	var steps []step
	for _, l := range r.lanes {
		if l.ready && l.acked > l.saved && l.acked >= l.hold && (final || l.idle() || time.Since(l.savedAt) >= saveEvery) {
			reached := checkpoint{Seq: l.acked, MessageID: l.top.id, StreamSeq: l.top.seq, StreamCreated: r.created}
			steps = append(steps, step{lane: l, writer: l.writer, saved: l.saved, passing: l.passing, reached: reached})
		}
	}
	if len(steps) == 0 {
		return nil
	}
	now := time.Now()
	err := r.log.DoUrgent(ctx, func(ctx context.Context, tx *Tx) error {
		for _, s := range steps {
			var held int
			const ours = `SELECT COUNT(*) FROM writers WHERE id = ? AND holder = ?`
			if err := tx.Get(ctx, &held, ours, s.writer, r.log.holder); err != nil {
				return err
			}
			if held == 0 {
				continue // taken over; the next poll will tell
			}
			if s.passing {
				const replace = `DELETE FROM relay_checkpoints WHERE writer = ? AND seq = ?`
				if _, err := tx.Exec(ctx, replace, s.writer, s.saved); err != nil {
					return err
				}
			}
			if err := insertCheckpoint(ctx, tx, s.writer, s.reached); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("saving the relay's cursors: %w", err)
	}
	for _, s := range steps {
		l := s.lane
		l.saved, l.savedAt = s.reached.Seq, now
		if l.passing = now.Sub(l.keptAt) < keepCheckpoints; !l.passing {
			l.keptAt = now
		}
		r.floor = max(r.floor, s.reached.StreamSeq)
	}
	return nil
}

// insertCheckpoint stores one.
func insertCheckpoint(ctx context.Context, tx *Tx, writer int64, c checkpoint) error {
	_, err := tx.Exec(ctx, `INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (writer, seq) DO UPDATE SET message_id = excluded.message_id,
		stream_seq = excluded.stream_seq, stream_created = excluded.stream_created, at = excluded.at`,
		writer, c.Seq, c.MessageID, c.StreamSeq, c.StreamCreated, time.Now().UnixMilli())
	return err
}

// Behind is how many messages of this process's writers are in the log and not yet behind a cursor.
func (r *Relay) Behind(ctx context.Context) (int64, error) {
	var n int64
	err := r.db.Get(ctx, &n, `SELECT COALESCE(SUM(w.head - COALESCE((SELECT MAX(c.seq) FROM relay_checkpoints c WHERE c.writer = w.id), 0)), 0)
		FROM writers w WHERE w.holder = ?`, r.log.holder)
	return n, err
}
