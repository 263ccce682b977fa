package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/migrations"
)

// What doctor looks at in the database.

// errNothingThere says that a database has not been made yet.
var errNothingThere = errors.New("not made yet; the first start does")

// peek opens the database for looking: it makes none, and not while a gateway runs on its directory.
func (c *doctorCommand) peek(ctx context.Context, look func(*sqldb.DB) (finding, error)) finding {
	if c.DatabaseURL.IsZero() && !c.made() {
		return off("%s", errNothingThere)
	}
	if c.unread {
		return off("unknown: the database cannot be read")
	}
	var f finding
	err := c.withDatabase(ctx, sqldb.LockMade, func(db *sqldb.DB) (err error) {
		f, err = look(db)
		return err
	})
	c.unread = err != nil && !errors.Is(err, sqldb.ErrInUse)
	switch {
	case errors.Is(err, sqldb.ErrInUse):
		return off("a gateway is running on this directory; see below for what it says")
	case errors.Is(err, sqldb.ErrDamaged):
		return fail("keep the file as it is until then; docs/operations.md says what can be saved without a backup", "%s", oneLine(err))
	case err != nil && c.DatabaseURL.IsZero():
		return fail("let the gateway's user read and write it, and its directory", "%s", oneLine(err))
	case err != nil:
		return fail("check GATEHOUSE_DATABASE_URL and that the server lets this machine in", "%s", oneLine(err))
	}
	return f
}

func (c *doctorCommand) checkDatabase(ctx context.Context) finding {
	if c.DatabaseURL.IsZero() && !c.made() && holds(c.DataDir, "jetstream", "admin-token") {
		return warn("put it back, as docs/operations.md says: the next start would make an empty one", "a gateway has run in %s, and its database is gone", c.DataDir)
	}
	return c.peek(ctx, func(db *sqldb.DB) (finding, error) {
		seen, err := c.pages(ctx, db)
		if err != nil {
			return finding{}, err
		}
		made, current, err := schema(ctx, db)
		switch {
		case err != nil:
			return finding{}, err
		case !made:
			return off("%s, without a schema: %s", c.databaseKind(), errNothingThere), nil
		case !current:
			return warn("run: gatehouse migrate up (serve does so too)", "%s, migrations are pending", c.databaseKind()), nil
		}
		if lax, err := laxCommits(ctx, db); err != nil || lax != "" {
			return fail("an answered webhook must survive a power loss: turn it on", "%s", lax), err
		}
		return ok("%s, schema up to date%s", c.databaseKind(), seen), nil
	})
}

// made tells whether there is a SQLite file with something in it, or what belongs beside one.
func (c *doctorCommand) made() bool {
	info, err := os.Stat(filepath.Join(c.DataDir, "gatehouse.db"))
	none := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	return !none || holds(c.DataDir, "gatehouse.db-wal")
}

// pagesTimeout bounds the look through a SQLite file.
const pagesTimeout = 3 * time.Second

// pages looks whether a SQLite file is what was written, and tells how far it has looked.
func (c *doctorCommand) pages(ctx context.Context, db *sqldb.DB) (seen string, err error) {
	if db.Postgres() {
		return "", nil // which proves its pages by checksums
	}
	ctx, cancel := context.WithTimeout(ctx, pagesTimeout)
	defer cancel()
	if err = db.Whole(ctx); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("; its pages were not all looked at in %s", pagesTimeout), nil
	}
	return ", no page is damaged", err
}

// schema tells whether there is one, and whether it is this program's. Asking for the migrations alone would
// make the table that lists them.
func schema(ctx context.Context, db *sqldb.DB) (made, current bool, err error) {
	query := `SELECT COUNT(*) FROM sqlite_master WHERE name = 'goose_db_version'`
	if db.Postgres() {
		query = `SELECT COUNT(to_regclass('goose_db_version'))`
	}
	var tables int
	if err := db.Get(ctx, &tables, query); err != nil || tables == 0 {
		return false, false, err
	}
	list, err := migrations.List(ctx, db.Writer().DB, db.Postgres())
	pending := slices.ContainsFunc(list, func(m migrations.Status) bool { return !m.Applied })
	return true, !pending, err
}

// laxCommits names the setting that lets PostgreSQL forget what it has confirmed.
func laxCommits(ctx context.Context, db *sqldb.DB) (string, error) {
	if !db.Postgres() {
		return "", nil
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := db.Get(ctx, &value, `SELECT current_setting(?)`, name); err != nil {
			return "", err
		}
		if value == "off" {
			return "PostgreSQL runs with " + name + " = off", nil
		}
	}
	return "", nil
}
