package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/keys"
)

func TestARotationSealsEverythingAgain(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := newPath(t)
		p := start(t, db, path, "one")
		const rows = 250
		fill(t, db, p.vault, rows)
		before, mac := p.status(t), p.vault.MAC("x", []byte("604219"))
		p.rotate(t, false)
		s := p.awaitDone(t)
		if s.Current == before.Current || s.Rotation.NewKey != s.Current || s.Rotation.Error != "" {
			t.Fatalf("%+v %+v", s, s.Rotation)
		}
		if want := int64(rows*6 + 2); s.Rotation.Done != want || s.Rotation.Total != want {
			t.Errorf("%d of %d, want %d", s.Rotation.Done, s.Rotation.Total, want)
		}
		verify(t, db, p.vault, s.Current, rows)
		if !bytes.Equal(mac, p.vault.MAC("x", []byte("604219"))) {
			t.Error("a pseudonym changed")
		}
		if len(s.Replicas) != 1 || len(s.Replicas[0].Keys) != 2 || s.Replicas[0].Seals != s.Current {
			t.Errorf("%+v", s.Replicas)
		}
		p.stop()
		// After a restart everything is as before, and the canary and the MAC key were sealed again too.
		p = start(t, db, path, "one")
		verify(t, db, p.vault, s.Current, rows)
		if !bytes.Equal(mac, p.vault.MAC("x", []byte("604219"))) {
			t.Error("a pseudonym changed with the restart")
		}
		file, err := vault.ReadKeyset(path)
		if err != nil || file.Primary() != s.Current {
			t.Errorf("the file's primary key is %d, want %d; %v", file.Primary(), s.Current, err)
		}
		leaks(t, p, path)
	})
}

// The old key stays for old backups, until somebody says otherwise.
func TestDroppingTheOldKey(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := newPath(t)
		p := start(t, db, path, "one")
		fill(t, db, p.vault, 10)
		old := p.status(t).Current
		p.rotate(t, false)
		p.awaitDone(t)
		if held, _ := p.vault.Using(); !held.Has(old) {
			t.Fatal("the old key was dropped unasked")
		}
		if _, err := p.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.awaitDone(t)
		if held, _ := p.vault.Using(); held.Has(old) || s.Rotation.Error != "" {
			t.Fatalf("keys %v, %+v", held.Keys(), s.Rotation)
		}
		file, err := vault.ReadKeyset(path)
		if err != nil || file.Has(old) || !file.Has(s.Current) {
			t.Fatal(file.Keys(), err)
		}
		for _, k := range s.Keys {
			if want := map[uint32]string{old: keys.KeyDropped, s.Current: keys.KeyCurrent}[k.ID]; k.State != want {
				t.Errorf("key %d is %q, want %q", k.ID, k.State, want)
			}
		}
		// Another rotation, which drops in one go.
		p.rotate(t, true)
		s = p.awaitDone(t)
		if held, _ := p.vault.Using(); len(held.Keys()) != 1 || !held.Has(s.Current) {
			t.Fatalf("keys %v", held.Keys())
		}
		verify(t, db, p.vault, s.Current, 10)
		if entries, err := os.ReadDir(strings.TrimSuffix(path, "/keyset.json")); err != nil || len(entries) != 1 {
			t.Errorf("files are left lying around: %v %v", entries, err)
		}
	})
}

// Asking again while one is under way makes no second one, and so from many processes at once.
func TestOneRotationAtATime(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := start(t, db, newPath(t), "one")
		fill(t, db, p.vault, 120)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := p.Rotate(context.Background(), false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		p.awaitDone(t)
		if s := p.status(t); len(s.Keys) != 2 {
			t.Errorf("%d keys, want 2", len(s.Keys))
		}
		var entries int
		if err := db.Get(t.Context(), &entries, `SELECT COUNT(*) FROM audit_log WHERE action = 'keys.rotate'`); err != nil || entries != 8 {
			t.Errorf("%d entries in the audit log, want 8; %v", entries, err)
		}
	})
}

// A process that is stopped at any moment is followed by one that goes on. What only kill -9 can do is
// tested with the program itself.
func TestAProcessThatEndsAnywhereIsFollowedByOneThatGoesOn(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := newPath(t)
		p := start(t, db, path, "one")
		fill(t, db, p.vault, 150)
		mac := p.vault.MAC("x", nil)
		for round := range 3 {
			p.rotate(t, round == 2)
			for range 25 {
				time.Sleep(rand.N(12 * time.Millisecond))
				p.stop()
				p = start(t, db, path, "one")
			}
			s := p.awaitDone(t)
			verify(t, db, p.vault, s.Current, 150)
		}
		if held, _ := p.vault.Using(); len(held.Keys()) != 1 {
			t.Errorf("keys %v", held.Keys())
		}
		if !bytes.Equal(mac, p.vault.MAC("x", nil)) {
			t.Error("a pseudonym changed")
		}
	})
}

