// Package sqldbtest gives tests a migrated database of each kind: SQLite in a temporary directory, and a
// database of its own in a throwaway PostgreSQL cluster that is started from its own binaries. What takes
// long is done once in a test binary: each test gets a copy of a database that was migrated.
package sqldbtest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"os"
	"path/filepath"
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
	return SQLiteIn(t, t.TempDir())
}

// SQLiteIn is SQLite in a directory that the test will look into.
func SQLiteIn(t testing.TB, dir string) *sqldb.DB {
	t.Helper()
	image, err := shared.sqlite()
	if err != nil {
		t.Fatalf("making a SQLite database: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, sqliteFile), image, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, "", dir)
}

// Postgres returns a new, migrated PostgreSQL database, closed and dropped when the test ends.
func Postgres(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, sharedCluster(t).database(t, migrated), "")
}

// Open returns a PostgreSQL database as one of several replicas has it: it gets its tables if it has none yet,
// and is closed when the test ends.
func Open(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	db := open(t, url, "")
	if _, err := migrations.Up(context.Background(), db.Writer().DB, true); err != nil {
		t.Fatal(err)
	}
	return db
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
	return db
}

// need skips a test without PostgreSQL, or fails it in CI, where a skipped suite would be a hole nobody sees.
func need(t testing.TB) {
	t.Helper()
	if binaries() != "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("PostgreSQL (initdb, postgres) is needed in CI")
	}
	t.Skip("skipped: PostgreSQL (initdb, postgres) is not installed (apt install postgresql)")
}
