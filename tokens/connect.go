package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/events"
)

// Also is a change that is made in the same commit, or not at all.
type Also = func(ctx context.Context, tx *events.Tx) error

// putFor bounds how long a person in a browser is kept waiting for a database that does not answer.
const putFor = 20 * time.Second

// Put makes a connection active with the tokens of a new grant, in place of what it had. An active
// connection is not replaced by one with fewer scopes: ErrFewerScopes, and nothing changes.
func (k *Keeper) Put(ctx context.Context, g Grant, also ...Also) error {
	if g.Account == "" || g.Access.IsZero() || g.Refresh.IsZero() {
		return fmt.Errorf("connecting account %s: the grant is not complete", g.Account)
	}
	if g.ExpiresAt.IsZero() {
		g.ExpiresAt = k.now().Add(time.Hour)
	}
	sealed, err := k.seal(g.Account, Pair{Access: g.Access, Refresh: g.Refresh, ExpiresAt: g.ExpiresAt, Scopes: g.Scopes})
	if err != nil {
		return err
	}
	err = k.detached(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := k.storeGrant(ctx, tx, g.Account, sealed); err != nil {
			return err
		}
		return all(ctx, tx, also)
	})
	if err != nil {
		return fmt.Errorf("connecting account %s: %w", g.Account, err)
	}
	k.log.Info("connected", "account", g.Account, "missing_scopes", Missing(g.Scopes, k.wanted))
	k.nowActive(g.Account)
	return nil
}

// detached stores what comes of a code. It is spent already, so neither a full queue nor a browser that
// has gone may lose it.
func (k *Keeper) detached(ctx context.Context, change func(context.Context, *events.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putFor)
	defer cancel()
	return k.untilStored(ctx, func() {}, change)
}

func (k *Keeper) storeGrant(ctx context.Context, tx *events.Tx, account string, s sealedPair) error {
	now := k.now().UnixMilli()
	if _, err := tx.Exec(ctx, `INSERT INTO connections (account, status, created_at) VALUES (?, ?, ?) ON CONFLICT (account) DO NOTHING`,
		account, StatusPending, now); err != nil {
		return err
	}
	before, err := lock(ctx, tx, account)
	if err != nil {
		return err
	}
	if before.Status == StatusActive && len(Missing(strings.Fields(s.scopes), strings.Fields(before.Scopes))) > 0 {
		return ErrFewerScopes
	}
	_, err = tx.Exec(ctx, `UPDATE connections SET status = ?, reason = '', forbidden = '', pair = pair + 1, access_token = ?, refresh_token = ?,
		expires_at = ?, scopes = ?, connected_at = ?, refreshed_at = 0 WHERE account = ?`,
		StatusActive, s.access, s.refresh, s.expiresAt, s.scopes, max(now, before.ConnectedAt+1), account)
	if err != nil {
		return err
	}
	return k.activated(ctx, tx, account, strings.Fields(s.scopes))
}

// pendingFor is how long a connection may wait for the app that completes it.
const pendingFor = 10 * time.Minute

// Pending notes that somebody has authorised the account and an app is to complete the connection. A
// connection that exists is left as it is.
func (k *Keeper) Pending(ctx context.Context, account string, also ...Also) error {
	err := k.detached(ctx, func(ctx context.Context, tx *events.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO connections (account, status, created_at) VALUES (?, ?, ?)
			ON CONFLICT (account) DO UPDATE SET created_at = excluded.created_at WHERE connections.status = ?`,
			account, StatusPending, k.now().UnixMilli(), StatusPending); err != nil {
			return err
		}
		return all(ctx, tx, also)
	})
	if err != nil {
		return fmt.Errorf("noting the pending connection of account %s: %w", account, err)
	}
	k.changed()
	return nil
}

func all(ctx context.Context, tx *events.Tx, changes []Also) error {
	for _, change := range changes {
		if err := change(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// maxForbidden bounds what is remembered of refusals.
const maxForbidden = 20

// Forbidden notes that DoorFlow answered 403 to what the connection was used for, such as
// "GET /api/3/events". It is shown with the connection until that is made anew.
func (k *Keeper) Forbidden(ctx context.Context, account, what string) error {
	what = strings.ToValidUTF8(strings.ReplaceAll(what, "\n", " "), "?")
	if len(what) > 120 {
		what = strings.ToValidUTF8(what[:120], "")
	}
	add := func(r row) (string, bool) {
		known := lines(r.Forbidden)
		for _, f := range known {
			if f == what {
				return "", false
			}
		}
		return strings.Join(append(known, what), "\n"), len(known) < maxForbidden
	}
	r, err := k.read(ctx, account)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if _, needed := add(r); err != nil || !needed {
		return err
	}
	err = k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		r, err := lock(ctx, tx, account)
		if err != nil {
			return err
		}
		if more, needed := add(r); needed {
			_, err = tx.Exec(ctx, `UPDATE connections SET forbidden = ? WHERE account = ?`, more, account)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("noting what account %s may not do: %w", account, err)
	}
	return nil
}

func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' })
}
