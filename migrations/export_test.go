package migrations

import (
	"context"
	"database/sql"
)

// UpTo brings a database to an older version than the newest.
func UpTo(ctx context.Context, db *sql.DB, postgres bool, version int64) error {
	p, err := provider(db, postgres)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}
