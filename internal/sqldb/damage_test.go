package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/internal/sqldb"
)

// filled makes a SQLite file of many pages, and returns its path.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		`CREATE TABLE x (id INTEGER PRIMARY KEY, text TEXT)`,
		`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO x SELECT i, hex(randomblob(400)) FROM n`,
	} {
		if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Whole(t.Context()); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Whole(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("not looked at in full: %v", err)
	}
	return filepath.Join(dir, "gatehouse.db")
}

func TestDamageIsFound(t *testing.T) {
	const page = 4096
	for name, damage := range map[string]func(path string, all []byte) error{
		"no database": func(path string, all []byte) error {
			return os.WriteFile(path, bytes.Repeat([]byte("x"), len(all)), 0o600)
		},
		"cut off": func(path string, all []byte) error { return os.Truncate(path, int64(len(all)/2/page*page)) },
		"a page in the middle": func(path string, all []byte) error {
			copy(all[len(all)/2/page*page:], bytes.Repeat([]byte{0xff}, page))
			return os.WriteFile(path, all, 0o600)
		},
		"gone, but for its log": func(path string, _ []byte) error { return os.Rename(path, path+"-wal") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			all, err := os.ReadFile(path)
			if err == nil {
				err = damage(path, all)
			}
			if err != nil {
				t.Fatal(err)
			}
			db, err := sqldb.Open(t.Context(), "", filepath.Dir(path))
			if err == nil {
				defer db.Close()
				err = db.Whole(t.Context())
			}
			if !errors.Is(err, sqldb.ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}
