package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"gatehouse/internal/vault"
)

// knownKey is a row of vault_keys; times are Unix milliseconds.
type knownKey struct {
	ID        uint32
	Current   bool
	CreatedAt int64 `db:"created_at"`
	CurrentAt int64 `db:"current_at"`
	DroppedAt int64 `db:"dropped_at"`
}

// old tells a key that has sealed, and does so no more.
func (k knownKey) old() bool { return !k.Current && k.CurrentAt > 0 }

func (r *Ring) known(ctx context.Context) ([]knownKey, error) {
	var all []knownKey
	if err := r.DB.Select(ctx, &all, `SELECT id, current, created_at, current_at, dropped_at FROM vault_keys ORDER BY current_at, created_at, id`); err != nil {
		return nil, fmt.Errorf("reading the known keys: %w", err)
	}
	return all, nil
}

// add brings a new key into the key set file, unless one is there already, waits until every replica holds
// it, and then lets it seal.
func (r *Ring) add(ctx context.Context, rot rotation) (waits string, err error) {
	if rot.NewKey == 0 {
		return r.introduce(ctx, rot)
	}
	all, err := r.replicas(ctx, r.DB)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(all, func(p replica) bool { return p.has(rot.NewKey) }) {
		// The file that it stood in is gone with its replica; nothing is sealed with it yet.
		_, err := r.change(ctx, `UPDATE key_rotations SET new_key = 0 WHERE id = ? AND state = ?`, rot.ID, StateAdding)
		return "", err
	}
	return r.switchTo(ctx, rot)
}

