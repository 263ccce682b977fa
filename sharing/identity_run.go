package sharing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/events"
)

const (
	// roundEvery is how long Run rests when nobody wakes it.
	roundEvery = 5 * time.Second
	// roundLease is how long a replica that died keeps the others from looking after the identities.
	roundLease = 30 * time.Second
	// roundSize is how many identities one round takes on, and atOnce how many of them at a time.
	roundSize, atOnce = 64, 4
	// maxAhead is how far ahead a look can lie: further than checkEvery or any back-off, but for a day that
	// Doordeck may ask for. What lies further was put there by a clock that was wrong.
	maxAhead = 25 * time.Hour
)

// Run registers new identities, renews what has to be renewed, and checks the others, on one replica at a time.
// It ends with ctx; what was under way is taken up again by the next look.
func (i *Identities) Run(ctx context.Context) error {
	lease := i.db.NewLease("identities", roundLease)
	defer lease.Release(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	first := true
	for {
		select {
		case <-timer.C:
		case <-i.poke:
		case <-ctx.Done():
			return nil
		}
		held, err := lease.Acquire(ctx)
		if held {
			end := lease.Renew(ctx)
			err = i.round(ctx, first)
			first = first && err != nil
			end()
		}
		if err := errors.Join(err, i.count(ctx)); err != nil && ctx.Err() == nil {
			i.log.Warn("looking after the identities failed; trying again", "error", err)
		}
		timer.Reset(roundEvery)
	}
}

// round looks once after those whose time has come. The first round of a process also takes those that failed:
// perhaps it was started with a better configuration.
func (i *Identities) round(ctx context.Context, first bool) error {
	if first {
		if err := i.hope(ctx); err != nil {
			return err
		}
	}
	now := i.now()
	var names []string
	err := i.db.Select(ctx, &names, `SELECT name FROM identities WHERE deleted_at = 0 AND (due_at <= ? OR due_at > ?) ORDER BY due_at LIMIT ?`,
		now.UnixMilli(), now.Add(maxAhead).UnixMilli(), roundSize)
	if err != nil {
		return fmt.Errorf("looking whose time has come: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, name := range names {
		group.Go(func() error { return i.tend(ctx, name) })
	}
	err = group.Wait()
	if len(names) == roundSize {
		i.wake()
	}
	return err
}

func (i *Identities) hope(ctx context.Context) error {
	return i.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE identities SET due_at = ? WHERE deleted_at = 0 AND status = ?`, i.now().UnixMilli(), StatusFailed)
		return err
	})
}

// tend looks after one identity, unless somebody else does.
func (i *Identities) tend(ctx context.Context, name string) error {
	t := &turn{Identities: i, lease: i.db.NewLease("identity/"+name, turnLife)}
	held, err := t.lease.Acquire(ctx)
	if err != nil || !held {
		return err
	}
	defer t.lease.Release(ctx)
	err = t.do(ctx, name, func(ctx context.Context, t *turn) error {
		now := i.now()
		if due := when(t.row.DueAt); due.After(now) && due.Before(now.Add(maxAhead)) {
			return nil // somebody has just looked
		}
		return t.look(ctx, false)
	})
	_, away := errors.AsType[*AwayError](err)
	switch {
	case away:
		i.log.Warn("an identity could not be registered; trying again", "identity", name, "error", err)
		return nil
	case err == nil, errors.Is(err, ErrNoIdentity), errors.Is(err, ErrBusy), ctx.Err() != nil:
		return nil
	}
	return fmt.Errorf("looking after identity %s: %w", name, err)
}

// doubtAfter is how long after a look an identity is not doubted.
const doubtAfter = time.Minute

// Doubt has an identity checked soon: Doordeck has refused what was signed as it.
func (i *Identities) Doubt(ctx context.Context, name string) error {
	now := i.now()
	err := i.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE identities SET due_at = ? WHERE name = ? AND deleted_at = 0 AND status = ? AND attempts = 0 AND due_at > ? AND checked_at < ?`,
			now.UnixMilli(), name, StatusReady, now.UnixMilli(), now.Add(-doubtAfter).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("doubting identity %s: %w", name, err)
	}
	i.wake()
	return nil
}
