package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

// checkEvery is how often a ready identity's key is shown to Doordeck, so that somebody can enter a code before a
// visitor stands at the door.
const checkEvery = 6 * time.Hour

// Register has an identity's key registered now: the one that waits, or again the one that serves. With
// newKey true a new key is made, while the old one goes on serving until Doordeck takes the new; with newKey
// false one that waits is given up for the old. What Doordeck says shows in the identity that is returned.
// Errors: ErrNoIdentity, ErrBusy, *AwayError, *invalid.Error.
func (i *Identities) Register(ctx context.Context, name string, newKey *bool) (Identity, error) {
	return i.acted(ctx, "identity.register", name, func(ctx context.Context, t *turn) error {
		if err := t.leftAlone(); err != nil {
			return err
		}
		if newKey != nil {
			if err := t.chooseKey(ctx, *newKey); err != nil {
				return err
			}
		} else if t.row.Status == StatusReady && t.since(t.row.RegisteredAt) < sendAgain {
			return nil // it was registered just now, by Run or another replica
		}
		return t.look(ctx, true)
	})
}

// chooseKey makes a key that is to take the other's place, or gives it up.
func (t *turn) chooseKey(ctx context.Context, fresh bool) error {
	switch waits, serves := len(t.row.NextKey) > 0, len(t.row.SigningKey) > 0; {
	case fresh && serves && !waits:
		return t.makeKey(ctx)
	case !fresh && waits && !serves:
		return invalid.Field("new_key", "must not be false: there is no older key to go back to")
	case !fresh && waits:
		t.row.dropNext()
		t.row.forgetCode()
		return t.save(ctx, &t.row)
	}
	return nil
}

// makeKey has a key on disk before Doordeck hears of it.
func (t *turn) makeKey(ctx context.Context) error {
	if err := t.sealKey(&t.row, next, doordeck.NewEphemeralKey()); err != nil {
		return err
	}
	t.row.forgetCode()
	return t.save(ctx, &t.row)
}

func (r *row) forgetCode() { r.Method, r.CodeSentAt, r.WrongCodes, r.WaitUntil = "", 0, 0, 0 }

// look registers what has to be registered, renews what has to be renewed, and else checks. Force renews in any
// case.
func (t *turn) look(ctx context.Context, force bool) error {
	if len(t.row.SigningKey) == 0 && len(t.row.NextKey) == 0 {
		if err := t.makeKey(ctx); err != nil {
			return err
		}
	}
	if len(t.row.NextKey) == 0 {
		return t.show(ctx, serving, force)
	}
	if len(t.row.SigningKey) > 0 && t.renewable() { // it serves until the other does
		if err := t.show(ctx, serving, true); err != nil {
			return err
		}
	}
	return t.show(ctx, next, true)
}

func (t *turn) renewable() bool { return t.clock.Now().UnixMilli() >= t.row.RenewAt }

// show has one of the keys registered and stores what comes of it.
func (t *turn) show(ctx context.Context, w which, renew bool) error {
	got, err := t.register(ctx, w)
	if err != nil {
		return t.refused(ctx, err)
	}
	t.metrics.registrations.WithLabelValues("registered").Inc()
	if t.row.Status == StatusReady && w == serving && !renew && !t.renewable() {
		t.row.Reason, t.row.Detail, t.row.Attempts, t.row.CheckedAt = "", "", 0, t.now().UnixMilli()
		t.row.DueAt = t.dueAt()
		return t.save(ctx, &t.row)
	}
	return t.adopt(ctx, w, got)
}

func (t *turn) register(ctx context.Context, w which) (got doordeck.Registration, err error) {
	key, err := t.openKey(&t.row, w)
	if err != nil {
		return got, err
	}
	if err := t.hold(ctx); err != nil {
		return got, err
	}
	err = t.call(ctx, t.row.person(), func(ctx context.Context, token doordeck.Token) (err error) {
		got, err = t.client.Register(ctx, token, key)
		return err
	})
	if err == nil && !t.clock.Now().Before(got.Chain.NotAfter()) {
		err = &doordeck.Error{Status: 200, Class: doordeck.Transient, Message: "the certificate chain has ended already"}
	}
	return got, err
}

// adopt lets a key serve with the chain that it has got.
func (t *turn) adopt(ctx context.Context, w which, got doordeck.Registration) error {
	r := &t.row
	chain, err := json.Marshal(got.Chain.Entries())
	if err != nil {
		return err
	}
	if w == next {
		key, err := t.openKey(r, next)
		if err == nil {
			err = t.sealKey(r, serving, key)
		}
		if err != nil {
			return err
		}
		r.dropNext()
	}
	now := t.now().UnixMilli()
	r.UserID, r.Chain, r.ServesUntil, r.RenewAt = string(got.UserID), string(chain), millis(got.Chain.NotAfter()), millis(got.Chain.RenewAt())
	r.RegisteredAt, r.CheckedAt, r.Attempts = now, now, 0
	what := saidRenewed
	if r.Status != StatusReady && len(r.NextKey) == 0 {
		r.Status, what = StatusReady, StatusReady
	}
	if len(r.NextKey) == 0 {
		r.Reason, r.Detail = "", ""
		r.forgetCode()
	}
	r.DueAt = t.dueAt()
	message, err := t.say(r, what)
	if err != nil {
		return err
	}
	if err := t.save(ctx, r, message); err != nil {
		return err
	}
	t.log.Info("an identity's key is registered", "identity", r.Name, "status", r.Status, "serves_until", when(r.ServesUntil))
	return nil
}

// dueAt is when a key that is registered is shown to Doordeck again. Local time, of which Doordeck's may differ.
func (t *turn) dueAt() int64 {
	wait := when(t.row.RenewAt).Sub(t.clock.Now())
	if wait <= 0 { // the chain came with a certificate that ends soon
		wait = max(time.Minute, when(t.row.ServesUntil).Sub(t.clock.Now())/3)
	}
	return t.now().Add(min(wait, jitter(checkEvery))).UnixMilli()
}

// revive waits for an identity that cannot act yet or any more, where there is hope.
func (i *Identities) revive(ctx context.Context, r row) (row, error) {
	hopeful := func(r row) bool {
		return (r.Status == StatusReady || r.Status == StatusUnregistered) && (r.Attempts == 0 || r.DueAt <= i.now().UnixMilli())
	}
	if hopeful(r) {
		err := i.withTurn(ctx, r.Name, func(ctx context.Context, t *turn) error {
			if t.row.serves(i.clock.Now()) || !hopeful(t.row) {
				return nil
			}
			return t.look(ctx, false)
		})
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if _, away := errors.AsType[*AwayError](err); err != nil && !away && !errors.Is(err, ErrBusy) {
			return r, fmt.Errorf("registering identity %s: %w", r.Name, err)
		}
		if r, err = i.read(ctx, r.Name); err != nil {
			return r, err
		}
	}
	if !r.serves(i.clock.Now()) {
		status := r.Status
		if status == StatusReady { // the chain has ended this moment
			status = StatusFailed
		}
		return r, &NotReadyError{Identity: r.Name, Status: status}
	}
	return r, nil
}
