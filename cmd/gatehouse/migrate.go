package main

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/internal/sqldb"
	"gatehouse/migrations"
)

type migrateCommands struct {
	Up     migrateUp     `cmd:"" help:"Apply what is missing. serve does so by itself."`
	Status migrateStatus `cmd:"" help:"Show which versions the database has."`
}

// withDatabase opens the configured database, on SQLite holding the data directory's lock as taken by lock.
func (c *Config) withDatabase(ctx context.Context, lock func(dir string) (*sqldb.DirLock, error), use func(*sqldb.DB) error) error {
	if c.DatabaseURL.IsZero() {
		lock, err := lock(c.DataDir)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }()
	}
	db, err := sqldb.Open(ctx, c.DatabaseURL.Reveal(), c.DataDir)
	if err != nil {
		return err
	}
	defer db.Close()
	return use(db)
}

type migrateUp struct{ Config }

func (c *migrateUp) Run(ctx context.Context, t *terminal) error {
	return c.withDatabase(ctx, sqldb.LockDir, func(db *sqldb.DB) error {
		n, err := migrations.Up(ctx, db.Writer().DB, db.Postgres())
		if err != nil {
			return err
		}
		if n == 0 {
			_, err = fmt.Fprintln(t.out, "The database is up to date.")
			return err
		}
		_, err = fmt.Fprintf(t.out, "Applied %d.\n", n)
		return err
	})
}

type migrateStatus struct {
	Config
	JSON bool `env:"-" help:"Print JSON."`
}

func (c *migrateStatus) Run(ctx context.Context, t *terminal) error {
	versions, err := c.versions(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, versions)
	}
	w := t.table("VERSION", "NAME", "APPLIED")
	for _, v := range versions {
		applied := "pending"
		if v.Applied {
			applied = v.AppliedAt
		}
		w.row(v.Version, v.Name, applied)
	}
	return w.print()
}

// versions asks the database. One that is not there is not made by asking.
func (c *migrateStatus) versions(ctx context.Context) (list []migrations.Status, err error) {
	if c.DatabaseURL.IsZero() && !holds(c.DataDir, "gatehouse.db") {
		return migrations.Known(false)
	}
	err = c.withDatabase(ctx, sqldb.LockMade, func(db *sqldb.DB) error {
		list, err = migrations.List(ctx, db.Writer().DB, db.Postgres())
		return err
	})
	if errors.Is(err, sqldb.ErrInUse) { // a gateway runs there, and has a schema: beside it this only reads
		db, err := sqldb.Open(ctx, "", c.DataDir)
		if err != nil {
			return nil, err
		}
		list, err = migrations.List(ctx, db.Writer().DB, false)
		return list, errors.Join(err, db.Close())
	}
	return list, err
}
