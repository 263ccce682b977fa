package keys

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

const (
	// replicaLease is how long a replica counts as live without a sign of life.
	replicaLease = 20 * time.Second
	beatEvery    = 5 * time.Second
	// alone is the same for a process that holds the data directory: its row goes with the next start.
	alone = 100 * 365 * 24 * time.Hour
)

// report is what a process says of itself.
type report struct {
	keys        string
	seals       uint32
	replaceable bool
	fault       string
}

// Join registers this process, after making sure that it holds every key it will need. It is called once,
// before anything is opened or sealed for others.
func (r *Ring) Join(ctx context.Context) error {
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return fmt.Errorf("registering the key set: %w", err)
	}
	defer tx.Rollback()
	if err := exclude(ctx, tx); err != nil {
		return err
	}
	if !tx.Postgres { // whoever else was here has been killed
		if _, err := tx.Exec(ctx, `DELETE FROM vault_replicas`); err != nil {
			return fmt.Errorf("forgetting the process before: %w", err)
		}
	}
	keys, seal := r.Vault.Using()
	current, err := r.current(ctx, tx)
	if err != nil {
		return err
	}
	if !keys.Has(current) {
		return fmt.Errorf("key set %s lacks key %d, which has just become the one that seals this database: put the key set in its place that the other replicas have", r.Path, current)
	}
	if seal != current {
		if err := r.Vault.Use(keys, current); err != nil {
			return err
		}
	}
	if err := r.store(ctx, tx, r.now()); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("registering the key set: %w", err)
	}
	return r.Complete(ctx)
}

// Complete refuses a set that lacks a known key with which something is still sealed. It changes nothing.
func (r *Ring) Complete(ctx context.Context) error {
	keys, _ := r.Vault.Using()
	counts, err := r.counts(ctx)
	if err != nil {
		return err
	}
	known, err := r.known(ctx)
	if err != nil {
		return err
	}
	for _, c := range counts {
		if !keys.Has(c.Key) && slices.ContainsFunc(known, func(k knownKey) bool { return k.ID == c.Key }) {
			return fmt.Errorf("key set %s lacks key %d, with which %d values of %s.%s are sealed: put the key set in its place that holds it; nothing was changed", r.Path, c.Key, c.N, c.Table, c.Field)
		}
	}
	return nil
}

// exclude lets one transaction at a time decide who is there and which key seals.
func exclude(ctx context.Context, tx *sqldb.Tx) error {
	if !tx.Postgres { // SQLite has one writer
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('gatehouse keys'))`); err != nil {
		return fmt.Errorf("locking the keys: %w", err)
	}
	return nil
}

func (r *Ring) now() report {
	keys, seals := r.Vault.Using()
	now := report{keys: strings.Trim(fmt.Sprint(keys.Keys()), "[]"), seals: seals, replaceable: vault.Replaceable(r.Path)}
	if r.fault != nil {
		now.fault = r.fault.Error()
	}
	return now
}

// report writes what is new, and now and then that this process lives.
func (r *Ring) report(ctx context.Context) error {
	now := r.now()
	if now == r.reported && (!r.DB.Postgres() || time.Since(r.reportedAt) < beatEvery) {
		return nil
	}
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := r.store(ctx, tx, now); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("reporting the key set: %w", err)
	}
	r.reported, r.reportedAt = now, time.Now()
	return nil
}

func (r *Ring) store(ctx context.Context, tx *sqldb.Tx, now report) error {
	lease, clock := replicaLease, r.DB.Millis()
	if !tx.Postgres {
		lease = alone
	}
	_, err := tx.Exec(ctx, `INSERT INTO vault_replicas (holder, name, keys, seals, sealing_since, replaceable, error, expires_at)
		VALUES (?, ?, ?, ?, `+clock+`, ?, ?, `+clock+` + ?)
		ON CONFLICT (holder) DO UPDATE SET keys = excluded.keys, replaceable = excluded.replaceable, error = excluded.error,
			sealing_since = CASE WHEN vault_replicas.seals = excluded.seals THEN vault_replicas.sealing_since ELSE excluded.sealing_since END,
			seals = excluded.seals, expires_at = excluded.expires_at`,
		r.holder, r.Name, now.keys, now.seals, number(now.replaceable), now.fault, lease.Milliseconds())
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM vault_replicas WHERE expires_at < `+clock+` - ?`, time.Hour.Milliseconds())
	}
	if err != nil {
		return fmt.Errorf("reporting the key set: %w", err)
	}
	return nil
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// leave lets a rotation not wait for a process that has stopped in order.
func (r *Ring) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	tx, err := r.DB.Begin(ctx)
	if err == nil {
		defer tx.Rollback()
		if _, err = tx.Exec(ctx, `DELETE FROM vault_replicas WHERE holder = ?`, r.holder); err == nil {
			err = tx.Commit()
		}
	}
	if err == nil {
		err = r.DB.Release(ctx, rotationLease, r.holder)
	}
	if err != nil {
		r.Log.Debug("leaving the key set's replicas", "error", err)
	}
}

// replica is a live process as the database knows it.
type replica struct {
	Holder, Name, Keys, Error string
	Seals                     uint32
	SealingFor                int64 `db:"sealing_for"` // milliseconds
	Replaceable               bool
}

func (p replica) ids() []uint32 {
	ids := []uint32{}
	for field := range strings.FieldsSeq(p.Keys) {
		if id, err := strconv.ParseUint(field, 10, 32); err == nil {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

func (p replica) has(id uint32) bool { return slices.Contains(p.ids(), id) }

// querier is a DB or a Tx.
type querier interface {
	Get(ctx context.Context, dest any, query string, args ...any) error
	Select(ctx context.Context, dest any, query string, args ...any) error
}

func (r *Ring) replicas(ctx context.Context, q querier) ([]replica, error) {
	var all []replica
	clock := r.DB.Millis()
	err := q.Select(ctx, &all, `SELECT holder, name, keys, error, seals, `+clock+` - sealing_since AS sealing_for, replaceable
		FROM vault_replicas WHERE expires_at > `+clock+` ORDER BY name, holder`)
	if err != nil {
		return nil, fmt.Errorf("reading who holds which keys: %w", err)
	}
	return all, nil
}

// names lists those replicas for which a condition holds.
func names(all []replica, that func(replica) bool) string {
	var found []string
	for _, p := range all {
		if that(p) {
			found = append(found, p.Name)
		}
	}
	return strings.Join(found, ", ")
}
