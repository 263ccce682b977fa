package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

const (
	// resealStep is how many values one transaction seals again, and resealPause what it leaves to others:
	// on SQLite they wait for the same connection.
	resealStep  = 100
	resealPause = 20 * time.Millisecond
)

// count is how many values of a column a key has sealed.
type count struct {
	Table, Field string
	Key          uint32
	N            int64
}

// counts looks at the first bytes of every sealed value. What no key can have sealed is not counted.
func (r *Ring) counts(ctx context.Context) ([]count, error) {
	var all []count
	for _, c := range r.Columns {
		var rows []struct {
			Prefix []byte
			N      int64
		}
		query := fmt.Sprintf(`SELECT substr(%[2]s, 1, 5) AS prefix, COUNT(*) AS n FROM %[1]s WHERE %[2]s IS NOT NULL GROUP BY 1 ORDER BY 1`, c.Table, c.Field)
		if err := r.DB.Select(ctx, &rows, query); err != nil {
			return nil, fmt.Errorf("counting what is sealed in %s.%s: %w", c.Table, c.Field, err)
		}
		for _, row := range rows {
			if id, ok := vault.KeyID(row.Prefix); ok {
				all = append(all, count{c.Table, c.Field, id, row.N})
			}
		}
	}
	return all, nil
}

// sealedOtherwise is how many values are not sealed with the given key.
func (r *Ring) sealedOtherwise(ctx context.Context, id uint32) (n int64, err error) {
	counts, err := r.counts(ctx)
	for _, c := range counts {
		if c.Key != id {
			n += c.N
		}
	}
	return n, err
}

// value is one sealed value.
type value struct {
	Key    any
	Sealed []byte
}

func (v value) key() []byte {
	if text, ok := v.Key.(string); ok {
		return []byte(text)
	}
	b, _ := v.Key.([]byte)
	return b
}

// pass goes once through all columns and seals with the vault's key what is sealed with another. It returns
// how many it sealed, or has to try again because PostgreSQL gave the transaction up for another's, and how many
// could not be opened; those stay as they are.
func (r *Ring) pass(ctx context.Context, rot rotation) (sealed, unreadable int64, err error) {
	for _, c := range r.Columns {
		var after any
		for {
			values, err := r.next(ctx, c, rot.NewKey, after)
			if err != nil || len(values) == 0 {
				if err != nil {
					return sealed, unreadable, err
				}
				break
			}
			after = values[len(values)-1].Key
			n, bad, err := r.step(ctx, rot, c, values)
			if sqldb.Retryable(err) {
				n, err = int64(len(values)), nil
			}
			if err != nil {
				return sealed, unreadable, err
			}
			sealed, unreadable = sealed+n, unreadable+bad
			if err := r.pause(ctx); err != nil {
				return sealed, unreadable, err
			}
		}
	}
	return sealed, unreadable, nil
}

// next reads values that another key has sealed, in the order of their rows.
func (r *Ring) next(ctx context.Context, c vault.Column, id uint32, after any) ([]value, error) {
	query := fmt.Sprintf(`SELECT %[2]s AS key, %[3]s AS sealed FROM %[1]s WHERE %[3]s IS NOT NULL AND substr(%[3]s, 1, 5) <> ?`, c.Table, c.Key, c.Field)
	args := []any{vault.Prefix(id)}
	if after != nil {
		query += fmt.Sprintf(` AND %s > ?`, c.Key)
		args = append(args, after)
	}
	query += fmt.Sprintf(` ORDER BY %s LIMIT %d`, c.Key, resealStep)
	var values []value
	if err := r.DB.Select(ctx, &values, query, args...); err != nil {
		return nil, fmt.Errorf("reading what is to be sealed again in %s.%s: %w", c.Table, c.Field, err)
	}
	return values, nil
}

// step seals some values of one column again, in one transaction with the progress that it is. A value that
// somebody has replaced since it was read is left alone: the new one has the new key.
func (r *Ring) step(ctx context.Context, rot rotation, c vault.Column, values []value) (sealed, unreadable int64, err error) {
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer tx.Rollback()
	update := fmt.Sprintf(`UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?`, c.Table, c.Field, c.Key, c.Field)
	for _, v := range values {
		again, err := r.Vault.Reseal(c.Place(v.key()), v.Sealed)
		if errors.Is(err, vault.ErrNotOpened) {
			unreadable++
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		n, err := tx.Exec(ctx, update, again, v.Key, v.Sealed)
		if err != nil {
			return 0, 0, fmt.Errorf("sealing %s.%s again: %w", c.Table, c.Field, err)
		}
		sealed += n
	}
	if _, err := tx.Exec(ctx, `UPDATE key_rotations SET done = done + ?, updated_at = `+r.DB.Millis()+` WHERE id = ?`, sealed, rot.ID); err != nil {
		return 0, 0, fmt.Errorf("noting the progress: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return 0, 0, fmt.Errorf("sealing %s.%s again: %w", c.Table, c.Field, err)
	}
	r.metrics.resealed.Add(float64(sealed))
	return sealed, unreadable, nil
}

// pause leaves room for others, and makes sure that this process still leads the rotation and is heard of.
func (r *Ring) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(resealPause):
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if time.Since(r.led) < leadFor/3 {
		return nil
	}
	held, err := r.lead(ctx)
	if err == nil && !held {
		return errLost
	}
	return err
}

// errLost says that another process carries the rotation on.
var errLost = errors.New("another process carries the rotation on")
