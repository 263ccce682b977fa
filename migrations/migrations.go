// Package migrations holds the database schema, for SQLite and PostgreSQL, and brings a database up to it.
//
// The two dialects have one file each per version and the same tables; a test compares the result.
// Migrating is one transaction per version: after a crash a version is either wholly there or not at all.
// Several replicas may start at once on PostgreSQL: they queue for a session lock. On SQLite the lock of
// the data directory keeps other processes away.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed sqlite/*.sql postgres/*.sql
var files embed.FS

// Status is one version of the schema and whether the database has it.
type Status struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
	// AppliedAt is RFC 3339 in UTC, empty while the version is pending.
	AppliedAt string `json:"applied_at,omitempty"`
}

// Up applies every pending version and returns how many there were.
func Up(ctx context.Context, db *sql.DB, postgres bool) (int, error) {
	p, err := provider(db, postgres)
	if err != nil {
		return 0, err
	}
	// A database made by a newer program must not be touched by an older one that does not know its tables.
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	if newest := newestVersion(p); current > newest {
		return 0, fmt.Errorf("the database has schema version %d, this program knows only %d: run the newer program", current, newest)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("migrating the database: %w", err)
	}
	return len(results), nil
}

// List returns every known version, oldest first.
func List(ctx context.Context, db *sql.DB, postgres bool) ([]Status, error) {
	p, err := provider(db, postgres)
	if err != nil {
		return nil, err
	}
	all, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the migration status: %w", err)
	}
	list := make([]Status, 0, len(all))
	for _, m := range all {
		s := Status{Version: m.Source.Version, Name: m.Source.Path, Applied: m.State == goose.StateApplied}
		if s.Applied {
			s.AppliedAt = m.AppliedAt.UTC().Format("2006-01-02T15:04:05Z")
		}
		list = append(list, s)
	}
	return list, nil
}

// Known returns every known version as one that is not applied, oldest first: the status of a database that is not
// there yet.
func Known(postgres bool) ([]Status, error) {
	dir := "sqlite"
	if postgres {
		dir = "postgres"
	}
	entries, err := fs.ReadDir(files, dir) // by name, which begins with the version
	if err != nil {
		return nil, err
	}
	list := make([]Status, 0, len(entries))
	for _, e := range entries {
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the version of %s: %w", e.Name(), err)
		}
		list = append(list, Status{Version: version, Name: e.Name()})
	}
	return list, nil
}

func provider(db *sql.DB, postgres bool) (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, "sqlite"
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if postgres {
		dialect, dir = goose.DialectPostgres, "postgres"
		// One try a second: the default makes the third of three replicas wait five.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, fmt.Errorf("preparing the migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	sub, err := fs.Sub(files, dir)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, sub, options...)
}

func newestVersion(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}
