package tokens

import (
	"context"
	"errors"
	"strings"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

var errFreshRejected = errors.New("a token that DoorFlow has only just given is refused")

// refresh is one flight: it paces, falls back on a live token, and counts how it went.
func (k *Keeper) refresh(ctx context.Context, account string, rejected vault.Secret) (vault.Secret, error) {
	err := k.pace.blocked(account, k.now())
	if err == nil {
		var token vault.Secret
		if token, err = k.refreshHeld(ctx, account, rejected); err == nil {
			return token, nil
		}
		if errors.Is(err, ErrNeedsReconnect) || errors.Is(err, ErrNotConnected) {
			return vault.Secret{}, err
		}
		k.failed(account, err)
	}
	if rejected.IsZero() {
		// The context may have run out; this is one read.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if r, unread := k.connected(ctx, account); unread == nil && r.live(k.now()) {
			return k.access(r)
		}
	}
	return vault.Secret{}, unavailable(account, err)
}

// failed notes a failure that may pass. Wrong client credentials do not pass by themselves, so they are
// loud, but once a minute will do for all accounts.
func (k *Keeper) failed(account string, err error) {
	now := k.now()
	k.pace.failed(account, now, err)
	if !isMisconfigured(err) {
		k.metrics.refreshes.WithLabelValues("transient").Inc()
		k.log.Warn("a token could not be refreshed; trying again", "account", account, "error", err)
		return
	}
	k.metrics.refreshes.WithLabelValues("misconfigured").Inc()
	k.mu.Lock()
	quiet := !k.loud.IsZero() && now.Sub(k.loud) < time.Minute
	if !quiet {
		k.loud = now
	}
	k.mu.Unlock()
	if !quiet {
		k.log.Error("DoorFlow refuses this gateway's client id or secret: no token can be refreshed; check GATEHOUSE_DOORFLOW_CLIENT_ID and _CLIENT_SECRET",
			"account", account, "error", err)
	}
}

// refreshHeld takes the lease, reads the row again and refreshes unless somebody else just did.
func (k *Keeper) refreshHeld(ctx context.Context, account string, rejected vault.Secret) (vault.Secret, error) {
	var token vault.Secret
	look := func() (bool, error) {
		r, err := k.connected(ctx, account)
		if err != nil {
			return false, err
		}
		var done bool
		token, done, err = k.settled(r, rejected)
		return done, err
	}
	l := k.newLease(account)
	held, err := l.Wait(ctx, look)
	if err != nil {
		return vault.Secret{}, err
	}
	if held {
		defer l.Release(ctx)
	}
	for range 3 {
		r, err := k.connected(ctx, account)
		if err != nil {
			return vault.Secret{}, err
		}
		var done bool
		if token, done, err = k.settled(r, rejected); done || err != nil {
			k.metrics.refreshes.WithLabelValues("reused").Inc()
			return token, err
		}
		if !held { // the row was settled a moment ago and no longer is
			break
		}
		token, err = k.ask(ctx, l, r, rejected)
		if !errors.Is(err, errSuperseded) {
			return token, err
		}
	}
	return vault.Secret{}, errSuperseded
}

// ask refreshes at DoorFlow and stores what comes. errSuperseded means that the row has changed
// meanwhile and should be looked at again.
func (k *Keeper) ask(ctx context.Context, l *sqldb.Lease, r row, rejected vault.Secret) (vault.Secret, error) {
	// A replica whose clock is ahead may have refreshed it in our future: that is no fresher than as long ago.
	if age := k.now().Sub(time.UnixMilli(r.RefreshedAt)).Abs(); !rejected.IsZero() && age < k.pace.rest(r.Account) {
		return vault.Secret{}, errFreshRejected
	}
	old, err := k.vault.Open(place(r.Account, "refresh_token"), r.Refresh)
	if err != nil {
		return vault.Secret{}, err
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	pair, err := k.oauth.Refresh(asking, old)
	cancel()
	switch {
	case isRevoked(err):
		return vault.Secret{}, k.giveUp(ctx, r)
	case err != nil:
		return vault.Secret{}, err
	case pair.Access.IsZero():
		return vault.Secret{}, errors.New("DoorFlow's reply held no access token")
	}
	if pair.Refresh.IsZero() {
		pair.Refresh = old
	}
	if pair.ExpiresAt.IsZero() {
		pair.ExpiresAt = k.now().Add(time.Hour)
	}
	if len(pair.Scopes) == 0 {
		pair.Scopes = strings.Fields(r.Scopes)
	}
	if err := k.keep(ctx, l, r, pair); err != nil {
		return vault.Secret{}, err
	}
	k.metrics.refreshes.WithLabelValues("refreshed").Inc()
	k.pace.refreshed(r.Account, !rejected.IsZero())
	k.log.Info("refreshed a token", "account", r.Account, "expires_at", pair.ExpiresAt.UTC())
	return pair.Access, nil
}

// giveUp marks the connection as one to be made again, if the row still holds the token that was
// refused. The tokens stay, and so does the generation: a pair that another process is still storing
// brings the connection back.
func (k *Keeper) giveUp(ctx context.Context, r row) error {
	err := k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		return k.storeReauthorize(ctx, tx, r)
	})
	if err != nil {
		return err
	}
	k.metrics.refreshes.WithLabelValues("invalid_grant").Inc()
	k.log.Warn("DoorFlow no longer takes the account's refresh token; it has to be connected again", "account", r.Account)
	k.changed()
	return ErrNeedsReconnect
}
