package webhooks

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
	"gatehouse/standardwebhooks"
)

// keepOldSecret is how long the secret before a rotation signs too, for receivers to follow.
const keepOldSecret = 24 * time.Hour

// Create makes an endpoint with the limits of who asks, and returns its secret this one time. Messages that are said from now on are for it. Errors: *invalid.Error, ErrTooManyEndpoints.
func (e *Endpoints) Create(ctx context.Context, q EndpointRequest, limits Limits) (*Endpoint, standardwebhooks.Secret, error) {
	if !q.URL.Is {
		return nil, standardwebhooks.Secret{}, invalid.Field("url", "must be given, like https://bms.example.com/hooks")
	}
	if !q.Subjects.Is {
		return nil, standardwebhooks.Secret{}, checkSubjects(nil)
	}
	if err := q.check(e.Judge); err != nil {
		return nil, standardwebhooks.Secret{}, err
	}
	now := e.Now().UnixMilli()
	r := endpointRow{
		ID: uuid.Must(uuid.NewV7()).String(), Enabled: bit(!q.Enabled.Is || q.Enabled.Value), Concurrency: defaultConcurrency,
		MadeBy: audit.ActorFrom(ctx).Name, CreatedAt: now, ChangedAt: now,
	}
	if r.Enabled == 0 {
		r.DisabledReason = DisabledByHand
	}
	secret := standardwebhooks.NewSecret()
	err := q.apply(&r)
	if err == nil {
		r.Accounts, err = storedLimit(limits.Accounts)
	}
	if err == nil {
		r.Identities, err = storedLimit(limits.Identities)
	}
	if err == nil {
		r.Secret, err = e.Vault.Seal(secretPlace(r.ID), vault.NewSecret(secret.Reveal()))
	}
	if err != nil {
		return nil, standardwebhooks.Secret{}, err
	}
	entry := endpointEntry(ctx, "endpoint.create", r.ID, hostOf(r.URL))
	err = e.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := touch(ctx, tx); err != nil {
			return err
		}
		r := r // this may run again
		var err error
		if r.Began, err = logPlaces(ctx, tx); err != nil {
			return err
		}
		if err := insertEndpoint(ctx, tx, &r); err != nil {
			return err
		}
		_, err = audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return nil, standardwebhooks.Secret{}, fmt.Errorf("making an endpoint: %w", err)
	}
	r.Began = "{}" // of no interest to who asked
	made, err := r.endpoint()
	return made, secret, err
}

func insertEndpoint(ctx context.Context, tx *events.Tx, r *endpointRow) error {
	var n int64
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM endpoints`); err != nil {
		return err
	}
	if n >= maxEndpoints {
		return ErrTooManyEndpoints
	}
	_, err := tx.Exec(ctx, `INSERT INTO endpoints (id, url, description, subjects, enabled, disabled_reason, ordered, concurrency, accounts, identities,
		made_by, secret, began, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.URL, r.Description, r.Subjects, r.Enabled, r.DisabledReason, r.Ordered, r.Concurrency, r.Accounts, r.Identities,
		r.MadeBy, r.Secret, r.Began, r.CreatedAt, r.ChangedAt)
	return err
}

// Change changes what is given of an endpoint. Who enables it begins anew: what was said while it was disabled is not
// for it, and its failures are forgotten. At another URL it may fail for as long as a new one before it is disabled. Errors: *invalid.Error, ErrNoEndpoint.
func (e *Endpoints) Change(ctx context.Context, id string, q EndpointRequest, limits Limits) (*Endpoint, error) {
	if !isEndpointID(id) {
		return nil, ErrNoEndpoint
	}
	summary := q.summary()
	if summary == "" {
		return nil, invalid.Field("body", "must have at least one of: url, subjects, description, enabled, ordered, concurrency")
	}
	if err := q.check(e.Judge); err != nil {
		return nil, err
	}
	entry, now := endpointEntry(ctx, "endpoint.change", id, summary), e.Now()
	return e.changed(ctx, id, limits, entry, func(ctx context.Context, tx *events.Tx, r *endpointRow) error {
		old := r.URL
		err := q.apply(r)
		if r.URL != old {
			r.FailingSince = 0 // nothing has failed there yet
		}
		switch was := r.Enabled == 1; {
		case err != nil || q.Enabled.or(was) == was:
		case was:
			err = r.disable(tx, DisabledByHand, now)
		default:
			err = r.begin(ctx, tx)
		}
		if err != nil {
			return err
		}
		r.ChangedAt = now.UnixMilli()
		return r.save(ctx, tx)
	})
}

// begin enables an endpoint as if it were new.
func (r *endpointRow) begin(ctx context.Context, tx *events.Tx) (err error) {
	r.Enabled, r.DisabledReason, r.FailingSince, r.Failures, r.Told, r.LastError = 1, "", 0, 0, 0, ""
	r.Began, err = logPlaces(ctx, tx)
	return err
}

