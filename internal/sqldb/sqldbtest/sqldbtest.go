// Package sqldbtest gives tests a migrated database of each kind: SQLite in a temporary directory, and a
// database of its own in a throwaway PostgreSQL cluster that is started from its own binaries.
package sqldbtest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"os"
	"testing"

	"gatehouse/internal/sqldb"
	"gatehouse/migrations"
)

// Each runs a test on SQLite and on PostgreSQL. Without PostgreSQL's binaries that half is skipped, except
// in CI, where it fails.
func Each(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns a new, migrated SQLite database, closed when the test ends.
func SQLite(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, "", t.TempDir())
}

// Postgres returns a new, migrated PostgreSQL database, closed and dropped when the test ends.
func Postgres(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, PostgresURL(t), "")
}

// Open returns another view of a PostgreSQL database, as a second replica has it; it is closed when the test ends.
func Open(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	return open(t, url, "")
}

// Sign is what the databases of tests sign with.
func Sign(data []byte) []byte {
	h := hmac.New(sha256.New, []byte("a key of tests"))
	h.Write(data)
	return h.Sum(nil)
}

func open(t testing.TB, url, dir string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), url, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SignWith(Sign)
	if _, err := migrations.Up(context.Background(), db.Writer().DB, db.Postgres()); err != nil {
		t.Fatal(err)
	}
	return db
}

// missing skips, or fails in CI, where a skipped suite would be a hole nobody sees.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed in CI", what)
	}
	t.Skipf("skipped: %s is not installed (apt install postgresql-15)", what)
}
