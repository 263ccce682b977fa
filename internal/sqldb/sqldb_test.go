package sqldb_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

func TestLeaseHasOneHolder(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var inside, most, entered atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			holder := string(rune('a' + i))
			wg.Go(func() {
				for {
					ok, err := db.Acquire(t.Context(), "x", holder, time.Minute)
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						continue
					}
					most.Store(max(most.Load(), inside.Add(1)))
					entered.Add(1)
					inside.Add(-1)
					if err := db.Release(t.Context(), "x", holder); err != nil {
						t.Error(err)
					}
					return
				}
			})
		}
		wg.Wait()
		if most.Load() != 1 || entered.Load() != 20 {
			t.Fatalf("%d inside at once, %d of 20 entered", most.Load(), entered.Load())
		}
	})
}

func TestLeaseIsTakenOverWhenItRunsOut(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		acquire := func(holder string, ttl time.Duration) bool {
			t.Helper()
			ok, err := db.Acquire(t.Context(), "x", holder, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !acquire("a", time.Minute) || !acquire("a", 0) {
			t.Fatal("the holder could not renew its own lease")
		}
		if !acquire("b", time.Minute) {
			t.Fatal("a lease that had run out was not given to another")
		}
		if acquire("a", time.Minute) {
			t.Fatal("the old holder got the lease back while another held it")
		}
	})
}

func TestLeasesExcludeEachOther(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		first, second := db.NewLease("turn", time.Minute), db.NewLease("turn", time.Minute)
		never := func() (bool, error) { return false, nil }
		if held, err := first.Wait(t.Context(), never); !held || err != nil {
			t.Fatal(held, err)
		}
		if held, err := second.Acquire(t.Context()); held || err != nil {
			t.Fatal(held, err)
		}
		asked := 0
		if held, err := second.Wait(t.Context(), func() (bool, error) { asked++; return asked == 3, nil }); held || err != nil || asked != 3 {
			t.Fatal(held, err, asked)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if held, err := second.Wait(ended, never); held || err == nil {
			t.Fatal(held, err)
		}
		got := make(chan bool, 1)
		go func() {
			held, err := second.Wait(t.Context(), never)
			got <- held && err == nil
		}()
		first.Release(ended) // also when its own work was cancelled
		if !<-got {
			t.Fatal("the lease was not handed on")
		}
	})
}

func TestAHeldLeaseIsRenewed(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		held, other := db.NewLease("turn", 300*time.Millisecond), db.NewLease("turn", time.Minute)
		if ok, err := held.Acquire(t.Context()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		end := held.Renew(t.Context())
		for until := time.Now().Add(time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			if ok, err := other.Acquire(t.Context()); ok || err != nil {
				t.Fatal("somebody else got it", err)
			}
		}
		end()
		if ok, err := other.Wait(t.Context(), func() (bool, error) { return false, nil }); !ok || err != nil {
			t.Fatal("it never ran out", err)
		}
	})
}

func TestReadPoolCannotWrite(t *testing.T) {
	db := sqldbtest.SQLite(t)
	var n int
	if err := db.Get(t.Context(), &n, `INSERT INTO leases VALUES ('x','y',1) RETURNING 1`); err == nil {
		t.Fatal("the reading pool took an INSERT")
	}
}

func TestDataDirectoryIsPrivateAndHeldByOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := sqldb.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
	if _, err := sqldb.LockDir(dir); err == nil {
		t.Fatal("locked twice")
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if lock, err = sqldb.LockDir(dir); err != nil {
		t.Fatal(err)
	}
	_ = lock.Unlock()
}