// save stores all that may change, but for the secrets, which a rotation of the gateway's keys may have sealed again
// meanwhile.
func (r *endpointRow) save(ctx context.Context, tx *events.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE endpoints SET url = ?, description = ?, subjects = ?, enabled = ?, ordered = ?, concurrency = ?, began = ?,
		disabled_reason = ?, failing_since = ?, failures = ?, told = ?, last_error = ?, changed_at = ? WHERE id = ?`,
		r.URL, r.Description, r.Subjects, r.Enabled, r.Ordered, r.Concurrency, r.Began,
		r.DisabledReason, r.FailingSince, r.Failures, r.Told, r.LastError, r.ChangedAt, r.ID)
	return err
}

// RotateSecret gives an endpoint a new secret, which is returned this one time. The one before signs too for 24 hours;
// one that was old already signs no more. Error: ErrNoEndpoint.
func (e *Endpoints) RotateSecret(ctx context.Context, id string, limits Limits) (*Endpoint, standardwebhooks.Secret, error) {
	if !isEndpointID(id) {
		return nil, standardwebhooks.Secret{}, ErrNoEndpoint
	}
	secret, now := standardwebhooks.NewSecret(), e.Now()
	sealed, err := e.Vault.Seal(secretPlace(id), vault.NewSecret(secret.Reveal()))
	if err != nil {
		return nil, standardwebhooks.Secret{}, err
	}
	entry := endpointEntry(ctx, "endpoint.rotate_secret", id, "")
	changed, err := e.changed(ctx, id, limits, entry, func(ctx context.Context, tx *events.Tx, r *endpointRow) error {
		r.OldSecret, r.OldSecretUntil = nil, 0
		if old, err := e.Vault.Open(secretPlace(id), r.Secret); err == nil {
			if r.OldSecret, err = e.Vault.Seal(oldSecretPlace(id), old); err != nil {
				return err
			}
			r.OldSecretUntil = now.Add(keepOldSecret).UnixMilli()
		} // one that cannot be opened signs nothing anyway
		r.ChangedAt = now.UnixMilli()
		_, err := tx.Exec(ctx, `UPDATE endpoints SET secret = ?, old_secret = ?, old_secret_until = ?, changed_at = ? WHERE id = ?`,
			sealed, r.OldSecret, r.OldSecretUntil, r.ChangedAt, id)
		return err
	})
	if err != nil {
		return nil, standardwebhooks.Secret{}, err
	}
	return changed, secret, nil
}

// forgetOldSecrets removes what was valid before a rotation once it signs no more, an hour later at the soonest: clocks differ.
func (e *Endpoints) forgetOldSecrets(ctx context.Context, tx *events.Tx) (int64, error) {
	const past = ` WHERE old_secret_until > 0 AND old_secret_until < ?`
	var n int64
	before := e.Now().Add(-time.Hour).UnixMilli()
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM endpoints`+past, before); err != nil || n == 0 {
		return 0, err
	}
	if err := touch(ctx, tx); err != nil {
		return 0, err
	}
	return tx.Exec(ctx, `UPDATE endpoints SET old_secret = NULL, old_secret_until = 0`+past, before)
}

// changed runs a change of one endpoint that lies within limits, has it in the audit log, and returns the endpoint as
// it is then.
func (e *Endpoints) changed(ctx context.Context, id string, limits Limits, entry audit.Entry,
	change func(context.Context, *events.Tx, *endpointRow) error,
) (*Endpoint, error) {
	result := make(chan *Endpoint, 1) // the change may run after ctx has ended, and again
	err := e.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := touch(ctx, tx); err != nil {
			return err
		}
		r, err := readWithin(ctx, tx, id, limits)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, &r); err != nil {
			return err
		}
		if _, err := audit.Record(ctx, tx.Tx, entry); err != nil {
			return err
		}
		shown, err := r.endpoint()
		if err != nil {
			return err
		}
		select { // in place of what an undone run has left
		case <-result:
		default:
		}
		result <- shown
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("changing endpoint %s: %w", id, err)
	}
	return <-result, nil
}

// readWithin reads an endpoint that the caller may know of.
func readWithin(ctx context.Context, tx *events.Tx, id string, limits Limits) (endpointRow, error) {
	r, err := lockedEndpoint(ctx, tx, id)
	if err != nil {
		return r, err
	}
	e, err := r.endpoint()
	if err == nil && !e.limits().within(limits) {
		err = ErrNoEndpoint
	}
	return r, err
}

// Delete removes an endpoint with all its deliveries. Error: ErrNoEndpoint.
func (e *Endpoints) Delete(ctx context.Context, id string, limits Limits) error {
	if !isEndpointID(id) {
		return ErrNoEndpoint
	}
	actor := audit.ActorFrom(ctx)
	err := e.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := touch(ctx, tx); err != nil {
			return err
		}
		r, err := readWithin(ctx, tx, id, limits)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM endpoints WHERE id = ?`, id); err != nil {
			return err
		}
		entry := audit.Entry{Actor: actor, Action: "endpoint.delete", Target: id + " " + hostOf(r.URL), Outcome: audit.Done}
		_, err = audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting endpoint %s: %w", id, err)
	}
	return nil
}

// endpointEntry is what the audit log says of an endpoint. Its URL is not said in full: paths and queries of such URLs
// are often secrets.
func endpointEntry(ctx context.Context, action, id, about string) audit.Entry {
	target := id
	if about != "" {
		target += " " + about
	}
	return audit.Entry{Actor: audit.ActorFrom(ctx), Action: action, Target: target, Outcome: audit.Done}
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Host
}
