package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/vault"
)

const (
	sweepEvery = 30 * time.Second
	// keepLinks is how long a link can be asked about after its end.
	keepLinks = 7 * 24 * time.Hour
	// revokeFor is how long a revocation that DoorFlow did not confirm is tried again.
	revokeFor = 72 * time.Hour
)

type attempts struct {
	n   int
	due time.Time
}

// abandon revokes tokens that will not be used. What cannot be revoked now is kept with the link, sealed,
// for Run.
func (c *Connect) abandon(ctx context.Context, link string, refresh vault.Secret) {
	err := c.client.Revoke(ctx, refresh)
	if err == nil {
		return
	}
	c.log.Warn("tokens that are not used could not be revoked; trying again", "error", err)
	sealed, err := c.vault.Seal(place(link, "refresh_token"), refresh)
	if err == nil {
		err = c.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE connect_links SET refresh_token = ? WHERE id = ? AND refresh_token IS NULL AND status <> ?`,
				sealed, link, StatusPending)
			return err
		})
	}
	if err != nil {
		c.log.Error("tokens that are not used will not be revoked", "error", err)
	}
}

// failPending ends a pending link; its refresh token stays until finish has revoked it.
func (c *Connect) failPending(ctx context.Context, id, code string) error {
	return c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE connect_links SET status = ?, error = ?, code_hash = NULL, access_token = NULL WHERE id = ? AND status = ?`,
			StatusFailed, code, id, StatusPending)
		return err
	})
}

// revokeHeld revokes the token that a link still holds and wipes it.
func (c *Connect) revokeHeld(ctx context.Context, r linkRow) error {
	refresh, err := c.vault.Open(place(r.ID, "refresh_token"), r.Refresh)
	if err == nil {
		err = c.client.Revoke(ctx, refresh)
	}
	if err != nil {
		return err
	}
	return c.wipe(ctx, r)
}

func (c *Connect) wipe(ctx context.Context, r linkRow) error {
	return c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE connect_links SET refresh_token = NULL WHERE id = ? AND refresh_token = ?`, r.ID, r.Refresh)
		return err
	})
}

// finish is revokeHeld with patience, for three days.
func (c *Connect) finish(ctx context.Context, r linkRow) error {
	now, tried := c.now(), c.tries[r.ID]
	if now.Before(tried.due) {
		return nil
	}
	err := c.revokeHeld(ctx, r)
	switch {
	case err == nil:
		delete(c.tries, r.ID)
		return nil
	case now.UnixMilli() >= r.ExpiresAt+revokeFor.Milliseconds():
		delete(c.tries, r.ID)
		c.log.Error("giving up revoking the tokens of a link that did not connect", "account", r.Connected, "error", err)
		return c.wipe(ctx, r)
	}
	tried.n++
	tried.due = now.Add(min(sweepEvery<<min(tried.n-1, 10), time.Hour))
	c.tries[r.ID] = tried
	return err
}

// Disconnected ends what waits to be completed for an account that is being disconnected: such a link would
// otherwise bring the connection back. The next sweep revokes what it holds.
func (c *Connect) Disconnected(ctx context.Context, tx *events.Tx, account string) error {
	_, err := tx.Exec(ctx, `UPDATE connect_links SET expires_at = ? WHERE connected = ? AND status = 'pending'`,
		c.now().UnixMilli(), account)
	return err
}

// Run expires pending links, revokes what they held, and forgets old links and states.
func (c *Connect) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := c.Sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("looking after the connect links failed; trying again", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep is one round of Run. It is for Run and for tests, not for both at once.
func (c *Connect) Sweep(ctx context.Context) error {
	if err := c.expire(ctx); err != nil {
		return fmt.Errorf("expiring connect links: %w", err)
	}
	var held []linkRow
	err := c.db.Select(ctx, &held, `SELECT `+linkColumns+` FROM connect_links WHERE refresh_token IS NOT NULL AND status <> ?`, StatusPending)
	for _, r := range held {
		err = errors.Join(err, c.finish(ctx, r))
	}
	return err
}

// expire is skipped while there is nothing to do, so that an idle gateway does not write.
func (c *Connect) expire(ctx context.Context) error {
	now := c.now().UnixMilli()
	const overdue = ` FROM connect_links WHERE status = 'pending' AND expires_at <= ?`
	const old = ` FROM connect_links WHERE refresh_token IS NULL AND expires_at <= ?`
	const stale = ` FROM oauth_states WHERE expires_at <= ?`
	before := now - keepLinks.Milliseconds()
	var pending, links, states int
	err := errors.Join(c.db.Get(ctx, &pending, `SELECT COUNT(*)`+overdue, now),
		c.db.Get(ctx, &links, `SELECT COUNT(*)`+old, before), c.db.Get(ctx, &states, `SELECT COUNT(*)`+stale, now))
	if err != nil || pending+links+states == 0 {
		return err
	}
	return c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE connect_links SET status = ?, code_hash = NULL, access_token = NULL
			WHERE status = 'pending' AND expires_at <= ?`, StatusExpired, now)
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE`+old, before)
		}
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE`+stale, now)
		}
		return err
	})
}
