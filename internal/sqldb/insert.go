package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

const largestInsert = 64

// Inserter writes many rows with few statements: one INSERT for 64 rows, one for 32, and so on down.
// On SQLite, which would otherwise parse each long statement anew, they are prepared once.
type Inserter struct {
	columns int
	text    map[int]string
	stmts   map[int]*sqlx.Stmt
}

// NewInserter prepares `INSERT INTO table (columns) VALUES … suffix`. The suffix may hold an ON CONFLICT clause.
func (db *DB) NewInserter(ctx context.Context, table string, columns []string, suffix string) (*Inserter, error) {
	in := &Inserter{columns: len(columns), text: map[int]string{}, stmts: map[int]*sqlx.Stmt{}}
	tuple := "(?" + strings.Repeat(",?", len(columns)-1) + ")"
	for n := 1; n <= largestInsert; n *= 2 {
		query := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " +
			tuple + strings.Repeat(","+tuple, n-1) + " " + suffix
		in.text[n] = db.write.Rebind(query)
		if db.postgres {
			continue // pgx keeps its own cache of prepared statements, and knows when there must be none
		}
		stmt, err := db.write.PreparexContext(ctx, in.text[n])
		if err != nil {
			return nil, fmt.Errorf("preparing inserts into %s: %w", table, err)
		}
		in.stmts[n] = stmt
	}
	return in, nil
}

// Exec inserts the rows, whose values stand one after the other in args, and returns how many the
// database took; a conflict clause may have passed over some.
func (in *Inserter) Exec(ctx context.Context, tx *Tx, args []any) (int64, error) {
	var taken int64
	for size := largestInsert; len(args) > 0; {
		if len(args) < size*in.columns {
			size /= 2
			continue
		}
		n, err := in.exec(ctx, tx, size, args[:size*in.columns])
		if err != nil {
			return taken, err
		}
		taken += n
		args = args[size*in.columns:]
	}
	return taken, nil
}

func (in *Inserter) exec(ctx context.Context, tx *Tx, size int, args []any) (int64, error) {
	if stmt := in.stmts[size]; stmt != nil {
		result, err := tx.StmtxContext(ctx, stmt).ExecContext(ctx, args...)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	}
	result, err := tx.ExecContext(ctx, in.text[size], args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
