package events

import (
	"context"
	"fmt"
)

const (
	// followBatch bounds how many bodies a follower holds at once, followSpan how many rows one query
	// looks at for a filter that lets few pass.
	followBatch = 32
	followSpan  = 5_000
)

// follower reads the log forward, each message once, whatever process wrote it.
type follower struct {
	history *History
	filter  Filter
	at      bookmark
}

// follow starts at a bookmark, or with what comes from now on when it is nil.
func (h *History) follow(ctx context.Context, f Filter, from *bookmark) (*follower, error) {
	if from != nil {
		return &follower{h, f, *from}, nil
	}
	writers, err := h.writers(ctx)
	if err != nil {
		return nil, err
	}
	return &follower{h, f, here(writers)}, nil
}

func (h *History) writers(ctx context.Context) ([]writerState, error) {
	var writers []writerState
	// Head and fence come from one statement: a writer that is fenced here has no more than its head.
	if err := h.db.Select(ctx, &writers, `SELECT id, head, fenced FROM writers ORDER BY id`); err != nil {
		return nil, fmt.Errorf("reading the writers: %w", err)
	}
	return writers, nil
}

// catchUp hands everything that is committed and not yet read to emit. While emit runs, f.at stands just
// behind the message it was given.
func (f *follower) catchUp(ctx context.Context, emit func(Stored) error) error {
	writers, err := f.history.writers(ctx)
	if err != nil {
		return err
	}
	f.at.meet(writers)
	for _, w := range writers {
		if read, open := f.at.read[w.ID]; !open || read >= w.Head {
			continue
		}
		if err := f.readWriter(ctx, w, emit); err != nil {
			return err
		}
	}
	f.at.settle(writers)
	return nil
}

func (f *follower) readWriter(ctx context.Context, w writerState, emit func(Stored) error) error {
	where, args := f.filter.where()
	query := `SELECT ` + columns + ` FROM messages WHERE writer = ? AND seq > ? AND seq <= ?` + where + ` ORDER BY seq LIMIT ?`
	for read := f.at.read[w.ID]; read < w.Head; {
		upto := w.Head
		if !f.filter.empty() {
			upto = min(upto, read+followSpan)
		}
		var rows []Row
		if err := f.history.db.Select(ctx, &rows, query, append(append([]any{w.ID, read, upto}, args...), followBatch)...); err != nil {
			return fmt.Errorf("reading the log of writer %d: %w", w.ID, err)
		}
		for _, r := range rows {
			f.at.read[w.ID] = r.Seq
			if !f.filter.Match(r.Account, r.Subject) || !f.filter.about(r.Body) {
				continue
			}
			if err := emit(r.stored()); err != nil {
				return err
			}
		}
		if read = upto; len(rows) == followBatch {
			read = rows[len(rows)-1].Seq
		}
		f.at.read[w.ID] = read
	}
	return nil
}
