package webhooks

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/doorflow"
	"gatehouse/events"
)

// close ends a notification in the change that says what it told.
func (row opened) close(ctx context.Context, tx *events.Tx, state string) error {
	const query = `UPDATE notifications SET state = ?, attempts = attempts + 1, error = '' WHERE key = ?`
	_, err := tx.Exec(ctx, query, state, row.Key)
	return err
}

// later keeps a notification open, or parks it.
func (f *Fetcher) later(ctx context.Context, row opened, state string, why error, wait time.Duration) error {
	return f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		const query = `UPDATE notifications SET state = ?, attempts = attempts + 1, error = ?, due_at = ? WHERE key = ?`
		_, err := tx.Exec(ctx, query, state, why.Error(), time.Now().Add(wait).UnixMilli(), row.Key)
		return err
	})
}

// longestWait bounds what DoorFlow may ask for.
const longestWait = time.Hour

// again tries once more after a while: DoorFlow was not there, or not well.
func (f *Fetcher) again(ctx context.Context, row opened, why error, wait time.Duration) error {
	return f.later(ctx, row, stateOpen, why, max(min(wait, longestWait), backoff(row.Attempts)))
}

// odd tries a few times what makes no sense, then parks it.
func (f *Fetcher) odd(ctx context.Context, row opened, why error) error {
	if row.Attempts+1 < oddAttempts {
		return f.again(ctx, row, why, 0)
	}
	f.Logger.Error("DoorFlow's answer makes no sense; the notification is parked", "account", events.Token(row.Account),
		"resource", resourceName(row.ResourceType, row.ResourceID), "error", why)
	return f.later(ctx, row, stateParked, why, 0)
}

// park sets a notification aside until the account reconnects: DoorFlow refuses the resource, because a
// scope is missing or access was withdrawn.
func (f *Fetcher) park(ctx context.Context, row opened, why error) error {
	what := "account.event.access.readonly"
	if row.ResourceType == doorflow.TypeCredential {
		what = "account.person.readonly"
	}
	f.Logger.Warn("DoorFlow refuses access; the notification is parked until the account reconnects",
		"account", events.Token(row.Account), "needs_scope", what)
	if err := f.Forbidden(ctx, row.Account, what); err != nil {
		return err
	}
	return f.later(ctx, row, stateParked, why, 0)
}

// gone takes "no such resource" for what it is: an answer. For a destroyed credential it is the expected one.
func (f *Fetcher) gone(ctx context.Context, row opened) error {
	if row.ResourceType != doorflow.TypeCredential || row.Action != doorflow.ActionDestroy {
		return f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error { return row.close(ctx, tx, stateGone) })
	}
	data, err := json.Marshal(map[string]string{"id": row.ResourceID, "person_id": personOf(row.Path)})
	if err != nil {
		return err
	}
	return f.sayCredential(ctx, row, doorflow.Resource{ID: row.ResourceID, Data: data})
}

// personOf is the person's id in /api/3/people/{person}/credentials/{id}.
func personOf(path string) string {
	parts := bytes.Split([]byte(path), []byte("/"))
	if len(parts) < 5 {
		return ""
	}
	return string(parts[4])
}

var errOtherResource = errors.New("DoorFlow answered with another resource than was asked for")

// publish says what was fetched.
func (f *Fetcher) publish(ctx context.Context, row opened, body json.RawMessage) (string, error) {
	resource, err := doorflow.ReadResource(row.ResourceType, body, f.Numbers)
	if err == nil && resource.ID != row.ResourceID {
		err = errOtherResource
	}
	if err != nil {
		return "odd", f.odd(ctx, row, err)
	}
	if row.ResourceType == doorflow.TypeCredential {
		return "fetched", f.sayCredential(ctx, row, resource)
	}
	return "fetched", f.sayEvent(ctx, row, resource)
}

// sayEvent says an event once, whatever brought it and however often.
func (f *Fetcher) sayEvent(ctx context.Context, row opened, resource doorflow.Resource) error {
	message, err := row.message(events.Classify(resource.Code), resource)
	if err != nil {
		return err
	}
	return f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		const insert = `INSERT INTO events (account, event_id, message_id, at) VALUES (?, ?, ?, ?) ON CONFLICT (account, event_id) DO NOTHING`
		fresh, err := tx.Exec(ctx, insert, row.Account, row.ResourceID, message.ID, time.Now().UnixMilli())
		if err != nil {
			return err
		}
		if fresh == 1 {
			tx.Append(message)
		}
		return row.close(ctx, tx, stateDone)
	})
}

var errOvertaken = errors.New("another replica noted a state of the credential meanwhile")

// sayCredential says a credential's state if it differs from the last that was said. Notifications may
// come in any order and several may lead to the same state, so only the states are compared.
func (f *Fetcher) sayCredential(ctx context.Context, row opened, resource doorflow.Resource) error {
	destroyed := row.Action == doorflow.ActionDestroy
	digest := f.Digest(resource.State)
	return f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		var last struct {
			Version, Destroyed int64
			Digest             []byte
		}
		const query = `SELECT version, destroyed, digest FROM credentials WHERE account = ? AND credential_id = ?`
		err := tx.Get(ctx, &last, query, row.Account, row.ResourceID)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// A destroyed credential that DoorFlow still shows is no new state when an update comes late.
		known := err == nil && last.Destroyed == 0
		if (destroyed && last.Destroyed != 0) || (!destroyed && bytes.Equal(last.Digest, digest)) {
			return row.close(ctx, tx, stateDone)
		}
		action := row.Action
		if action == doorflow.ActionCreate && known {
			action = doorflow.ActionUpdate
		}
		message, err := row.message(events.CredentialClass(action), resource)
		if err != nil {
			return err
		}
		const upsert = `INSERT INTO credentials (account, credential_id, version, digest, destroyed, at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (account, credential_id) DO UPDATE SET version = excluded.version, digest = excluded.digest,
			destroyed = excluded.destroyed, at = excluded.at WHERE credentials.version = excluded.version - 1`
		gone := 0
		if destroyed {
			gone = 1
		}
		n, err := tx.Exec(ctx, upsert, row.Account, row.ResourceID, last.Version+1, digest, gone, time.Now().UnixMilli())
		if err != nil {
			return fmt.Errorf("noting the credential's state: %w", err)
		}
		if n == 0 {
			return errOvertaken
		}
		tx.Append(message)
		return row.close(ctx, tx, stateDone)
	})
}

// message is the event that a resource tells of.
func (row opened) message(class events.Class, resource doorflow.Resource) (events.Encoded, error) {
	at := resource.At
	if at.IsZero() || row.ResourceType == doorflow.TypeCredential {
		// A credential's created_at is not when it changed.
		at = time.UnixMilli(row.ReceivedAt)
	}
	m := events.NewMessage(events.EventTopic(row.Account, class), at, resource.Data)
	m.Subject = resourceName(row.ResourceType, row.ResourceID)
	if m.Origin = events.OriginWebhook; row.AckToken == "" { // no webhook spoke of it
		m.Origin = events.OriginCatchup
	}
	return m.Encode()
}