// introduce names the new key: one that stands in a replica's file and has never sealed, such as one that the
// operator put there or that was written just before a crash, or else one that it makes.
func (r *Ring) introduce(ctx context.Context, rot rotation) (waits string, err error) {
	id, err := r.fresh(ctx)
	if err != nil {
		return "", err
	}
	if id == 0 {
		err := r.rewrite(ctx, func(keys *vault.Keyset) (*vault.Keyset, error) {
			more, _, err := keys.Add()
			return more, err
		})
		if errors.Is(err, errReadOnly) {
			return "a key set file with one more key: this one cannot be replaced by the gateway. Make it with `gatehouse keys file add` and put it in its place on every replica", nil
		}
		if err != nil {
			return "", err
		}
		if id, err = r.fresh(ctx); err != nil || id == 0 {
			return "", errors.Join(err, errors.New("the new key set file was not taken up"))
		}
	}
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback()
	n, err := tx.Exec(ctx, `UPDATE key_rotations SET new_key = ?, updated_at = `+r.DB.Millis()+` WHERE id = ? AND state = ? AND new_key = 0`, id, rot.ID, StateAdding)
	if err := moved(n, err); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO vault_keys (id, created_at) VALUES (?, `+r.DB.Millis()+`) ON CONFLICT DO NOTHING`, id); err != nil {
		return "", fmt.Errorf("noting the new key: %w", err)
	}
	return "", tx.Commit()
}

// fresh is a key of a live replica that has never sealed, 0 where there is none; this process's own first.
func (r *Ring) fresh(ctx context.Context) (uint32, error) {
	known, err := r.known(ctx)
	if err != nil {
		return 0, err
	}
	all, err := r.replicas(ctx, r.DB)
	if err != nil {
		return 0, err
	}
	held, _ := r.Vault.Using()
	ids := held.Keys()
	for _, p := range all {
		ids = append(ids, p.ids()...)
	}
	for _, id := range ids {
		if !slices.ContainsFunc(known, func(k knownKey) bool { return k.ID == id && k.CurrentAt > 0 }) {
			return id, nil
		}
	}
	return 0, nil
}

// moved turns "no row was touched" into errLost.
func moved(n int64, err error) error {
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// switchTo lets the new key seal, in a transaction that finds it with every live replica.
func (r *Ring) switchTo(ctx context.Context, rot rotation) (waits string, err error) {
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback()
	if err := exclude(ctx, tx); err != nil {
		return "", err
	}
	all, err := r.replicas(ctx, tx)
	if err != nil {
		return "", err
	}
	if lacking := names(all, func(p replica) bool { return !p.has(rot.NewKey) }); lacking != "" {
		return fmt.Sprintf("key %d in the key set file of every replica; it is not there yet on %s", rot.NewKey, lacking), nil
	}
	if held, _ := r.Vault.Using(); !held.Has(rot.NewKey) {
		return "", fmt.Errorf("key set %s lacks key %d", r.Path, rot.NewKey)
	}
	now := r.DB.Millis()
	for _, query := range []string{
		`UPDATE vault_keys SET current = 0 WHERE current = 1 AND id <> ?`,
		`UPDATE vault_keys SET current = 1, current_at = ` + now + ` WHERE id = ?`,
	} {
		if _, err := tx.Exec(ctx, query, rot.NewKey); err != nil {
			return "", fmt.Errorf("naming the key that seals: %w", err)
		}
	}
	n, err := tx.Exec(ctx, `UPDATE key_rotations SET state = ?, updated_at = `+now+` WHERE id = ? AND state = ? AND new_key = ?`,
		StateSwitching, rot.ID, StateAdding, rot.NewKey)
	if err := moved(n, err); err != nil {
		return "", err
	}
	if err := tx.Commit(); err != nil {
		return "", fmt.Errorf("naming the key that seals: %w", err)
	}
	r.Log.Info("a new key seals", "key", rot.NewKey)
	return "", r.look(ctx)
}

// finishSwitch waits until everybody seals with the new key. The file's own primary key follows: the gateway
// does not need that, other programs that read the file may.
func (r *Ring) finishSwitch(ctx context.Context, rot rotation) (waits string, err error) {
	if keys, _ := r.Vault.Using(); keys.Primary() != rot.NewKey {
		err := r.rewrite(ctx, func(keys *vault.Keyset) (*vault.Keyset, error) { return keys.Promote(rot.NewKey) })
		if err != nil && !errors.Is(err, errReadOnly) {
			return "", err
		}
	}
	all, err := r.replicas(ctx, r.DB)
	if err != nil {
		return "", err
	}
	if late := names(all, func(p replica) bool { return p.Seals != rot.NewKey }); late != "" {
		return "every replica to seal with the new key: " + late, nil
	}
	total, err := r.sealedOtherwise(ctx, rot.NewKey)
	if err != nil {
		return "", err
	}
	if _, err := r.change(ctx, `UPDATE key_rotations SET done = 0, total = ? WHERE id = ? AND state = ?`, total, rot.ID, rot.State); err != nil {
		return "", err
	}
	return "", r.enter(ctx, rot, StateResealing)
}

// reseal goes through everything until a pass finds nothing more to do.
func (r *Ring) reseal(ctx context.Context, rot rotation) error {
	left, err := r.sealedOtherwise(ctx, rot.NewKey)
	if err != nil {
		return err
	}
	if _, err := r.change(ctx, `UPDATE key_rotations SET total = done + ? WHERE id = ? AND state = ?`, left, rot.ID, rot.State); err != nil {
		return err
	}
	for {
		sealed, unreadable, err := r.pass(ctx, rot)
		switch {
		case err != nil:
			return err
		case sealed > 0:
			continue
		case rot.DropOld:
			return r.enter(ctx, rot, StateDropping)
		}
		return r.finish(ctx, rot, unreadableRemark(unreadable))
	}
}

func unreadableRemark(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d sealed values cannot be opened with any key: they were damaged, or sealed with a key that is gone", n)
}

// drop takes the old keys out of the file, once nothing can need them.
func (r *Ring) drop(ctx context.Context, rot rotation) (waits string, err error) {
	all, err := r.replicas(ctx, r.DB)
	if err != nil {
		return "", err
	}
	if late := names(all, func(p replica) bool { return p.Seals != rot.NewKey || p.SealingFor < r.Settle.Milliseconds() }); late != "" {
		return fmt.Sprintf("what was sealed before to arrive in the database: %s on %s", r.Settle, late), nil
	}
	known, err := r.known(ctx)
	if err != nil {
		return "", err
	}
	old := slices.DeleteFunc(known, func(k knownKey) bool { return !k.old() || k.DroppedAt > 0 })
	isOld := func(id uint32) bool { return slices.ContainsFunc(old, func(k knownKey) bool { return k.ID == id }) }
	if held, _ := r.Vault.Using(); slices.ContainsFunc(held.Keys(), isOld) {
		if late, _, err := r.pass(ctx, rot); err != nil || late > 0 {
			return "", err // with the next pass there may be none
		}
		if kept, err := r.stillUsed(ctx, isOld); err != nil || kept != "" {
			return "", errors.Join(err, r.finish(ctx, rot, kept))
		}
		err := r.rewrite(ctx, func(keys *vault.Keyset) (*vault.Keyset, error) { return without(keys, rot.NewKey, isOld) })
		if err != nil && !errors.Is(err, errReadOnly) {
			return "", err
		}
	}
	if all, err = r.replicas(ctx, r.DB); err != nil {
		return "", err
	}
	if holding := names(all, func(p replica) bool { return slices.ContainsFunc(p.ids(), isOld) }); holding != "" {
		ids := make([]uint32, len(old))
		for i, k := range old {
			ids[i] = k.ID
		}
		return fmt.Sprintf("a key set file without the old keys %v: `gatehouse keys file drop` makes it; they are still there on %s", ids, holding), nil
	}
	for _, k := range old {
		if _, err := r.change(ctx, `UPDATE vault_keys SET dropped_at = `+r.DB.Millis()+` WHERE id = ?`, k.ID); err != nil {
			return "", err
		}
	}
	return "", r.finish(ctx, rot, "")
}

// stillUsed says why the old keys must stay, "" when nothing is sealed with them.
func (r *Ring) stillUsed(ctx context.Context, isOld func(uint32) bool) (string, error) {
	counts, err := r.counts(ctx)
	for _, c := range counts {
		if isOld(c.Key) {
			return fmt.Sprintf("the old keys were kept: %d values of %s.%s begin with the id of key %d and cannot be opened", c.N, c.Table, c.Field, c.Key), err
		}
	}
	return "", err
}

func without(keys *vault.Keyset, current uint32, drop func(uint32) bool) (_ *vault.Keyset, err error) {
	if keys, err = keys.Promote(current); err != nil {
		return nil, err
	}
	for _, id := range keys.Keys() {
		if drop(id) {
			if keys, err = keys.Drop(id); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

// errReadOnly says that only the operator can replace the key set file.
var errReadOnly = errors.New("the key set file is read-only")

// rewrite changes the file as it is now, and takes it up.
func (r *Ring) rewrite(ctx context.Context, change func(*vault.Keyset) (*vault.Keyset, error)) error {
	if !vault.Replaceable(r.Path) {
		return errReadOnly
	}
	keys, err := vault.ReadKeyset(r.Path)
	if err != nil {
		return err
	}
	if held, _ := r.Vault.Using(); !keys.Same(held) { // a file that Look has refused, or not seen yet
		return fmt.Errorf("the key set file %s is not the one in use", r.Path)
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	if err := keys.Replace(r.Path); err != nil {
		// A file that is mounted alone cannot be renamed over, whoever its directory belongs to.
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return errReadOnly
		}
		return fmt.Errorf("replacing the key set file: %w", err)
	}
	return r.look(ctx)
}
