package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

const (
	// revokeFor is how long a revocation that DoorFlow did not confirm is tried again.
	revokeFor = 72 * time.Hour
	// disconnectWait is how long a refresh under way is waited for. It is a courtesy: a pair that comes
	// later is discarded.
	disconnectWait = 3 * time.Second
)

// Disconnect ends a connection: its tokens are wiped and revoked at DoorFlow. What is not revoked at
// once, Run tries again for three days; the connection is disconnected all the same. Only this advances
// the generation.
func (k *Keeper) Disconnect(ctx context.Context, account string) (revoked bool, err error) {
	if _, err := k.read(ctx, account); err != nil {
		return false, err
	}
	if !k.begin() {
		return false, unavailable(account, errors.New("the gateway is stopping"))
	}
	defer k.working.Done()
	by := audit.ActorFrom(ctx)
	// Half a disconnection helps nobody, so it does not end with the caller's request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workFor)
	defer cancel()

	l := k.newLease(account)
	waiting, stop := context.WithTimeout(ctx, disconnectWait)
	held, _ := l.Wait(waiting, func() (bool, error) { return false, nil })
	stop()
	if held {
		defer l.Release(ctx)
	}
	err = k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error { return k.storeDisconnected(ctx, tx, account, by) })
	if err != nil {
		return false, fmt.Errorf("disconnecting account %s: %w", account, err)
	}
	k.pace.forget(account)
	k.changed()
	k.log.Info("disconnected", "account", account)
	if err := k.revoke(ctx, account); err != nil {
		k.log.Warn("DoorFlow did not confirm the revocation; trying again", "account", account, "error", err)
		return false, nil
	}
	return true, nil
}

// storeDisconnected wipes the tokens, but for the one that has to be shown to DoorFlow to revoke it.
func (k *Keeper) storeDisconnected(ctx context.Context, tx *events.Tx, account string, by audit.Actor) error {
	r, err := lock(ctx, tx, account)
	if err != nil || r.Status == StatusDisconnected {
		return err
	}
	sealed, until := r.Revoke, r.RevokeUntil
	if len(r.Refresh) > 0 {
		refresh, err := k.vault.Open(place(account, "refresh_token"), r.Refresh)
		if err == nil {
			sealed, err = k.vault.Seal(place(account, "revoke_token"), refresh)
		}
		if err != nil {
			return err
		}
		until = k.now().Add(revokeFor).UnixMilli()
	}
	if _, err := tx.Exec(ctx, `UPDATE connections SET status = ?, reason = '', generation = generation + 1, access_token = NULL,
		refresh_token = NULL, revoke_token = ?, revoke_until = ?, expires_at = 0, scopes = '', forbidden = '' WHERE account = ?`,
		StatusDisconnected, sealed, until, account); err != nil {
		return err
	}
	if k.OnDisconnect != nil {
		if err := k.OnDisconnect(ctx, tx, account); err != nil {
			return err
		}
	}
	if _, err := audit.Record(ctx, tx.Tx, audit.Entry{
		Actor: by, Action: "connection.disconnect", Account: account, Target: account, Outcome: audit.Done,
	}); err != nil {
		return err
	}
	return k.say(tx, account, StatusDisconnected, "", nil)
}

// revoke ends the kept token at DoorFlow and wipes it; nothing to revoke is success.
func (k *Keeper) revoke(ctx context.Context, account string) error {
	r, err := k.read(ctx, account)
	if err != nil || len(r.Revoke) == 0 {
		return err
	}
	token, err := k.vault.Open(place(account, "revoke_token"), r.Revoke)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	err = k.oauth.Revoke(asking, token)
	cancel()
	if err != nil {
		return err
	}
	return k.wipe(ctx, account, r.Revoke)
}

// wipe forgets the token that was kept for its revocation, unless another has come in its place.
func (k *Keeper) wipe(ctx context.Context, account string, sealed []byte) error {
	return k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE connections SET revoke_token = NULL, revoke_until = 0 WHERE account = ? AND revoke_token = ?`,
			account, sealed)
		return err
	})
}
