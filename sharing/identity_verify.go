package sharing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

const (
	// codeLife is how long Doordeck takes a code.
	codeLife = 5 * time.Minute
	// sendAgain is how soon a second wish for a code by the same way is taken for the first: two clicks, two
	// replicas, an answer that was lost.
	sendAgain = 20 * time.Second
	// MaxWrongCodes is how many wrong codes may be tried for one that was sent.
	MaxWrongCodes = 5
	// busyFirst and busyMost bound how long nobody asks after Doordeck has said that it is too much.
	busyFirst, busyMost = 30 * time.Second, codeLife
)

// Verify has Doordeck send a code to the identity's person, by EMAIL, SMS or TELEPHONE; an empty method leaves
// the choice to Doordeck. Errors: ErrNoIdentity, ErrNotPending, ErrBusy, ErrDoordeckRefuses, *AwayError,
// *invalid.Error.
func (i *Identities) Verify(ctx context.Context, name string, method doordeck.Method) (Identity, error) {
	switch method {
	case "", doordeck.Email, doordeck.SMS, doordeck.Telephone:
	default:
		return Identity{}, invalid.Field("method", "must be EMAIL, SMS or TELEPHONE, or left out")
	}
	return i.acted(ctx, "identity.verify", name, func(ctx context.Context, t *turn) error { return t.verify(ctx, method) })
}

func (t *turn) verify(ctx context.Context, method doordeck.Method) error {
	r := &t.row
	if r.Status != StatusVerification {
		return ErrNotPending
	}
	if err := r.reachable(method); err != nil {
		return err
	}
	if t.since(r.CodeSentAt) < sendAgain && r.WrongCodes < MaxWrongCodes && (method == "" || string(method) == r.Method) {
		return nil
	}
	key, err := t.readyToAsk(ctx)
	if err != nil {
		return err
	}
	var used doordeck.Method
	err = t.call(ctx, r.person(), func(ctx context.Context, token doordeck.Token) (err error) {
		used, err = t.client.Verify(ctx, token, key, method)
		return err
	})
	if err != nil {
		return t.unanswered(ctx, err)
	}
	r.Method, r.CodeSentAt, r.WrongCodes, r.WaitUntil = string(used), t.now().UnixMilli(), 0, 0
	return t.save(ctx, r)
}

// reachable tells whether a code can be sent.
func (r *row) reachable(method doordeck.Method) error {
	methods := r.shown().Methods()
	switch {
	case len(methods) == 0:
		return invalid.Field("method", "cannot be served: the identity has neither a verified email nor a verified telephone; make another identity that has")
	case method == "" || slices.Contains(methods, string(method)):
		return nil
	case method == doordeck.Email:
		return invalid.Field("method", "must not be EMAIL: the identity has no verified email")
	}
	return invalid.Field("method", "must not be %s: the identity has no verified telephone", method)
}

// Check proves an identity's key with the code that its person got, as people type it. A wrong code leaves
// everything as it is. Errors: ErrNoIdentity, ErrNotPending, ErrNoCode, ErrCodeWrong, ErrBusy, *AwayError,
// *invalid.Error.
func (i *Identities) Check(ctx context.Context, name, code string) (Identity, error) {
	// A key of no use finds out whether it can be a code, before anything is done.
	if _, err := doordeck.NewEphemeralKey().SignCode(code); err != nil {
		return Identity{}, invalid.Field("code", "%s", err.Error())
	}
	return i.acted(ctx, "identity.check", name, func(ctx context.Context, t *turn) error { return t.check(ctx, code) })
}

func (t *turn) check(ctx context.Context, code string) error {
	r := &t.row
	switch {
	case r.Status != StatusVerification:
		return ErrNotPending
	case r.WrongCodes >= MaxWrongCodes: // one that we know nothing of may have been sent all the same
		return ErrNoCode
	}
	key, err := t.readyToAsk(ctx)
	if err != nil {
		return err
	}
	var got doordeck.Registration
	err = t.call(ctx, r.person(), func(ctx context.Context, token doordeck.Token) (err error) {
		got, err = t.client.Check(ctx, token, key, code)
		return err
	})
	answer, fromDoordeck := errors.AsType[*doordeck.Error](err)
	switch {
	case err == nil:
		return t.adopt(ctx, t.pending(), got)
	case fromDoordeck && answer.Class == doordeck.Forbidden:
		return t.wrong(ctx)
	}
	if r.DueAt = t.now().Add(awayFirst).UnixMilli(); fromDoordeck && answer.Class == doordeck.Transient {
		t.wake() // it may have taken the code: the key tells
	}
	return t.unanswered(ctx, err)
}

// wrong judges a code that Doordeck does not take. It may have taken it before, by a call whose outcome was
// lost: then it takes the key now.
func (t *turn) wrong(ctx context.Context) error {
	if got, err := t.register(ctx, t.pending()); err == nil {
		return t.adopt(ctx, t.pending(), got)
	}
	t.row.WrongCodes++
	if err := t.save(ctx, &t.row); err != nil {
		return err
	}
	return ErrCodeWrong
}

// pending is the key that a code is wanted for.
func (t *turn) pending() which {
	if len(t.row.NextKey) > 0 {
		return next
	}
	return serving
}

// leftAlone is an error while Doordeck wants to be left alone.
func (t *turn) leftAlone() error {
	if wait := when(t.row.WaitUntil).Sub(t.now()); wait > 0 && wait < maxAhead {
		return &AwayError{Wait: wait, TooMany: true}
	}
	return nil
}

// readyToAsk opens the key that waits, unless Doordeck wants to be left alone.
func (t *turn) readyToAsk(ctx context.Context) (doordeck.EphemeralKey, error) {
	if err := t.leftAlone(); err != nil {
		return doordeck.EphemeralKey{}, err
	}
	if err := t.hold(ctx); err != nil {
		return doordeck.EphemeralKey{}, err
	}
	return t.openKey(&t.row, t.pending())
}

// unanswered stores how long to leave Doordeck alone after a verify or check that came to nothing.
func (t *turn) unanswered(ctx context.Context, err error) error {
	answer, ok := errors.AsType[*doordeck.Error](err)
	if ctx.Err() != nil || !ok {
		return err
	}
	wait := max(answer.RetryAfter, awayFirst)
	if answer.Class == doordeck.TooMany {
		wait = max(answer.RetryAfter, backOff(t.row.Attempts, busyFirst, busyMost))
		t.row.Attempts++
		t.row.WaitUntil = t.now().Add(wait).UnixMilli()
	}
	if err := t.save(ctx, &t.row); err != nil {
		return err
	}
	if answer.Class.Retryable() {
		return &AwayError{Wait: wait, TooMany: answer.Class == doordeck.TooMany, cause: err}
	}
	return fmt.Errorf("%w: %w", ErrDoordeckRefuses, err)
}

// since is how long ago something was; for ever if it never was, or by the clock is yet to come.
func (t *turn) since(at int64) time.Duration {
	d := t.now().Sub(when(at))
	if at == 0 || d < 0 {
		return time.Duration(1<<63 - 1)
	}
	return d
}
