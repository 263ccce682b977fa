package keys_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/keys"
)

// twoReplicas share a database, and each has a copy of the key set.
func twoReplicas(t *testing.T, db *sqldb.DB) (one, two *process) {
	t.Helper()
	set, err := vault.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	first, second := newPath(t), newPath(t)
	if err := set.WriteNew(first); err != nil {
		t.Fatal(err)
	}
	copyFile(t, first, second)
	return start(t, db, first, "one"), start(t, db, second, "two")
}

func TestTheNewKeySealsOnlyWhenEveryReplicaHasIt(t *testing.T) {
	db := sqldbtest.Postgres(t)
	one, two := twoReplicas(t, db)
	fill(t, db, one.vault, 30)
	old := one.status(t).Current
	one.rotate(t, false)
	s := one.await(t, "one replica that lacks the key", func(s keys.Status) bool { return s.Rotation.WaitsFor != "" })
	if s.Current != old || s.Rotation.State != keys.StateAdding || !strings.Contains(s.Rotation.WaitsFor, fmt.Sprint(s.Rotation.NewKey)) {
		t.Fatalf("%+v", s.Rotation)
	}
	verify(t, db, two.vault, old, 30)
	// Whichever of them made the key, the other gets it from the operator.
	if held, _ := one.vault.Using(); held.Has(s.Rotation.NewKey) {
		copyFile(t, one.path, two.path)
	} else {
		copyFile(t, two.path, one.path)
	}
	s = two.awaitDone(t)
	verify(t, db, one.vault, s.Current, 30)
	verify(t, db, two.vault, s.Current, 30)
	if len(s.Replicas) != 2 || s.Current == old {
		t.Fatalf("%+v", s)
	}
}

// A replica with an old file must not start once the new key seals: it could not open what it finds.
func TestAReplicaThatStartsWithAnOldFile(t *testing.T) {
	db := sqldbtest.Postgres(t)
	one, two := twoReplicas(t, db)
	fill(t, db, one.vault, 3)
	stale := newPath(t)
	copyFile(t, one.path, stale)
	one.rotate(t, false)
	// While the key is being introduced it may start, and is waited for.
	s := one.await(t, "a new key", func(s keys.Status) bool { return s.Rotation.NewKey != 0 && s.Rotation.WaitsFor != "" })
	three := start(t, db, stale, "three")
	source, target := one, two
	if held, _ := one.vault.Using(); !held.Has(s.Rotation.NewKey) {
		source, target = two, one
	}
	copyFile(t, source.path, target.path)
	three.await(t, "the third one's turn", func(s keys.Status) bool { return strings.HasSuffix(s.Rotation.WaitsFor, " three") })
	three.stop()
	s = one.awaitDone(t)
	if _, err := tryStart(t, db, stale, "three"); err == nil || !strings.Contains(err.Error(), fmt.Sprint(s.Current)) ||
		!strings.Contains(err.Error(), "a rotation has made") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v", err)
	}
	copyFile(t, one.path, stale)
	verify(t, db, start(t, db, stale, "three").vault, s.Current, 3)
}

