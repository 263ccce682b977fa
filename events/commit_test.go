package events_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb/sqldbtest"
)

// cutter passes connections to PostgreSQL on, and can break one at its commit.
type cutter struct {
	net.Listener
	server string
	// cut says what happens to the next commit: nothing, or the connection breaks before it reaches the
	// server, or before its answer comes back.
	cut   atomic.Int32
	conns sync.WaitGroup
}

const (
	cutNothing = iota
	cutCommit
	cutAnswer
)

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, server: server}
	c.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Go(func() { c.pass(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); c.conns.Wait() })
	return c
}

func (c *cutter) pass(client net.Conn) {
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		_ = client.Close()
		return
	}
	var committing atomic.Bool
	c.conns.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || committing.Load() {
				return // the commit is done, and nobody hears of it
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit\x00")) {
			switch c.cut.Swap(cutNothing) {
			case cutCommit:
				_ = client.Close()
				return
			case cutAnswer:
				committing.Store(true)
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// When the connection breaks at the commit, the log looks what became of it before it answers.
func TestLogAfterALostAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cut   int32
		err   error
		notes int
	}{
		{"the commit was lost", cutCommit, events.ErrStorage, 0},
		{"only its answer was", cutAnswer, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(sqldbtest.PostgresURL(t))
			if err != nil {
				t.Fatal(err)
			}
			c := newCutter(t, u.Host)
			u.Host = c.Addr().String()
			db := sqldbtest.Open(t, u.String())
			l := openLog(t, db, events.LogConfig{})
			run(t, l.Run)
			_, first := note(t, "first")
			c.cut.Store(tt.cut)
			if err := l.Do(t.Context(), first); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if n := count(t, db, `SELECT COUNT(*) FROM events`); n != tt.notes {
				t.Errorf("%d rows, want %d", n, tt.notes)
			}
			_, second := note(t, "second")
			if err := l.Do(t.Context(), second); err != nil {
				t.Fatal(err)
			}
			consistent(t, db)
			if n := count(t, db, `SELECT COUNT(*) FROM writers`); n != 1 {
				t.Errorf("%d writers, want 1", n)
			}
			_ = db.Close() // before the cutter waits for its connections
		})
	}
}

// The server crashes, again and again, while changes come. What was answered nil is there, once.
func TestLogThroughCrashesOfPostgres(t *testing.T) {
	cluster := sqldbtest.Start(t)
	db := sqldbtest.Open(t, cluster.NewDatabase(t))
	l := openLog(t, db, events.LogConfig{})
	run(t, l.Run)
	var stored sync.Map
	var next, accepted atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				key := fmt.Sprint(next.Add(1))
				id, change := note(t, key)
				switch err := l.Do(context.Background(), change); {
				case err == nil:
					stored.Store(key, id)
					accepted.Add(1)
				case !errors.Is(err, events.ErrStorage):
					t.Errorf("change %s: %v", key, err)
					return
				}
			}
		})
	}
	for range 3 {
		before := accepted.Load()
		await(t, "changes are stored", func() bool { return accepted.Load() > before+200 })
		cluster.Kill()
		if err := cluster.Up(); err != nil {
			t.Fatal(err)
		}
	}
	before := accepted.Load()
	await(t, "changes are stored again", func() bool { return accepted.Load() > before+50 })
	cancel()
	callers.Wait()
	consistent(t, db)
	var ids []string
	if err := db.Select(t.Context(), &ids, `SELECT id FROM messages`); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, id := range ids {
		have[id] = true
	}
	stored.Range(func(key, id any) bool {
		if !have[id.(string)] {
			t.Errorf("change %s was accepted and is lost", key)
		}
		return true
	})
	if len(have) != len(ids) {
		t.Errorf("%d messages have %d ids", len(ids), len(have))
	}
}

// await waits until a condition holds. It looks often; nothing depends on how often.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// A full disk is told to the callers, and over as soon as there is room again.
func TestLogOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatalf("a small file system is needed in CI: %v", err)
		}
		t.Skipf("skipped: mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	db := sqldbtest.SQLiteIn(t, dir)
	l := openLog(t, db, events.LogConfig{})
	stop := run(t, l.Run)
	fill := func(key string, bytes int) error {
		_, change := note(t, key)
		return l.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error {
			if err := change(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE events SET message_id = hex(zeroblob(?)) WHERE event_id = ?`, bytes, key)
			return err
		})
	}
	stored, err := 0, fill("0", 20000)
	for ; err == nil && stored < 1000; err = fill(fmt.Sprint(stored), 20000) {
		stored++
	}
	if !errors.Is(err, events.ErrStorage) || l.Healthy() == nil {
		t.Fatalf("after %d changes: %v, healthy %v", stored, err, l.Healthy())
	}
	// A larger one: where in the table a row comes decides how many pages it takes.
	if err := fill("still", 40000); !errors.Is(err, events.ErrStorage) {
		t.Fatalf("still full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := fill("room", 20000); err != nil || l.Healthy() != nil {
		t.Fatalf("with room again: %v, healthy %v", err, l.Healthy())
	}
	consistent(t, db)
	if n := count(t, db, `SELECT COUNT(*) FROM events`); n != stored+1 {
		t.Errorf("%d rows, want %d", n, stored+1)
	}
	stop()
}
