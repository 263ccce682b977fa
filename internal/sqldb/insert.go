package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Stmt is a statement that is run often. On SQLite, which would otherwise parse its text each time, it is
// prepared; on PostgreSQL pgx keeps a cache of its own, and knows when there must be none.
type Stmt struct {
	text     string
	prepared *sqlx.Stmt
}

// Prepare makes one. It must not be called while a transaction is open: SQLite has one writing connection.
func (db *DB) Prepare(ctx context.Context, query string) (*Stmt, error) {
	s := &Stmt{text: db.write.Rebind(query)}
	if db.postgres {
		return s, nil
	}
	var err error
	if s.prepared, err = db.write.PreparexContext(ctx, s.text); err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	return s, nil
}

// Exec runs it and returns how many rows it touched.
func (s *Stmt) Exec(ctx context.Context, tx *Tx, args ...any) (int64, error) {
	if s.prepared != nil {
		return rowsAffected(tx.StmtxContext(ctx, s.prepared).ExecContext(ctx, args...))
	}
	return rowsAffected(tx.ExecContext(ctx, s.text, args...))
}

func rowsAffected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const largestInsert = 64

// Inserter writes many rows with few statements, each for up to 64 of them.
type Inserter struct {
	columns int
	stmts   [largestInsert + 1]*Stmt // by number of rows
}

// NewInserter prepares `INSERT INTO table (columns) VALUES … suffix`. The suffix may hold an ON CONFLICT clause.
func (db *DB) NewInserter(ctx context.Context, table string, columns []string, suffix string) (*Inserter, error) {
	in := &Inserter{columns: len(columns)}
	tuple := "(?" + strings.Repeat(",?", len(columns)-1) + ")"
	for n := 1; n <= largestInsert; n++ {
		var err error
		in.stmts[n], err = db.Prepare(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES "+
			tuple+strings.Repeat(","+tuple, n-1)+" "+suffix)
		if err != nil {
			return nil, fmt.Errorf("inserts into %s: %w", table, err)
		}
	}
	return in, nil
}

// Exec inserts the rows, whose values stand one after the other in args, and returns how many the
// database took; a conflict clause may have passed over some.
func (in *Inserter) Exec(ctx context.Context, tx *Tx, args []any) (int64, error) {
	var taken int64
	for len(args) > 0 {
		rows := min(len(args)/in.columns, largestInsert)
		n, err := in.stmts[rows].Exec(ctx, tx, args[:rows*in.columns]...)
		if err != nil {
			return taken, err
		}
		taken += n
		args = args[rows*in.columns:]
	}
	return taken, nil
}