// A replica that comes back without the key that seals by now says so and takes the key up when it is there.
func TestAReplicaThatWasThoughtDead(t *testing.T) {
	db := sqldbtest.Postgres(t)
	one, two := twoReplicas(t, db)
	fill(t, db, one.vault, 3)
	two.stop()
	// It is dead to the others, and runs on: a second life with the same file and vault.
	one.rotate(t, false)
	s := one.awaitDone(t)
	back := keys.New(keys.Config{DB: db, Vault: two.vault, Path: two.path, Columns: columns, Name: "two", Every: 5 * time.Millisecond, Log: discard()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- back.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	one.await(t, "a complaint", func(s keys.Status) bool {
		return len(s.Replicas) == 2 && strings.Contains(s.Replicas[1].Error, "lacks key") && back.Healthy(ctx) != nil
	})
	copyFile(t, one.path, two.path)
	one.await(t, "peace", func(s keys.Status) bool {
		return len(s.Replicas) == 2 && s.Replicas[1].Error == "" && s.Replicas[1].Seals == s.Current && back.Healthy(ctx) == nil
	})
	verify(t, db, two.vault, s.Current, 3)
}

// Where the gateway cannot replace the file it says what to do, and goes on when that has been done.
func TestAReadOnlyFile(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		set, err := vault.NewKeyset()
		if err != nil {
			t.Fatal(err)
		}
		file, path := mounted(t)
		write := func(set *vault.Keyset) {
			t.Helper()
			if err := file.Truncate(0); err != nil {
				t.Fatal(err)
			}
			if _, err := file.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
			if err := set.Write(file); err != nil {
				t.Fatal(err)
			}
		}
		write(set)
		p := start(t, db, path, "one")
		fill(t, db, p.vault, 3)
		old := p.status(t).Current
		if p.status(t).Replicas[0].Replaceable {
			t.Fatal("the file is taken for one that can be replaced")
		}
		p.rotate(t, true)
		s := p.await(t, "what to do", func(s keys.Status) bool { return strings.Contains(s.Rotation.WaitsFor, "gatehouse keys file add") })
		if s.Rotation.NewKey != 0 {
			t.Fatalf("%+v", s.Rotation)
		}
		more, id, err := set.Add()
		if err != nil {
			t.Fatal(err)
		}
		write(more)
		s = p.await(t, "what to do", func(s keys.Status) bool { return strings.Contains(s.Rotation.WaitsFor, "gatehouse keys file drop") })
		if s.Current != id || s.Rotation.State != keys.StateDropping {
			t.Fatalf("%+v", s.Rotation)
		}
		verify(t, db, p.vault, id, 3)
		less, err := more.Drop(old)
		if err != nil {
			t.Fatal(err)
		}
		write(less)
		p.awaitDone(t)
		verify(t, db, p.vault, id, 3)
	})
}

// Taking a key away that is needed harms nothing while the process lives, and is refused at its start.
func TestAKeyThatIsTakenAwayTooEarly(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := newPath(t)
		p := start(t, db, path, "one")
		fill(t, db, p.vault, 3)
		old := p.status(t).Current
		whole := filepath.Join(t.TempDir(), "whole.json")
		p.rotate(t, false)
		s := p.awaitDone(t)
		copyFile(t, path, whole)
		// Something is sealed with the old key again, as after a restored backup.
		if err := p.vault.Use(mustRead(t, whole), old); err != nil {
			t.Fatal(err)
		}
		again := seal(t, p.vault, "connections", "Row0001", "access_token")
		if _, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(`UPDATE connections SET access_token = ? WHERE account = 'Row0001'`), again); err != nil {
			t.Fatal(err)
		}
		for name, drop := range map[string]uint32{"the key that seals": s.Current, "an old key that is used": old} {
			less, err := mustRead(t, whole).Drop(drop)
			if err == nil {
				err = less.Replace(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.await(t, name, func(s keys.Status) bool {
				return strings.Contains(s.Replicas[0].Error, fmt.Sprintf("lacks key %d", drop))
			})
			if opened, err := p.vault.Open(vault.Place{Table: "connections", Row: "Row0001", Field: "access_token"}, again); err != nil || opened.IsZero() {
				t.Fatalf("%s: %v", name, err)
			}
			p.stop()
			if _, err := tryStart(t, db, path, "one"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("lacks key %d", drop)) {
				t.Fatalf("%s: got %v", name, err)
			}
			copyFile(t, whole, path)
			p = start(t, db, path, "one")
		}
		// A rotation, or dropping, finds what was left behind.
		if _, err := p.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = p.awaitDone(t)
		verify(t, db, p.vault, s.Current, 3)
	})
}

func mustRead(t *testing.T, path string) *vault.Keyset {
	t.Helper()
	set, err := vault.ReadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
