package migrations_test

import (
	"strings"
	"testing"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/migrations"
)

// Entries of the audit log from before there were chains stay as they are, in the order of their ids.
func TestTheAuditLogKeepsItsEntries(t *testing.T) {
	test := func(t *testing.T, url, dir string) {
		db, err := sqldb.Open(t.Context(), url, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		exec := func(query string, args ...any) error {
			_, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(query), args...)
			return err
		}
		if err := migrations.UpTo(t.Context(), db.Writer().DB, db.Postgres(), 8); err != nil {
			t.Fatal(err)
		}
		const insert = `INSERT INTO audit_log (id, at, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started)
			VALUES (?, 1, 'key', 'ana', '', '', '', 'a.b', '', '', 'done', 0, '')`
		for _, id := range []string{"b", "a-1", "a", "B"} {
			if err := exec(insert, id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := migrations.Up(t.Context(), db.Writer().DB, db.Postgres()); err != nil {
			t.Fatal(err)
		}
		var ids []string
		if err := db.Select(t.Context(), &ids, `SELECT id FROM audit_log WHERE chain = 0 AND actor = 'ana' AND heads = '' AND length(prev) + length(mac) = 0 ORDER BY seq`); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(ids, " "); got != "B a a-1 b" {
			t.Errorf("the entries are now %q", got)
		}
		for _, statement := range []string{`UPDATE audit_log SET actor = 'x'`, `DELETE FROM audit_log`} {
			if err := exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if err := exec(insert, "c"); err == nil {
			t.Error("a program that knows nothing of chains may write")
		}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, "", t.TempDir()) })
	t.Run("postgres", func(t *testing.T) { test(t, sqldbtest.PostgresURL(t), "") })
}
