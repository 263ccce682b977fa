package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
)

const (
	sweepEvery      = 30 * time.Second
	revokeFirstWait = 30 * time.Second
	revokeMaxWait   = time.Hour
	// stopFor covers a call to DoorFlow and the commit of what it gave.
	stopFor = askFor + 8*time.Second
)

// attempts of a revocation, in memory: after a restart it is tried at once.
type attempts struct {
	n   int
	due time.Time
}

// Run tries pending revocations again, forgets connections that were never completed, and counts. At the
// end it waits for the refreshes under way, so the log must outlive it.
func (k *Keeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := k.Sweep(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("looking after the connections failed; trying again", "error", err)
		}
		select {
		case <-ticker.C:
		case <-k.poke:
		case <-ctx.Done():
			k.finish()
			return nil
		}
	}
}

// Drain lets nothing new begin: who needs a refresh is told ErrUnavailable. A gateway that stops calls it
// first of all, so that what DoorFlow was asked before has the whole time of the stop to come back and be
// stored. Run waits for that.
func (k *Keeper) Drain() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
}

// finish waits for what is under way. A database that stays away must not keep the gateway from stopping:
// once the log closes, storing ends too.
func (k *Keeper) finish() {
	k.Drain()
	done := make(chan struct{})
	go func() {
		k.working.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopFor):
		k.log.Error("stopping although a refresh has not been stored")
	}
}

// Sweep is one round of Run. It is for Run and for tests, not for both at once.
func (k *Keeper) Sweep(ctx context.Context) error {
	return errors.Join(k.dropPending(ctx), k.retryRevocations(ctx), k.count(ctx))
}

func (k *Keeper) dropPending(ctx context.Context) error {
	const stale = ` FROM connections WHERE status = ? AND created_at <= ?`
	before := k.now().Add(-pendingFor).UnixMilli()
	var n int
	if err := k.db.Get(ctx, &n, `SELECT COUNT(*)`+stale, StatusPending, before); err != nil || n == 0 {
		return err
	}
	err := k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `DELETE`+stale, StatusPending, before)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping pending connections: %w", err)
	}
	return nil
}

func (k *Keeper) retryRevocations(ctx context.Context) error {
	var waiting []struct {
		Account string
		Revoke  []byte `db:"revoke_token"`
		Until   int64  `db:"revoke_until"`
	}
	if err := k.db.Select(ctx, &waiting, `SELECT account, revoke_token, revoke_until FROM connections WHERE revoke_token IS NOT NULL`); err != nil {
		return err
	}
	for _, w := range waiting {
		now := k.now()
		tried := k.tries[w.Account]
		if now.Before(tried.due) {
			continue
		}
		err := k.revoke(ctx, w.Account)
		switch {
		case err == nil:
			delete(k.tries, w.Account)
			k.log.Info("revoked at DoorFlow", "account", w.Account)
		case now.UnixMilli() >= w.Until:
			delete(k.tries, w.Account)
			k.log.Error("giving up revoking a disconnected account's token; revoke it in DoorFlow", "account", w.Account, "error", err)
			if err := k.wipe(ctx, w.Account, w.Revoke); err != nil {
				return err
			}
		default:
			tried.n++
			tried.due = now.Add(jitter(min(revokeFirstWait<<min(tried.n-1, 10), revokeMaxWait)))
			k.tries[w.Account] = tried
		}
	}
	return nil
}
