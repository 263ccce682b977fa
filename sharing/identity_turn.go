package sharing

import (
	"context"
	"errors"
	"time"

	"gatehouse/internal/sqldb"
)

const (
	// turnLife is how long a process that died keeps others away from an identity. It is renewed before each
	// call to Doordeck, which takes less.
	turnLife = 40 * time.Second
	// turnWait is how long a caller waits for another who works on the same identity.
	turnWait = 20 * time.Second
)

// turn is the time that somebody has with one identity, alone among goroutines and replicas.
type turn struct {
	*Identities
	lease *sqldb.Lease
	row   row
}

// withTurn waits for the identity and lets work be done on it. When the row was changed under it all the same,
// because the lease ran out or an administrator changed it, the work is done once more on what it is now.
func (i *Identities) withTurn(ctx context.Context, name string, work func(context.Context, *turn) error) error {
	if _, err := i.read(ctx, name); err != nil {
		return err
	}
	t := &turn{Identities: i, lease: i.db.NewLease("identity/"+name, turnLife)}
	waiting, cancel := context.WithTimeout(ctx, turnWait)
	held, err := t.lease.Wait(waiting, func() (bool, error) { return false, nil })
	cancel()
	switch {
	case !held && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return ErrBusy
	case err != nil:
		return err
	}
	defer t.lease.Release(ctx)
	return t.do(ctx, name, work)
}

func (t *turn) do(ctx context.Context, name string, work func(context.Context, *turn) error) (err error) {
	for range 3 {
		if t.row, err = t.read(ctx, name); err != nil {
			return err
		}
		if err = work(ctx, t); !errors.Is(err, errMoved) {
			return err
		}
	}
	return ErrBusy
}

// hold renews the lease before something that takes time.
func (t *turn) hold(ctx context.Context) error {
	held, err := t.lease.Acquire(ctx)
	if err == nil && !held { // somebody else has gone on
		err = errMoved
	}
	return err
}
