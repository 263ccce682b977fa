package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

const (
	// tellAfter is how many failures in a row are told: fewer are a receiver that restarts.
	tellAfter = 3
	// disableAfter is how long an endpoint may only fail before it is disabled.
	disableAfter = 5 * 24 * time.Hour
	// noteSuccessEvery is how often a success is noted of an endpoint that does not fail. Every delivery would
	// otherwise change the same row.
	noteSuccessEvery = 10 * time.Second
)

// Health is how deliveries to an endpoint fare.
type Health struct {
	// Waiting is how many are on their way, and OldestWaiting when the oldest of them was said; Parked how many were
	// given up.
	Waiting       int64     `json:"waiting"`
	OldestWaiting time.Time `json:"oldest_waiting,omitzero"`
	Parked        int64     `json:"parked"`
	// Delivered and Failed are attempts of the last 24 hours.
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
}

// endpointSaid is the data of a message about an endpoint. It does not hold the URL, whose path or query may be a
// secret between the endpoint and the gateway.
type endpointSaid struct {
	Endpoint     string    `json:"endpoint"`
	Description  string    `json:"description,omitempty"`
	Status       string    `json:"status"`
	Reason       string    `json:"reason,omitempty"`
	Failures     int64     `json:"failures,omitempty"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	LastError    string    `json:"last_error,omitempty"`
}

// say is the message of what has become of an endpoint: disabled, failing, recovered, or test.
func (r *endpointRow) say(status string, at time.Time) (events.Encoded, error) {
	data, err := json.Marshal(endpointSaid{
		Endpoint: r.ID, Description: r.Description, Status: status, Reason: r.DisabledReason,
		Failures: r.Failures, FailingSince: moment(r.FailingSince), LastError: r.LastError,
	})
	if err != nil {
		return events.Encoded{}, err
	}
	return events.NewMessage(events.EndpointTopic(r.ID, status), at, data).Encode()
}

func (r *endpointRow) tell(tx *events.Tx, status string, at time.Time) error {
	m, err := r.say(status, at)
	if err == nil {
		tx.Append(m)
	}
	return err
}

// disable disables a row that is saved after, and says so.
func (r *endpointRow) disable(tx *events.Tx, reason string, at time.Time) error {
	r.Enabled, r.DisabledReason = 0, reason
	return r.tell(tx, "disabled", at)
}

// Succeeded notes, in the change that stores it, that something was delivered to an endpoint. It says recovered where
// failing has been said.
func (e *Endpoints) Succeeded(ctx context.Context, tx *events.Tx, id string, at time.Time) error {
	const note = `UPDATE endpoints SET last_success_at = ? WHERE id = ? AND failures = 0 AND last_success_at < ?`
	n, err := tx.Exec(ctx, note, at.UnixMilli(), id, at.Add(-noteSuccessEvery).UnixMilli())
	if err != nil || n > 0 {
		return err
	}
	r, err := lockedEndpoint(ctx, tx, id, ` AND failures > 0`)
	if errors.Is(err, ErrNoEndpoint) {
		return nil // it does not fail, or it was deleted
	}
	if err != nil {
		return err
	}
	if r.Told == 1 {
		if err := r.tell(tx, "recovered", at); err != nil {
			return err
		}
	}
	const end = `UPDATE endpoints SET failing_since = 0, failures = 0, told = 0, last_error = '', last_success_at = ? WHERE id = ?`
	_, err = tx.Exec(ctx, end, at.UnixMilli(), id)
	return err
}

// Failed notes, in the change that stores it, that an attempt to deliver to an endpoint failed. why is a few words, and
// nothing that the endpoint answered. The third failure in a row is said; one of those or a later one that comes when the endpoint has
// only failed for five days disables it.
func (e *Endpoints) Failed(ctx context.Context, tx *events.Tx, id string, at time.Time, why string) error {
	r, err := lockedEndpoint(ctx, tx, id, "")
	if errors.Is(err, ErrNoEndpoint) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	if r.Failures++; r.FailingSince == 0 {
		r.FailingSince = at.UnixMilli()
	}
	r.LastFailureAt, r.LastError = at.UnixMilli(), why
	const note = `UPDATE endpoints SET failing_since = ?, failures = ?, last_error = ?, last_failure_at = ?, told = ? WHERE id = ?`
	tells := r.Enabled == 1 && r.Told == 0 && r.Failures >= tellAfter
	if tells {
		r.Told = 1
		if err := r.tell(tx, "failing", at); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, note, r.FailingSince, r.Failures, r.LastError, r.LastFailureAt, r.Told, id); err != nil {
		return err
	}
	if r.Failures < tellAfter || at.Sub(moment(r.FailingSince)) < disableAfter {
		return nil
	}
	return e.Disable(ctx, tx, id, DisabledFailing, at)
}

// Disable disables an endpoint of the gateway's own accord, for one of the reasons that endpoints have, and says so.
// One that is disabled or deleted stays as it is.
func (e *Endpoints) Disable(ctx context.Context, tx *events.Tx, id, reason string, at time.Time) error {
	r, err := lockedEndpoint(ctx, tx, id, ` AND enabled = 1`)
	if errors.Is(err, ErrNoEndpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := touch(ctx, tx); err != nil {
		return err
	}
	if err := r.disable(tx, reason, at); err != nil {
		return err
	}
	if err := r.save(ctx, tx); err != nil {
		return err
	}
	_, err = audit.Record(ctx, tx.Tx, audit.Entry{
		Actor: audit.Actor{Kind: audit.KindGateway}, Action: "endpoint.disable", Target: id + " " + reason, Outcome: audit.Done,
	})
	return err
}
