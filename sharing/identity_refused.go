package sharing

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/sqldb"
)

const (
	// awayFirst and awayMost bound the time between two tries while Doordeck is away,
	awayFirst, awayMost = 5 * time.Second, 10 * time.Minute
	// refusedFirst and refusedMost while it refuses, and
	refusedFirst, refusedMost = time.Minute, time.Hour
	// lockedFirst and lockedMost while it wants a code: perhaps it has had it, and nobody heard so.
	lockedFirst, lockedMost = time.Minute, time.Hour
)

// refused stores why Doordeck did not take a key. It returns an error only when it is worth asking again soon.
func (t *turn) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil { // it is us who stopped
		return ctx.Err()
	}
	r, status := &t.row, StatusFailed
	answer, fromDoordeck := errors.AsType[*doordeck.Error](err)
	if !fromDoordeck && (errors.Is(err, errMoved) || sqldb.Broken(err)) {
		return err
	}
	switch {
	case !fromDoordeck:
		t.note("internal", "the gateway cannot use the identity's key or address; see its log", refusedFirst, refusedMost, 0)
		t.log.Error("an identity cannot be registered", "identity", r.Name, "error", err)
	case answer.Class == doordeck.Locked:
		t.metrics.registrations.WithLabelValues("locked").Inc()
		status = StatusVerification
		t.note("", answer.Error(), lockedFirst, lockedMost, 0)
	case answer.Class.Retryable():
		t.metrics.registrations.WithLabelValues("away").Inc()
		t.note(string(answer.Class), answer.Error(), awayFirst, awayMost, answer.RetryAfter)
		if answer.Class == doordeck.TooMany {
			r.WaitUntil = r.DueAt
		}
		if status = r.Status; status == StatusReady && !r.serves(t.clock.Now()) {
			status, r.Reason = StatusFailed, "chain_expired"
		}
	default:
		t.metrics.registrations.WithLabelValues("refused").Inc()
		t.note(string(answer.Class), answer.Error(), refusedFirst, refusedMost, answer.RetryAfter)
	}
	if err := t.become(ctx, status); err != nil {
		return err
	}
	if fromDoordeck && answer.Class.Retryable() {
		return &AwayError{Wait: when(r.DueAt).Sub(t.now()), TooMany: answer.Class == doordeck.TooMany, cause: err}
	}
	return nil
}

// note counts a failure, and puts the next look off the more of them there were.
func (t *turn) note(reason, detail string, first, most, asked time.Duration) {
	t.row.Reason, t.row.Detail = reason, detail
	t.row.DueAt = t.now().Add(max(asked, backOff(t.row.Attempts, first, most))).UnixMilli()
	t.row.Attempts++
}

// become stores the row with a status, and says so if it is another than before.
func (t *turn) become(ctx context.Context, status string) error {
	if status == t.row.Status {
		return t.save(ctx, &t.row)
	}
	t.row.Status = status
	message, err := t.say(&t.row, status)
	if err != nil {
		return err
	}
	if err := t.save(ctx, &t.row, message); err != nil {
		return err
	}
	t.log.Warn("an identity's status has changed", "identity", t.row.Name, "status", status, "reason", t.row.Reason, "detail", t.row.Detail)
	return nil
}

// backOff doubles with each failure.
func backOff(failures int64, first, most time.Duration) time.Duration {
	return jitter(min(first<<min(failures, 20), most))
}

// jitter keeps many from coming back at the same moment.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