// Whoever writes a value while it is being sealed again has the last word.
func TestAConcurrentRefreshIsNotOverwritten(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := start(t, db, newPath(t), "one")
		fill(t, db, p.vault, 300)
		place := vault.Place{Table: "connections", Row: "Row0150", Field: "refresh_token"}
		refresh := func(n int) error {
			sealed, err := p.vault.Seal(place, vault.NewSecret(fmt.Sprint(planted, n)))
			if err != nil {
				return err
			}
			tx, err := db.Begin(t.Context())
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if n, err := tx.Exec(t.Context(), `UPDATE connections SET refresh_token = ? WHERE account = ?`, sealed, place.Row); n != 1 || err != nil {
				return errors.Join(err, errors.New("no row"))
			}
			return tx.Commit()
		}
		read := func() string {
			var sealed []byte
			if err := db.Get(t.Context(), &sealed, `SELECT refresh_token FROM connections WHERE account = ?`, place.Row); err != nil {
				t.Fatal(err)
			}
			opened, err := p.vault.Open(place, sealed)
			if err != nil {
				t.Fatal(err)
			}
			return opened.Reveal()
		}
		p.rotate(t, false)
		n := 0
		for ; p.status(t).Rotation.Open(); n++ {
			if err := refresh(n); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != fmt.Sprint(planted, n) {
				t.Fatalf("refresh %d was overwritten", n)
			}
		}
		if n < 5 {
			t.Fatalf("only %d refreshes: this test proves nothing", n)
		}
		s := p.status(t)
		for _, v := range s.Sealed {
			if v.Values > 0 && v.Key != s.Current {
				t.Errorf("%+v", v)
			}
		}
	})
}

// What PostgreSQL gives up for another's transaction is sealed all the same, also when that is all that is left.
func TestATransactionThatIsGivenUp(t *testing.T) {
	db := sqldbtest.Postgres(t)
	p := start(t, db, newPath(t), "one")
	fill(t, db, p.vault, 3)
	for _, statement := range []string{
		`CREATE SEQUENCE refusals`,
		`CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN
			IF nextval('refusals') <= 40 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF;
			RETURN NEW; END $$ LANGUAGE plpgsql`,
		`CREATE TRIGGER refuse BEFORE UPDATE ON connections FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	p.rotate(t, false)
	s := p.awaitDone(t)
	verify(t, db, p.vault, s.Current, 3)
}

// A value that no key opens holds nothing up, is told, and keeps the old key from being dropped.
func TestADamagedValue(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := start(t, db, newPath(t), "one")
		fill(t, db, p.vault, 5)
		old := p.status(t).Current
		damaged := append(vault.Prefix(old), []byte("not what was sealed")...)
		if _, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(`UPDATE connections SET revoke_token = ? WHERE account = 'Row0002'`), damaged); err != nil {
			t.Fatal(err)
		}
		p.rotate(t, false)
		if s := p.awaitDone(t); !strings.Contains(s.Rotation.Error, "1 sealed values cannot be opened") {
			t.Fatalf("%+v", s.Rotation)
		}
		if _, err := p.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.awaitDone(t)
		if held, _ := p.vault.Using(); !held.Has(old) || !strings.Contains(s.Rotation.Error, "the old keys were kept") {
			t.Fatalf("%v %+v", held.Keys(), s.Rotation)
		}
	})
}

// A backup of the database opens with a later key set, as long as that holds the key which sealed then; and a
// rotation that was under way goes on where it is restored.
func TestABackupFromBeforeOpensWithALaterKeySet(t *testing.T) {
	db, backups := sqldbtest.SQLite(t), t.TempDir()
	path := newPath(t)
	p := start(t, db, path, "one")
	fill(t, db, p.vault, 400)
	old := p.status(t).Current
	backup := func(name string) *sqldb.DB {
		dir := filepath.Join(backups, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Writer().ExecContext(t.Context(), `VACUUM INTO '`+filepath.Join(dir, "gatehouse.db")+`'`); err != nil {
			t.Fatal(err)
		}
		restored, err := sqldb.Open(t.Context(), "", dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = restored.Close() })
		return restored
	}
	before := backup("before")
	p.rotate(t, false)
	p.await(t, "the middle", func(s keys.Status) bool { return s.Rotation.Done > 0 })
	middle := backup("middle")
	current := p.awaitDone(t).Current
	p.stop()
	one := start(t, before, path, "one")
	verify(t, before, one.vault, old, 400)
	one.stop()
	two := start(t, middle, path, "two")
	if s := two.awaitDone(t); s.Current != current {
		t.Errorf("key %d, want %d", s.Current, current)
	}
	verify(t, middle, two.vault, current, 400)
}

// A disk on which the new file cannot be written stops nothing but the rotation, which goes on by itself.
func TestAFileThatCannotBeWritten(t *testing.T) {
	db := sqldbtest.SQLite(t)
	path := newPath(t)
	p := start(t, db, path, "one")
	fill(t, db, p.vault, 5)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil { // in the way of the temporary file
		t.Fatal(err)
	}
	p.rotate(t, false)
	s := p.await(t, "an error", func(s keys.Status) bool { return s.Rotation.Error != "" })
	if !strings.Contains(s.Rotation.Error, "replacing the key set file") || s.Rotation.State != keys.StateAdding {
		t.Fatalf("%+v", s.Rotation)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Fatal("the file was changed")
	}
	verify(t, db, p.vault, s.Current, 5)
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	s = p.awaitDone(t)
	verify(t, db, p.vault, s.Current, 5)
}

// leaks wants neither a secret nor a key in what people and programs are shown.
func leaks(t *testing.T, p *process, path string) {
	t.Helper()
	shown, err := json.Marshal(p.status(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Key) != 2 {
		t.Fatal(len(file.Key), err)
	}
	set, err := vault.ReadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	all := string(shown) + p.logs.String() + fmt.Sprintf("%v %+v %#v %s", set, set, set, set)
	for _, secret := range []string{planted, file.Key[0].KeyData.Value, file.Key[1].KeyData.Value} {
		if len(secret) < 10 || strings.Contains(all, secret) {
			t.Error("a secret is shown")
		}
	}
}
