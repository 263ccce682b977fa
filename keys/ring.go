package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// Config is what a Ring needs.
type Config struct {
	DB    *sqldb.DB
	Vault *vault.Vault
	// Path is the key set file.
	Path string
	// Columns are all the places of sealed values.
	Columns []vault.Column
	// Name is what operators know this process by, such as its host and address.
	Name string
	// Every is the time between two looks at file and database; 0 means a second.
	Every time.Duration
	// Settle is how long every replica must have sealed with the new key before an old one is dropped: by
	// then what was sealed before and on its way to the database has arrived. 0 means a minute.
	Settle     time.Duration
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Ring keeps one process's keys in step with the file and with the other replicas.
type Ring struct {
	Config
	holder  string
	poke    chan struct{}
	metrics *metrics

	reported   report
	reportedAt time.Time
	told       string // the last failure that was logged
	fault      error  // what is wrong with the file
	led        time.Time

	missing atomic.Uint32 // the key that seals, where this process lacks it
}

// New makes one. It starts nothing.
func New(c Config) *Ring {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Settle == 0 {
		c.Settle = time.Minute
	}
	return &Ring{Config: c, holder: uuid.NewString(), poke: make(chan struct{}, 1), metrics: newMetrics(c.Registerer)}
}

// Run looks at file and database every second, and carries an open rotation on, until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	defer r.leave(ctx)
	for {
		err := r.look(ctx)
		if err == nil && r.missing.Load() == 0 {
			err = r.advance(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		r.tell(errors.Join(err, r.fault))
		select {
		case <-ticker.C:
		case <-r.poke:
		case <-ctx.Done():
			return nil
		}
	}
}

// tell logs what keeps the keys from being in step: once, until it changes.
func (r *Ring) tell(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now == r.told {
		return
	}
	r.told = now
	if err != nil {
		r.Log.Error("looking after the key set failed; trying again", "error", err)
	} else {
		r.Log.Info("the key set is in order again")
	}
}

// look takes up what has changed in the file and in the database, and reports it.
func (r *Ring) look(ctx context.Context) (err error) {
	if r.fault, err = r.take(ctx); err != nil {
		return err
	}
	return r.report(ctx)
}

// current is the id of the key that seals the database.
func (r *Ring) current(ctx context.Context, q querier) (id uint32, err error) {
	if err = q.Get(ctx, &id, `SELECT id FROM vault_keys WHERE current = 1`); err != nil {
		return 0, fmt.Errorf("reading which key seals the database: %w", err)
	}
	return id, nil
}

// take brings the vault in step. A file that cannot be used, or lacks a key that is needed, is a fault: the
// vault goes on with the keys in memory.
func (r *Ring) take(ctx context.Context) (fault, err error) {
	current, err := r.current(ctx, r.DB)
	if err != nil {
		return nil, err
	}
	held, seal := r.Vault.Using()
	keys := held
	file, fault := vault.ReadKeyset(r.Path)
	if fault == nil && !file.Same(held) {
		if fault, err = r.unfit(ctx, file, held, current); err != nil {
			return nil, err
		}
		if fault == nil {
			keys = file
		}
	}
	if !keys.Has(current) {
		r.missing.Store(current)
		return errors.Join(fault, fmt.Errorf("key set %s lacks key %d, with which the other replicas seal now: put their key set in its place", r.Path, current)), nil
	}
	r.missing.Store(0)
	if keys == held && seal == current {
		return fault, nil
	}
	r.Log.Info("the key set has changed", "keys", keys.Keys(), "seals", current)
	return fault, r.Vault.Use(keys, current)
}

// unfit tells why a new file must not be taken: it lacks a key that is needed and that is in memory.
func (r *Ring) unfit(ctx context.Context, file, held *vault.Keyset, current uint32) (fault, err error) {
	if held.Has(current) && !file.Has(current) {
		return fmt.Errorf("key set %s has changed and lacks key %d, which seals now: put it back; the keys in memory serve until then", r.Path, current), nil
	}
	if rot, open, err := r.open(ctx); err != nil {
		return nil, err
	} else if open && held.Has(rot.NewKey) && !file.Has(rot.NewKey) {
		return fmt.Errorf("key set %s has changed and lacks key %d, which is being introduced: put it back", r.Path, rot.NewKey), nil
	}
	var gone []uint32
	for _, id := range held.Keys() {
		if !file.Has(id) {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	counts, err := r.counts(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		if slices.Contains(gone, c.Key) {
			return fmt.Errorf("key set %s has changed and lacks key %d, with which %s.%s is still sealed: put it back; the keys in memory serve until then", r.Path, c.Key, c.Table, c.Field), nil
		}
	}
	return nil, nil
}

// Healthy tells whether this process can open what the others seal.
func (r *Ring) Healthy(context.Context) error {
	if id := r.missing.Load(); id != 0 {
		return fmt.Errorf("the key set lacks key %d", id)
	}
	return nil
}
