package sharing

import (
	"context"
	"errors"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
)

// acted does what somebody asked for to be done at Doordeck with an identity, has it in the audit log before and
// after, and returns the identity as it is then.
func (i *Identities) acted(ctx context.Context, action, name string, work func(context.Context, *turn) error) (Identity, error) {
	if _, err := i.read(ctx, name); err != nil {
		return Identity{}, err
	}
	entry := audit.Entry{Actor: audit.ActorFrom(ctx), Action: action, Target: name, Outcome: audit.Started}
	started, err := i.audit.Write(ctx, entry)
	if err != nil {
		return Identity{}, err
	}
	err = i.withTurn(ctx, name, work)
	entry.Started, entry.Outcome = started, outcome(err)
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, unnoted := i.audit.Write(noting, entry); unnoted != nil {
		i.log.Error("how something ended could not be noted", "action", action, "identity", name, "error", unnoted)
	}
	if err != nil {
		return Identity{}, err
	}
	i.wake() // Run counts
	return i.Get(ctx, name)
}

func outcome(err error) audit.Outcome {
	_, away := errors.AsType[*AwayError](err)
	_, malformed := errors.AsType[*invalid.Error](err)
	switch {
	case err == nil:
		return audit.Done
	case away, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return audit.Unknown
	case malformed, errors.Is(err, ErrCodeWrong), errors.Is(err, ErrNoCode), errors.Is(err, ErrNotPending), errors.Is(err, ErrDoordeckRefuses):
		return audit.Refused
	}
	return audit.Failed
}
