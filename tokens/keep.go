package tokens

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// keep stores a rotated pair. DoorFlow has ended the old one, so this does not stop for a full queue, a
// database that is away, or anybody's context; only for a log that has closed, or a row that has moved on.
func (k *Keeper) keep(ctx context.Context, l *sqldb.Lease, from row, pair Pair) error {
	ctx = context.WithoutCancel(ctx)
	defer l.Renew(ctx)()
	var restored bool
	waits := sync.OnceFunc(func() {
		k.log.Error("a rotated token waits in memory for the database: it is lost if the gateway stops before that is back", "account", from.Account)
	})
	err := k.untilStored(ctx, waits, func(ctx context.Context, tx *events.Tx) error {
		// Sealed at each attempt: while this one waits for the database, another key may come into use.
		sealed, err := k.seal(from.Account, pair)
		if err != nil {
			return err
		}
		restored, err = k.storeRotated(ctx, tx, from, sealed, pair.Access)
		return err
	})
	if err != nil && !errors.Is(err, errSuperseded) {
		k.log.Error("storing a rotated token without its message", "account", from.Account, "error", err)
		direct, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		var sealed sealedPair
		if sealed, err = k.seal(from.Account, pair); err == nil {
			err = k.storeDirectly(direct, from, sealed)
		}
	}
	if errors.Is(err, errSuperseded) {
		k.metrics.refreshes.WithLabelValues("superseded").Inc()
		k.discard(ctx, from, pair.Refresh)
		return err
	}
	if err != nil {
		k.log.Error("a rotated token could not be stored", "account", from.Account, "error", err)
		return err
	}
	if restored {
		k.log.Info("a late token pair restored the connection", "account", from.Account)
		k.nowActive(from.Account)
	}
	return nil
}

// untilStored hands a change to the log until it has been decided: stored, refused for what it is, or
// the log has closed. Each time that it has to wait it says so.
func (k *Keeper) untilStored(ctx context.Context, waits func(), change func(context.Context, *events.Tx) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := k.events.DoUrgent(ctx, change)
		if err == nil || errors.Is(err, events.ErrStorage) || errors.Is(err, events.ErrOverloaded) {
			return struct{}{}, err
		}
		return struct{}{}, backoff.Permanent(err)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(error, time.Duration) { waits() }))
	return err
}

// discard revokes a pair that came too late. Where the row changed because another process refreshed
// from the same token, it is only dropped: revoking it might end the whole family.
func (k *Keeper) discard(ctx context.Context, from row, refresh vault.Secret) {
	current, err := k.read(ctx, from.Account)
	if err == nil && current.Generation == from.Generation && current.ConnectedAt == from.ConnectedAt {
		return
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if k.oauth.Revoke(asking, refresh) == nil {
		return
	}
	sealed, err := k.vault.Seal(place(from.Account, "revoke_token"), refresh)
	if err == nil {
		err = k.events.DoUrgent(asking, func(ctx context.Context, tx *events.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE connections SET revoke_token = ?, revoke_until = ? WHERE account = ? AND revoke_token IS NULL`,
				sealed, k.now().Add(revokeFor).UnixMilli(), from.Account)
			return err
		})
	}
	if err != nil {
		k.log.Warn("a token pair that came too late could not be revoked", "account", from.Account, "error", err)
	}
}

// nowActive does what follows the commit that made a connection active.
func (k *Keeper) nowActive(account string) {
	k.pace.forget(account)
	k.changed()
	if k.AfterActive != nil {
		k.AfterActive(account)
	}
}

// changed lets Run count the connections again.
func (k *Keeper) changed() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}
