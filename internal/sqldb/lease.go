package sqldb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Millis is the SQL expression for the database's own clock in Unix milliseconds. Leases are judged by
// it, so that replicas whose clocks differ agree on who holds what.
func (db *DB) Millis() string {
	if db.postgres {
		return `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
	}
	return `CAST(unixepoch('subsec') * 1000 AS INTEGER)`
}

// Acquire takes or renews the named lease for holder and tells whether holder has it now.
//
// A lease keeps others out only until it runs out: a holder that stalls for longer than ttl may find that
// somebody else went ahead. So whoever has acquired it reads the state it protects again before acting,
// and guards its writes with a compare-and-swap as well.
func (db *DB) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	now := db.Millis()
	query := `INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ` + now + ` + ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
		WHERE leases.expires_at <= ` + now + ` OR leases.holder = excluded.holder`
	result, err := db.write.ExecContext(ctx, db.write.Rebind(query), name, holder, ttl.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("acquiring lease %s: %w", name, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Release gives the lease up if holder still has it.
func (db *DB) Release(ctx context.Context, name, holder string) error {
	const query = `DELETE FROM leases WHERE name = ? AND holder = ?`
	if _, err := db.write.ExecContext(ctx, db.write.Rebind(query), name, holder); err != nil {
		return fmt.Errorf("releasing lease %s: %w", name, err)
	}
	return nil
}

// ForgetLeases gives up every lease, for a process that holds the data directory alone: whoever had one was
// killed, and waiting for it to run out would only delay the work.
func (db *DB) ForgetLeases(ctx context.Context) error {
	if _, err := db.write.ExecContext(ctx, `DELETE FROM leases`); err != nil {
		return fmt.Errorf("forgetting leases: %w", err)
	}
	return nil
}

// Lease is one flight's claim to a named lease. Each has a holder of its own, so that two flights of one
// process exclude each other like those of two.
type Lease struct {
	db           *DB
	name, holder string
	ttl          time.Duration
}

// NewLease makes one that is not held yet.
func (db *DB) NewLease(name string, ttl time.Duration) *Lease {
	return &Lease{db: db, name: name, holder: uuid.NewString(), ttl: ttl}
}

// Acquire takes or renews the lease and tells whether it is held now. See DB.Acquire for what that promises.
func (l *Lease) Acquire(ctx context.Context) (bool, error) {
	return l.db.Acquire(ctx, l.name, l.holder, l.ttl)
}

// Wait acquires the lease. While another has it, stop is asked whether there is still a point in waiting.
func (l *Lease) Wait(ctx context.Context, stop func() (bool, error)) (held bool, err error) {
	for pause := 25 * time.Millisecond; ; pause = min(pause*3/2, 500*time.Millisecond) {
		if held, err = l.Acquire(ctx); held || err != nil {
			return held, err
		}
		if stopped, err := stop(); stopped || err != nil {
			return false, err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, context.Cause(ctx)
		}
	}
}

// Renew keeps the lease until the function that it returns is called. A renewal that fails is tried again.
func (l *Lease) Renew(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(l.ttl / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = l.Acquire(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// Release lets the next one in at once, also when ctx has ended. If it fails the lease runs out.
func (l *Lease) Release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = l.db.Release(ctx, l.name, l.holder)
}
