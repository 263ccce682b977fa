package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

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

// CountUpTo is how many deliveries of an endpoint are counted: whoever looks at fifty endpoints that have all been away for
// days should not wait for it.
const CountUpTo = 2_000

// Health is how deliveries to an endpoint fare.
type Health struct {
	// Waiting is how many are on their way, and OldestWaiting when the oldest of them was said; Parked how many were
	// given up. Both are counted to CountUpTo, which stands for that many or more.
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

// Tried is how an attempt to deliver to an endpoint ended, as its health is told.
type Tried struct {
	// Endpoint is as it was known when the attempt began.
	Endpoint *Endpoint
	Outcome  Outcome
	// At is when it was known how the attempt ended.
	At time.Time
}

// Note notes, in the change that stores them, how attempts ended. The third failure in a row is said, and the success
// that comes after that. One that answered 410 is disabled; so is one whose third or later failure comes when it has only
// failed for five days. What came late says nothing: an attempt at another URL than the endpoint has by now, a failure
// that began before the endpoint was last changed, or one that is older than the last success.
func (e *Endpoints) Note(ctx context.Context, tx *events.Tx, all []Tried) error {
	of := map[string][]Tried{}
	for _, t := range all {
		of[t.Endpoint.ID] = append(of[t.Endpoint.ID], t)
	}
	ids := slices.Sorted(maps.Keys(of)) // in one order on all replicas
	if len(ids) == 0 {
		return nil
	}
	disables, err := steady(ctx, tx, ids, all)
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, err := lockedEndpoint(ctx, tx, id)
		if errors.Is(err, ErrNoEndpoint) {
			continue // deleted meanwhile
		}
		if err == nil {
			err = r.note(ctx, tx, of[id], disables)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// steady comes before the first endpoint's row is locked, as in every change. It tells whether endpoints may be disabled,
// which is a change of what they are, and then counts the version up. Otherwise it only holds changes off.
func steady(ctx context.Context, tx *events.Tx, ids []string, all []Tried) (disables bool, err error) {
	var latest time.Time
	for _, t := range all {
		if disables = disables || t.Outcome == OutcomeGone; t.At.After(latest) {
			latest = t.At
		}
	}
	if !disables {
		query, args, err := sqlx.In(`SELECT COUNT(*) FROM endpoints WHERE enabled = 1 AND failing_since > 0 AND failing_since <= ? AND id IN (?)`,
			latest.Add(-disableAfter).UnixMilli(), ids)
		if err != nil {
			return false, err
		}
		var n int64
		if err := tx.Get(ctx, &n, query, args...); err != nil {
			return false, err
		}
		disables = n > 0
	}
	if disables {
		return true, touch(ctx, tx)
	}
	if !tx.Postgres {
		return false, nil
	}
	var version int64
	return false, tx.Get(ctx, &version, `SELECT version FROM endpoint_version WHERE id = 1 FOR SHARE`)
}

// note goes through an endpoint's attempts in the order in which they ended.
func (r *endpointRow) note(ctx context.Context, tx *events.Tx, all []Tried, disables bool) error {
	slices.SortStableFunc(all, func(a, b Tried) int { return a.At.Compare(b.At) })
	failures, success, reason := r.Failures, r.LastSuccessAt, ""
	for _, t := range all {
		gone := t.Outcome == OutcomeGone
		var err error
		switch {
		case t.Endpoint.URL != r.URL: // it says nothing about where the endpoint is now
		case t.Outcome == OutcomeDelivered:
			err = r.succeeded(tx, t.At)
		case t.Endpoint.ChangedAt.UnixMilli() != r.ChangedAt: // what was wrong may have been put right
		case gone || t.At.UnixMilli() >= r.LastSuccessAt:
			if err = r.failed(tx, t); gone {
				reason = DisabledGone
			} else if r.Failures >= tellAfter && t.At.Sub(moment(r.FailingSince)) >= disableAfter {
				reason = cmp.Or(reason, DisabledFailing)
			}
		}
		if err != nil {
			return err
		}
	}
	if r.Failures == failures && r.LastSuccessAt == success {
		return nil
	}
	if disables && reason != "" && r.Enabled == 1 {
		if err := r.disableItself(ctx, tx, reason); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE endpoints SET enabled = ?, disabled_reason = ?, failing_since = ?, failures = ?, told = ?, last_error = ?,
		last_success_at = ?, last_failure_at = ? WHERE id = ?`, r.Enabled, r.DisabledReason, r.FailingSince, r.Failures, r.Told, r.LastError,
		r.LastSuccessAt, r.LastFailureAt, r.ID)
	return err
}

// succeeded says recovered where failing has been said.
func (r *endpointRow) succeeded(tx *events.Tx, at time.Time) error {
	if r.Failures == 0 {
		if at.Sub(moment(r.LastSuccessAt)) >= noteSuccessEvery {
			r.LastSuccessAt = at.UnixMilli()
		}
		return nil
	}
	if at.UnixMilli() < r.FailingSince {
		return nil // it was before all that
	}
	r.LastSuccessAt = max(r.LastSuccessAt, at.UnixMilli())
	if r.Told == 1 {
		if err := r.tell(tx, "recovered", at); err != nil {
			return err
		}
	}
	r.FailingSince, r.Failures, r.Told, r.LastError = 0, 0, 0, ""
	return nil
}

func (r *endpointRow) failed(tx *events.Tx, t Tried) error {
	if r.Failures++; r.FailingSince == 0 {
		r.FailingSince = t.At.UnixMilli()
	}
	// In a few words, and nothing that the endpoint answered.
	r.LastFailureAt, r.LastError = t.At.UnixMilli(), string(t.Outcome)
	if r.Enabled == 0 || r.Told == 1 || r.Failures < tellAfter {
		return nil
	}
	r.Told = 1
	return r.tell(tx, "failing", t.At)
}

// disableItself disables an endpoint of the gateway's own accord.
func (r *endpointRow) disableItself(ctx context.Context, tx *events.Tx, reason string) error {
	if err := r.disable(tx, reason, moment(r.LastFailureAt)); err != nil {
		return err
	}
	_, err := audit.Record(ctx, tx.Tx, audit.Entry{
		Actor: audit.Actor{Kind: audit.KindGateway}, Action: "endpoint.disable", Target: r.ID + " " + reason, Outcome: audit.Done,
	})
	return err
}
