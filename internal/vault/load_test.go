package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

var place = vault.Place{Table: "connections", Row: "hX9aQ2", Field: "refresh_token"}

// load opens a vault and wants it to work.
func load(t *testing.T, path string, db *sqldb.DB) *vault.Vault {
	t.Helper()
	v, err := vault.Load(t.Context(), path, db.Writer(), true)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedOpensAgainAfterARestart(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := filepath.Join(t.TempDir(), "keyset.json")
		v := load(t, path, db)
		sealed, err := v.Seal(place, vault.NewSecret("rt_41"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed, []byte("rt_41")) {
			t.Fatal("the secret stands in what was sealed")
		}
		again := load(t, path, db)
		opened, err := again.Open(place, sealed)
		if err != nil || opened.Reveal() != "rt_41" {
			t.Fatalf("opened %q, %v", opened.Reveal(), err)
		}
		if !bytes.Equal(v.MAC("x", []byte("604219")), again.MAC("x", []byte("604219"))) {
			t.Fatal("a MAC changed with a restart")
		}
		if bytes.Equal(v.MAC("x", []byte("604219")), v.MAC("y", []byte("604219"))) {
			t.Fatal("a MAC for one purpose serves for another")
		}
		covered, err := v.Cover("x").Encrypt([]byte("position 41"), nil)
		if err != nil || bytes.Contains(covered, []byte("41")) {
			t.Fatalf("covered as %q, %v", covered, err)
		}
		if plain, err := again.Cover("x").Decrypt(covered, nil); err != nil || string(plain) != "position 41" {
			t.Fatalf("what was covered before a restart opens as %q, %v", plain, err)
		}
		if _, err := again.Cover("y").Decrypt(covered, nil); err == nil {
			t.Fatal("what was covered for one purpose opens for another")
		}
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
			t.Fatalf("the key set has mode %v", info.Mode().Perm())
		}
	})
}

func TestSealedDoesNotOpenElsewhere(t *testing.T) {
	v := load(t, filepath.Join(t.TempDir(), "keyset.json"), sqldbtest.SQLite(t))
	sealed, err := v.Seal(place, vault.NewSecret("rt_41"))
	if err != nil {
		t.Fatal(err)
	}
	for name, elsewhere := range map[string]vault.Place{
		"another table": {Table: "connect_links", Row: place.Row, Field: place.Field},
		"another row":   {Table: place.Table, Row: "nbYfy7", Field: place.Field},
		"another field": {Table: place.Table, Row: place.Row, Field: "access_token"},
		"shifted parts": {Table: place.Table + place.Row, Row: "", Field: place.Field},
	} {
		if _, err := v.Open(elsewhere, sealed); !errors.Is(err, vault.ErrNotOpened) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := v.Open(place, sealed); !errors.Is(err, vault.ErrNotOpened) {
		t.Errorf("changed: %v", err)
	}
	if _, err := v.Open(place, nil); !errors.Is(err, vault.ErrNotOpened) {
		t.Errorf("empty: %v", err)
	}
}

// Whatever is wrong with the key set, the start ends with one line that names the file, and neither the
// file nor the database is touched.
func TestLoadRefusesAKeySetThatIsNotTheDatabasesOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"missing": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "missing"},
		"another": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			load(t, path, sqldbtest.SQLite(t))
		}, "not the one this database was sealed with"},
		"damaged":         {func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(`{"primaryKeyId":1}`), 0o600)) }, "damaged"},
		"not JSON":        {func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("secret\x00text"), 0o600)) }, "damaged"},
		"empty":           {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, "damaged"},
		"open to others":  {func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) }, "may be read by others"},
		"a directory now": {func(t *testing.T, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o700)) }, "key set"},
	} {
		t.Run(name, func(t *testing.T) {
			db := sqldbtest.SQLite(t)
			path := filepath.Join(t.TempDir(), "keyset.json")
			load(t, path, db)
			tt.spoil(t, path)
			before, rows := contents(path), sealedRows(t, db)
			_, err := vault.Load(t.Context(), path, db.Writer(), true)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatal("the error quotes the file")
			}
			if contents(path) != before || sealedRows(t, db) != rows {
				t.Fatal("something was changed")
			}
		})
	}
}

// A shared database must not get a key set that only one replica has.
func TestLoadMakesNothingUnlessToldTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := vault.Load(t.Context(), path, sqldbtest.Postgres(t).Writer(), false); err == nil {
		t.Fatal("started without a key set")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatal("made a key set")
	}
}

func TestReplicasThatStartAtOnceAgree(t *testing.T) {
	db := sqldbtest.Postgres(t)
	path := filepath.Join(t.TempDir(), "keyset.json")
	load(t, path, sqldbtest.SQLite(t)) // only to make the file
	macs := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range macs {
		wg.Go(func() {
			v, err := vault.Load(t.Context(), path, db.Writer(), false)
			if err != nil {
				t.Error(err)
				return
			}
			macs[i] = v.MAC("x", nil)
		})
	}
	wg.Wait()
	for _, m := range macs {
		if !bytes.Equal(m, macs[0]) {
			t.Fatal("two replicas have different keys")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contents(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func sealedRows(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	var rows []string
	must(t, db.Select(t.Context(), &rows, `SELECT name || hex(sealed) FROM vault_secrets ORDER BY name`))
	return strings.Join(rows, ",")
}
