package keys_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/keys"
	"gatehouse/oauth"
	"gatehouse/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

// planted is part of every secret that these tests seal.
const planted = "PLANTED-secret"

var columns = slices.Concat(vault.SealedColumns(), tokens.SealedColumns(), oauth.SealedColumns())

// buffer collects what is logged.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// process is one gateway process, as far as keys are concerned.
type process struct {
	*keys.Ring
	vault *vault.Vault
	path  string
	logs  *buffer
	stop  func()
}

// start starts a process on a key set file.
func start(t *testing.T, db *sqldb.DB, path, name string) *process {
	t.Helper()
	p, err := tryStart(t, db, path, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryStart(t *testing.T, db *sqldb.DB, path, name string) (*process, error) {
	v, err := vault.Load(t.Context(), path, db.Writer(), true)
	if err != nil {
		return nil, err
	}
	logs := &buffer{}
	p := &process{vault: v, path: path, logs: logs, Ring: keys.New(keys.Config{
		DB: db, Vault: v, Path: path, Columns: columns, Name: name, Every: 5 * time.Millisecond, Settle: 50 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})}
	if err := p.Join(t.Context()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(p.stop)
	return p, nil
}

func (p *process) status(t *testing.T) keys.Status {
	t.Helper()
	s, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *process) rotate(t *testing.T, dropOld bool) {
	t.Helper()
	if _, err := p.Rotate(t.Context(), dropOld); err != nil {
		t.Fatal(err)
	}
}

// await waits until the status is as wanted.
func (p *process) await(t *testing.T, what string, is func(keys.Status) bool) keys.Status {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		s := p.status(t)
		if is(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s\n%+v\n%+v\n%s", what, s, s.Rotation, p.logs)
		}
	}
}

func (p *process) awaitDone(t *testing.T) keys.Status {
	t.Helper()
	return p.await(t, "the end of the rotation", func(s keys.Status) bool { return s.Rotation != nil && !s.Rotation.Open() })
}

// fill seals rows of every kind.
func fill(t *testing.T, db *sqldb.DB, v *vault.Vault, rows int) {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(query string, args ...any) {
		if _, err := tx.Exec(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		id := fmt.Sprintf("Row%04d", i)
		exec(`INSERT INTO connections (account, status, access_token, refresh_token, revoke_token, created_at) VALUES (?, 'active', ?, ?, ?, 1)`,
			id, seal(t, v, "connections", id, "access_token"), seal(t, v, "connections", id, "refresh_token"), seal(t, v, "connections", id, "revoke_token"))
		exec(`INSERT INTO connect_links (id, status, return_url, reference, account, access_token, refresh_token, created_at, expires_at)
			VALUES (?, 'pending', '', '', '', ?, ?, 1, 1)`, id, seal(t, v, "connect_links", id, "access_token"), seal(t, v, "connect_links", id, "refresh_token"))
		hash := []byte{0xff, byte(i), byte(i >> 8), 0}
		exec(`INSERT INTO oauth_states (state_hash, link, verifier, browser_hash, expires_at) VALUES (?, ?, ?, ?, 1)`,
			hash, id, seal(t, v, "oauth_states", hex.EncodeToString(hash), "verifier"), []byte("x"))
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func seal(t *testing.T, v *vault.Vault, table, row, field string) []byte {
	t.Helper()
	sealed, err := v.Seal(vault.Place{Table: table, Row: row, Field: field}, secretOf(table, row, field))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func secretOf(table, row, field string) vault.Secret {
	return vault.NewSecret(planted + "/" + table + "/" + row + "/" + field)
}

// verify opens everything that fill sealed, and wants it sealed with one key.
func verify(t *testing.T, db *sqldb.DB, v *vault.Vault, key uint32, rows int) {
	t.Helper()
	for _, c := range columns {
		if c.Table == "vault_secrets" {
			continue
		}
		var values []struct {
			Key    []byte
			Sealed []byte
		}
		if err := db.Select(t.Context(), &values, fmt.Sprintf(`SELECT %s AS key, %s AS sealed FROM %s`, c.Key, c.Field, c.Table)); err != nil {
			t.Fatal(err)
		}
		if len(values) != rows {
			t.Errorf("%s.%s has %d values, want %d", c.Table, c.Field, len(values), rows)
		}
		for _, value := range values {
			place := c.Place(value.Key)
			opened, err := v.Open(place, value.Sealed)
			if err != nil || opened != secretOf(place.Table, place.Row, place.Field) {
				t.Fatalf("%+v: %v", place, err)
			}
			if id, ok := vault.KeyID(value.Sealed); !ok || id != key {
				t.Fatalf("%+v is sealed with key %d, want %d", place, id, key)
			}
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// mounted is a file that can be written by the one who mounted it, and not be replaced, not even by root: it
// has no name in any directory.
func mounted(t *testing.T) (file *os.File, path string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "secret"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	path = newPath(t)
	if err = os.Symlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), path); err == nil {
		err = os.Remove(file.Name())
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, path
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "keyset.json") }

// copyFile is the operator.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".tmp", data, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".tmp", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
