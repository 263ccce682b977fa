package tokens_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

// together asks for the token n times at once, spread over the processes.
func together(t *testing.T, n int, processes ...*process) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for i := range n {
		wg.Go(func() {
			token, err := processes[i%len(processes)].Token(t.Context(), account)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[token.Reveal()]++
		})
	}
	wg.Wait()
	return got
}

func TestHundredCallersMakeOneRefresh(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		sim := newCloud(t, doorflowsim.Options{})
		p := newProcess(t, db, sim.client, "")
		access, refresh := sim.Grant(account, scopes...)
		p.connect(t, access, refresh, -time.Second)
		got := together(t, 100, p)
		if stats := sim.Stats(); stats.Refreshes != 1 || stats.RefreshFailures != 0 || len(got) != 1 || got[access] != 0 {
			t.Fatalf("%d refreshes, %d failed, %d different tokens", stats.Refreshes, stats.RefreshFailures, len(got))
		}
	})
}

func TestTwoProcessesMakeOneRefresh(t *testing.T) {
	url, keyset := sqldbtest.PostgresURL(t), filepath.Join(t.TempDir(), "keyset.json")
	sim := newCloud(t, doorflowsim.Options{})
	sim.Faults().SlowToken(50 * time.Millisecond)
	var both []*process
	for range 2 {
		both = append(both, newProcess(t, sqldbtest.Open(t, url), sim.client, keyset))
	}
	access, refresh := sim.Grant(account, scopes...)
	both[0].connect(t, access, refresh, -time.Second)
	for round := 1; round <= 3; round++ {
		got := together(t, 100, both...)
		if stats := sim.Stats(); stats.Refreshes != round || stats.RefreshFailures != 0 || len(got) != 1 {
			t.Fatalf("round %d: %d refreshes, %d failed, %d different tokens", round, stats.Refreshes, stats.RefreshFailures, len(got))
		}
		if _, err := both[0].db.Writer().ExecContext(t.Context(), `UPDATE connections SET expires_at = 1`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHundredRefusalsMakeOneRefresh(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		sim := newCloud(t, doorflowsim.Options{})
		p := newProcess(t, db, sim.client, "")
		access, refresh := sim.Grant(account, scopes...)
		p.connect(t, access, refresh, time.Hour)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if token, err := p.Rejected(t.Context(), account, vault.NewSecret(access)); err != nil || token.Reveal() == access {
					t.Errorf("got the refused token again, or error %v", err)
				}
			})
		}
		wg.Wait()
		if n := sim.Stats().Refreshes; n != 1 {
			t.Fatalf("%d refreshes", n)
		}
	})
}

func TestLeaseOfADeadProcessRunsOut(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		p := newProcess(t, db, s, "")
		s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", p.now().Add(time.Hour)), nil })
		p.connect(t, "access-1", "refresh-1", -time.Second)
		if ok, err := db.Acquire(t.Context(), "refresh/"+account, "a process that died", 700*time.Millisecond); !ok || err != nil {
			t.Fatal(ok, err)
		}
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
	})
}

func TestProcessWaitsForTheOtherOnesPair(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newProcess(t, db, &script{}, "") // asking it would panic
		p.connect(t, "access-1", "refresh-1", -time.Second)
		if ok, err := db.Acquire(t.Context(), "refresh/"+account, "another", time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		result := make(chan error, 1)
		go func() {
			token, err := p.Token(t.Context(), account)
			if err == nil && token.Reveal() != "access-2" {
				t.Error("got another token than the one stored meanwhile")
			}
			result <- err
		}()
		p.connect(t, "access-2", "refresh-2", time.Hour)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	})
}
