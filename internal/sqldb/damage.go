package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// ErrDamaged says that the database's file is not what was written.
var ErrDamaged = errors.New("the database is damaged")

// damaged wraps an error by which SQLite says so in ErrDamaged.
func damaged(err error) error {
	said, is := errors.AsType[sqlite3.Error](err)
	if is && (said.Code == sqlite3.ErrCorrupt || said.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w; restore a backup as docs/operations.md says", ErrDamaged, err)
	}
	return err
}

// lost refuses a write-ahead log without its database, with which SQLite would begin anew. A crash leaves both.
func lost(path string) error {
	_, err := os.Stat(path)
	log, unlogged := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) && unlogged == nil && log.Size() > 0 {
		return fmt.Errorf("%w: the file is gone, and %s-wal is still there; put it back, or restore a backup as docs/operations.md says", ErrDamaged, path)
	}
	return nil
}

// Whole looks through all pages of a SQLite file, which takes as long as reading it, and changes nothing. The error is
// ErrDamaged where they do not fit together, and that of ctx where there was no time for all of them.
func (db *DB) Whole(ctx context.Context) error {
	var fault string
	err := db.Get(ctx, &fault, `PRAGMA quick_check(1)`)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return damaged(err)
	case fault != "ok":
		return fmt.Errorf("%w: %s; restore a backup as docs/operations.md says", ErrDamaged, strings.Join(strings.Fields(strings.TrimPrefix(fault, "*** in database main ***")), " "))
	}
	return nil
}
