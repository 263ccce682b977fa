package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse/internal/audit"
)

// The states of a rotation.
const (
	StateAdding    = "adding"
	StateSwitching = "switching"
	StateResealing = "resealing"
	StateDropping  = "dropping"
	StateDone      = "done"
)

const (
	rotationLease = "keys/rotate"
	leadFor       = 10 * time.Second
)

// rotation is a row of key_rotations; times are Unix milliseconds.
type rotation struct {
	ID         int64
	Open       bool
	State      string
	NewKey     uint32 `db:"new_key"` // 0 until there is one
	DropOld    bool   `db:"drop_old"`
	Done       int64
	Total      int64
	WaitsFor   string `db:"waits_for"`
	Error      string
	StartedAt  int64 `db:"started_at"`
	UpdatedAt  int64 `db:"updated_at"`
	FinishedAt int64 `db:"finished_at"`
}

const rotationColumns = `id, open, state, new_key, drop_old, done, total, waits_for, error, started_at, updated_at, finished_at`

// open returns the rotation that is under way.
func (r *Ring) open(ctx context.Context) (rot rotation, open bool, err error) {
	err = r.DB.Get(ctx, &rot, `SELECT `+rotationColumns+` FROM key_rotations WHERE open = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return rot, false, nil
	}
	if err != nil {
		return rot, false, fmt.Errorf("reading the rotation: %w", err)
	}
	return rot, true, nil
}

// Rotate begins a rotation, or, where one is under way, makes sure that it goes on; with dropOld the old keys
// leave the key set at its end. It returns as soon as that is noted.
func (r *Ring) Rotate(ctx context.Context, dropOld bool) (Status, error) {
	return r.begin(ctx, StateAdding, 0, dropOld)
}

// Drop seals again what is still sealed with old keys, and takes them out of the key set. Backups made before
// the last rotation cannot be restored with the key set afterwards.
func (r *Ring) Drop(ctx context.Context) (Status, error) {
	current, err := r.current(ctx, r.DB)
	if err != nil {
		return Status{}, err
	}
	return r.begin(ctx, StateResealing, current, true)
}

func (r *Ring) begin(ctx context.Context, state string, newKey uint32, dropOld bool) (Status, error) {
	// The unique index lets one be open. One that ends at this very moment leaves neither row, so it is tried
	// again.
	for begun := false; !begun; {
		var err error
		if begun, err = r.tryBegin(ctx, state, newKey, dropOld); err != nil {
			return Status{}, fmt.Errorf("beginning a rotation: %w", err)
		}
	}
	select {
	case r.poke <- struct{}{}:
	default:
	}
	return r.Status(ctx)
}

// tryBegin stores a rotation, or asks more of the one that is open, together with who wanted it.
func (r *Ring) tryBegin(ctx context.Context, state string, newKey uint32, dropOld bool) (begun bool, err error) {
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	now := r.DB.Millis()
	n, err := tx.Exec(ctx, `INSERT INTO key_rotations (id, open, state, new_key, drop_old, started_at, updated_at)
		VALUES (`+now+`, 1, ?, ?, ?, `+now+`, `+now+`) ON CONFLICT DO NOTHING`, state, newKey, number(dropOld))
	if err == nil && n == 0 {
		n, err = tx.Exec(ctx, `UPDATE key_rotations SET drop_old = CASE WHEN ? = 1 THEN 1 ELSE drop_old END WHERE open = 1`, number(dropOld))
	}
	if err != nil || n == 0 {
		return false, err
	}
	e := audit.Entry{Actor: audit.ActorFrom(ctx), Action: "keys.rotate", Outcome: audit.Done}
	switch {
	case state != StateAdding:
		e.Action = "keys.drop"
	case dropOld:
		e.Target = "and drop the old keys"
	}
	if _, err := audit.Record(ctx, tx, e); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// lead takes the lease of who carries the rotation on.
func (r *Ring) lead(ctx context.Context) (bool, error) {
	asked := time.Now()
	held, err := r.DB.Acquire(ctx, rotationLease, r.holder, leadFor)
	if held {
		r.led = asked
	}
	return held, err
}

// advance carries an open rotation on as far as it goes now.
func (r *Ring) advance(ctx context.Context) error {
	defer r.metrics.refresh(ctx, r)
	for {
		_, open, err := r.open(ctx)
		if err != nil || !open {
			return err
		}
		if held, err := r.lead(ctx); err != nil || !held {
			return err
		}
		// Whoever led before may have come further since it was read.
		rot, open, err := r.open(ctx)
		if err != nil || !open {
			return err
		}
		waits, err := r.do(ctx, rot)
		if errors.Is(err, errLost) || ctx.Err() != nil {
			return nil
		}
		if noting := r.note(ctx, rot, waits, err); noting != nil || err != nil {
			return errors.Join(err, noting)
		}
		if waits != "" {
			return nil
		}
	}
}

// do does what is next, and returns what has to be waited for; "" means that it came further.
func (r *Ring) do(ctx context.Context, rot rotation) (waits string, err error) {
	switch rot.State {
	case StateAdding:
		return r.add(ctx, rot)
	case StateSwitching:
		return r.finishSwitch(ctx, rot)
	case StateResealing:
		return "", r.reseal(ctx, rot)
	case StateDropping:
		return r.drop(ctx, rot)
	}
	return "", fmt.Errorf("the rotation is in the unknown state %q: a newer program began it; run that one", rot.State)
}

// note keeps in the row what the rotation waits for, or what is wrong.
func (r *Ring) note(ctx context.Context, rot rotation, waits string, wrong error) error {
	text := ""
	if wrong != nil {
		text = wrong.Error()
	}
	if waits == rot.WaitsFor && text == rot.Error {
		return nil
	}
	if waits != "" {
		r.Log.Info("the rotation of the keys waits", "for", waits)
	}
	_, err := r.change(ctx, `UPDATE key_rotations SET waits_for = ?, error = ? WHERE id = ? AND open = 1`, waits, text, rot.ID)
	return err
}

// change runs one statement in a transaction of its own, and returns how many rows it touched.
func (r *Ring) change(ctx context.Context, query string, args ...any) (n int64, err error) {
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("noting the rotation: %w", err)
	}
	defer tx.Rollback()
	if n, err = tx.Exec(ctx, query, args...); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return 0, fmt.Errorf("noting the rotation: %w", err)
	}
	return n, nil
}

// enter moves the rotation from the state it was read in to another.
func (r *Ring) enter(ctx context.Context, rot rotation, state string) error {
	r.Log.Info("rotation of the keys", "step", state, "new_key", rot.NewKey)
	_, err := r.change(ctx, `UPDATE key_rotations SET state = ?, updated_at = `+r.DB.Millis()+` WHERE id = ? AND state = ?`, state, rot.ID, rot.State)
	return err
}

// finish ends the rotation, unless it has just been asked to do more. What could not be done stands in its
// error.
func (r *Ring) finish(ctx context.Context, rot rotation, remark string) error {
	now := r.DB.Millis()
	n, err := r.change(ctx, `UPDATE key_rotations SET state = ?, open = 0, done = total, waits_for = '', error = ?, updated_at = `+now+`, finished_at = `+now+`
		WHERE id = ? AND open = 1 AND drop_old = ?`, StateDone, remark, rot.ID, number(rot.DropOld))
	if err != nil || n == 0 {
		return err
	}
	if remark != "" {
		r.Log.Error("the rotation of the keys has ended", "remark", remark)
	} else {
		r.Log.Info("the rotation of the keys is done", "key", rot.NewKey)
	}
	return r.DB.Release(ctx, rotationLease, r.holder)
}
