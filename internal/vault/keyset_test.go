package vault_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

func read(t *testing.T, path string) *vault.Keyset {
	t.Helper()
	keys, err := vault.ReadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// replace puts a changed set in a file's place and returns it as read back.
func replace(t *testing.T, path string, keys *vault.Keyset, err error) *vault.Keyset {
	t.Helper()
	must(t, err)
	must(t, keys.Replace(path))
	return read(t, path)
}

func TestAKeysetGainsAndLosesKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	one, err := vault.NewKeyset()
	must(t, err)
	must(t, one.WriteNew(path))
	if err := one.WriteNew(path); err == nil {
		t.Error("a file was overwritten by a new one")
	}
	first := one.Primary()
	two, second, err := one.Add()
	two = replace(t, path, two, err)
	if two.Primary() != first || !two.Has(first) || !two.Has(second) || one.Has(second) {
		t.Fatalf("keys %v, primary %d", two.Keys(), two.Primary())
	}
	promoted, err := two.Promote(second)
	if promoted = replace(t, path, promoted, err); promoted.Primary() != second || promoted.Same(two) || !promoted.Same(read(t, path)) {
		t.Fatalf("primary %d, want %d", promoted.Primary(), second)
	}
	// Dropping the primary key makes the other one that.
	less, err := promoted.Drop(second)
	if less = replace(t, path, less, err); !slices.Equal(less.Keys(), []uint32{first}) || less.Primary() != first {
		t.Fatalf("keys %v, primary %d", less.Keys(), less.Primary())
	}
	if _, err := less.Drop(first); err == nil {
		t.Error("the only key was dropped")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Error("a file is left lying around", entries, err)
	}
}

// A link to the file stays a link.
func TestReplaceFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.json"), filepath.Join(t.TempDir(), "keyset.json")
	keys, err := vault.NewKeyset()
	must(t, err)
	must(t, keys.WriteNew(path))
	must(t, os.Symlink(path, link))
	more, _, err := keys.Add()
	replace(t, link, more, err)
	if len(read(t, path).Keys()) != 2 {
		t.Error("what the link leads to was not replaced")
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone", err)
	}
	if !vault.Replaceable(link) || vault.Replaceable(filepath.Join(dir, "absent.json")) {
		t.Error("Replaceable is wrong")
	}
}

func TestAKeysetPrintsNothing(t *testing.T) {
	keys, err := vault.NewKeyset()
	must(t, err)
	var clear bytes.Buffer
	must(t, keys.Write(&clear))
	_, rest, _ := strings.Cut(clear.String(), `"value":"`)
	value, _, _ := strings.Cut(rest, `"`)
	shown := fmt.Sprintf("%v %+v %#v %s %x", keys, keys, keys, keys, keys)
	if len(value) < 40 || strings.Contains(shown, value) || !strings.Contains(shown, "REDACTED") {
		t.Errorf("shown: %s", shown)
	}
}

// Which key sealed a value must be seen from its first bytes.
func TestAKeysetWithoutPrefixesIsRefused(t *testing.T) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	must(t, err)
	template := aead.AES256GCMNoPrefixKeyTemplate()
	manager := keyset.NewManagerFromHandle(handle)
	_, err = manager.Add(template)
	must(t, err)
	handle, err = manager.Handle()
	must(t, err)
	var buf bytes.Buffer
	must(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)))
	path := filepath.Join(t.TempDir(), "keyset.json")
	must(t, os.WriteFile(path, buf.Bytes(), 0o600))
	if _, err := vault.ReadKeyset(path); err == nil || !strings.Contains(err.Error(), "prefix") {
		t.Fatalf("got %v", err)
	}
}

// The database says which key seals, whatever the file calls its primary one.
func TestTheDatabaseNamesTheKeyThatSeals(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		path := filepath.Join(t.TempDir(), "keyset.json")
		v := load(t, path, db)
		_, first := v.Using()
		two, second, err := read(t, path).Add()
		must(t, err)
		promoted, err := two.Promote(second)
		replace(t, path, promoted, err)
		v = load(t, path, db)
		sealed, err := v.Seal(place, vault.NewSecret("rt_41"))
		must(t, err)
		if id, ok := vault.KeyID(sealed); !ok || id != first || !bytes.HasPrefix(sealed, vault.Prefix(first)) {
			t.Fatalf("sealed with %d, want %d", id, first)
		}
		keys, _ := v.Using()
		must(t, v.Use(keys, second))
		again, err := v.Reseal(place, sealed)
		must(t, err)
		if id, _ := vault.KeyID(again); id != second {
			t.Fatalf("sealed again with %d, want %d", id, second)
		}
		if opened, err := v.Open(place, again); err != nil || opened.Reveal() != "rt_41" {
			t.Fatal(err)
		}
		// A file that lacks the key which seals was left behind by a rotation.
		less, err := promoted.Drop(first)
		replace(t, path, less, err)
		_, err = db.Writer().ExecContext(t.Context(), db.Writer().Rebind(`INSERT INTO vault_keys (id, created_at) VALUES (?, 1)`), second)
		must(t, err)
		if _, err := vault.Load(t.Context(), path, db.Writer(), true); err == nil || !strings.Contains(err.Error(), "a rotation has made") {
			t.Fatalf("got %v", err)
		}
	})
}
