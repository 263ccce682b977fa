package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"gatehouse/events"
)

// Statuses of a connection that this package says; the others are the tokens'.
const (
	statusSilent  = "silent"
	statusResumed = "resumed"
)

// listenFirst is how long the gateway listens after its start before it calls an account silent: while it
// was down it heard nothing, and what DoorFlow tries again comes a while later.
const listenFirst = time.Hour

// heard is when an account last showed that its webhooks come, or else when it was connected.
func (p place) heard() int64 { return max(p.SeenAt, p.ConnectedAt) }

// quietAt is when an account will have been silent for too long.
func (c *Catchup) quietAt(p place, from time.Time) time.Time {
	quiet, listened := time.UnixMilli(p.heard()).Add(c.Silence), from.Add(min(c.Silence, listenFirst))
	if listened.After(quiet) {
		return listened
	}
	return quiet
}

// overdue tells whether an account has been silent for too long and nobody has said so.
func (c *Catchup) overdue(p place, from time.Time) bool {
	return c.Silence > 0 && p.SilentSince == 0 && !c.Now().Before(c.quietAt(p, from))
}

// silence is the data of the messages about it.
type silence struct {
	Account       string    `json:"account"`
	Status        string    `json:"status"`
	SilentSince   time.Time `json:"silent_since"`
	LastWebhookAt time.Time `json:"last_webhook_at,omitzero"`
	// Check is what came of asking DoorFlow: ok, or how it failed.
	Check string `json:"check,omitempty"`
	// EventsFound is how many events catching up has found since the last webhook: each should have come
	// by a webhook.
	EventsFound *int `json:"events_found,omitempty"`
}

func (s silence) message(at time.Time) (events.Encoded, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return events.Encoded{}, err
	}
	return events.NewMessage(events.ConnectionTopic(s.Account, s.Status), at, data).Encode()
}

// saySilent notes and says that an account is silent, unless another replica has, a webhook has come
// meanwhile, or the connection is not active any more.
func (c *Catchup) saySilent(ctx context.Context, account string, p place, outcome string) error {
	s := silence{Account: account, Status: statusSilent, SilentSince: time.UnixMilli(p.heard()).UTC(), Check: outcome}
	if outcome == "complete" || outcome == "partial" {
		s.Check = "ok"
	}
	if p.SeenAt > 0 {
		s.LastWebhookAt = time.UnixMilli(p.SeenAt).UTC()
	}
	said := false
	err := c.Fetcher.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		said = false
		const update = `UPDATE catchup SET silent_since = ? WHERE account = ? AND silent_since = 0
			AND NOT EXISTS (SELECT 1 FROM webhook_seen w WHERE w.account = catchup.account AND w.at > ?)
			AND EXISTS (SELECT 1 FROM connections c WHERE c.account = catchup.account AND c.status = 'active')`
		n, err := tx.Exec(ctx, update, p.heard(), account, p.SeenAt)
		if err != nil || n == 0 {
			return err
		}
		var found int
		const count = `SELECT CASE WHEN found_after = ? THEN found ELSE 0 END FROM catchup WHERE account = ?`
		if err := tx.Get(ctx, &found, count, p.SeenAt, account); err != nil {
			return err
		}
		s.EventsFound = &found
		message, err := s.message(c.Now())
		if err != nil {
			return err
		}
		said = true
		tx.Append(message)
		return nil
	})
	if said && err == nil {
		c.Logger.Warn("no webhook has come for long", "account", events.Token(account), "silent_since", s.SilentSince,
			"check", s.Check, "events_found", *s.EventsFound)
	}
	return err
}

// heal ends a silence that a webhook ended while the silence was being noted.
func (c *Catchup) heal(ctx context.Context, account string, p place) error {
	if p.SilentSince == 0 || p.SeenAt <= p.SilentSince {
		return nil
	}
	return c.Fetcher.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		return sayResumed(ctx, tx, account, time.UnixMilli(p.SeenAt))
	})
}

// sayResumed ends an account's silence, if it is silent, and says so. It runs in the change that stores
// the webhook.
func sayResumed(ctx context.Context, tx *events.Tx, account string, at time.Time) error {
	var since int64
	err := tx.Get(ctx, &since, `SELECT silent_since FROM catchup WHERE account = ? AND silent_since <> 0`, account)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE catchup SET silent_since = 0 WHERE account = ? AND silent_since = ?`, account, since)
	if err != nil || n == 0 {
		return err
	}
	message, err := silence{
		Account: account, Status: statusResumed, SilentSince: time.UnixMilli(since).UTC(), LastWebhookAt: at.UTC(),
	}.message(at)
	if err != nil {
		return err
	}
	tx.Append(message)
	return nil
}
