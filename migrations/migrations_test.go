package migrations_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

// column is a column as both dialects can describe it.
type column struct {
	Table, Name, Type string
	Nullable          bool
}

// Both dialects must give the same tables: the queries are the same.
func TestBothDialectsGiveTheSameTables(t *testing.T) {
	sqlite, postgres := sqliteColumns(t, sqldbtest.SQLite(t)), postgresColumns(t, sqldbtest.Postgres(t))
	if len(sqlite) < 50 {
		t.Fatalf("only %d columns were found", len(sqlite))
	}
	if diff := cmp.Diff(sqlite, postgres); diff != "" {
		t.Fatalf("SQLite (-) and PostgreSQL (+) differ:\n%s", diff)
	}
}

func TestBothDialectsHaveTheSameIndexes(t *testing.T) {
	const sqliteQuery = `SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`
	const postgresQuery = `SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'
		AND tablename <> 'goose_db_version' ORDER BY indexname`
	var sqlite, postgres []string
	if err := sqldbtest.SQLite(t).Select(t.Context(), &sqlite, sqliteQuery); err != nil {
		t.Fatal(err)
	}
	if err := sqldbtest.Postgres(t).Select(t.Context(), &postgres, postgresQuery); err != nil {
		t.Fatal(err)
	}
	sort.Strings(postgres)
	if diff := cmp.Diff(sqlite, postgres); diff != "" || len(sqlite) == 0 {
		t.Fatalf("SQLite (-) and PostgreSQL (+) differ:\n%s", diff)
	}
}

func TestUpTwiceChangesNothing(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if n, err := migrations.Up(t.Context(), db.Writer().DB, db.Postgres()); n != 0 || err != nil {
			t.Fatalf("applied %d, %v", n, err)
		}
		list, err := migrations.List(t.Context(), db.Writer().DB, db.Postgres())
		if err != nil || len(list) == 0 {
			t.Fatal(list, err)
		}
		for _, m := range list {
			if !m.Applied || m.AppliedAt == "" {
				t.Errorf("%+v is not applied", m)
			}
		}
	})
}

func TestOlderProgramRefusesANewerSchema(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const future = `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`
		if _, err := db.Writer().ExecContext(t.Context(), future); err != nil {
			t.Fatal(err)
		}
		_, err := migrations.Up(t.Context(), db.Writer().DB, db.Postgres())
		if err == nil || !strings.Contains(err.Error(), "99999") {
			t.Fatalf("got %v, want an error that names the newer version", err)
		}
	})
}

func sqliteColumns(t *testing.T, db *sqldb.DB) []column {
	t.Helper()
	var rows []struct {
		Table   string `db:"tbl"`
		Name    string `db:"name"`
		Type    string `db:"type"`
		NotNull int    `db:"notnull"`
	}
	const query = `SELECT m.name AS tbl, p.name, p.type, p."notnull" FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, p.name`
	if err := db.Select(t.Context(), &rows, query); err != nil {
		t.Fatal(err)
	}
	columns := make([]column, len(rows))
	for i, r := range rows {
		columns[i] = column{r.Table, r.Name, r.Type, r.NotNull == 0}
	}
	return columns
}

func postgresColumns(t *testing.T, db *sqldb.DB) []column {
	t.Helper()
	var rows []struct {
		Table    string `db:"table_name"`
		Name     string `db:"column_name"`
		Type     string `db:"data_type"`
		Nullable string `db:"is_nullable"`
	}
	const query = `SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name <> 'goose_db_version'`
	if err := db.Select(t.Context(), &rows, query); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{"text": "TEXT", "bigint": "INTEGER", "bytea": "BLOB"}
	columns := make([]column, len(rows))
	for i, r := range rows {
		columns[i] = column{r.Table, r.Name, types[r.Type], r.Nullable == "YES"}
	}
	// By bytes, as SQLite does, and not by a locale.
	sort.Slice(columns, func(i, j int) bool {
		if columns[i].Table != columns[j].Table {
			return columns[i].Table < columns[j].Table
		}
		return columns[i].Name < columns[j].Name
	})
	return columns
}
