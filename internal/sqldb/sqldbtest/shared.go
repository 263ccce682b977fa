package sqldbtest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gatehouse/internal/sqldb"
	"gatehouse/migrations"
)

// migrated is the database of the shared cluster that the tests' own are copies of.
const migrated = "migrated"

const sqliteFile = "gatehouse.db"

// shared is what the tests of one binary have in common, made when the first of them asks for it.
var shared = struct {
	sqlite  func() ([]byte, error)
	cluster func() (*Cluster, error) // nil without Tests, which stops it
}{sqlite: sync.OnceValues(sqliteImage)}

// Tests are those of a binary, for its TestMain: goleak.VerifyTestMain(sqldbtest.Tests{M: m}).
type Tests struct{ *testing.M }

// Run runs the tests and then ends the cluster that they shared.
func (t Tests) Run() int {
	var started *Cluster
	shared.cluster = sync.OnceValues(func() (_ *Cluster, err error) {
		if started, err = start(); err != nil {
			return nil, err
		}
		return started, started.prepare()
	})
	code := t.M.Run()
	if started != nil {
		started.Remove()
	}
	return code
}

// PostgresURL makes an empty database in this test binary's cluster and returns its URL. It is dropped when
// the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return sharedCluster(t).NewDatabase(t)
}

func sharedCluster(t testing.TB) *Cluster {
	t.Helper()
	need(t)
	if shared.cluster == nil {
		t.Fatal("the TestMain of this package must run sqldbtest.Tests")
	}
	cluster, err := shared.cluster()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	return cluster
}

// prepare makes the database that the tests' own are copies of.
func (c *Cluster) prepare() error {
	if err := c.exec("CREATE DATABASE " + migrated); err != nil {
		return err
	}
	return migrate(c.URL(migrated), "")
}

// sqliteImage is the file of a migrated database.
func sqliteImage() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := migrate("", dir); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, sqliteFile))
}

// migrate gives a database its tables and closes it, which for SQLite leaves one file.
func migrate(url, dir string) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url, dir)
	if err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, db.Writer().DB, db.Postgres()); err != nil {
		_ = db.Close()
		return err
	}
	return db.Close()
}
