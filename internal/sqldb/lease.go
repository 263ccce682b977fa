package sqldb

import (
	"context"
	"fmt"
	"time"
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
