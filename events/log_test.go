package events_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// note is a change that leaves a trace: a row of its own, and a message.
func note(t testing.TB, key string) (id string, change func(context.Context, *events.Tx) error) {
	t.Helper()
	encoded, err := events.NewMessage(events.ConnectionTopic("hX9aQ2", "active"), time.Now(), []byte(`{}`)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return encoded.ID, func(ctx context.Context, tx *events.Tx) error {
		if err := insertNote(ctx, tx, key); err != nil {
			return err
		}
		tx.Append(encoded)
		return nil
	}
}

func insertNote(ctx context.Context, tx *events.Tx, key string) error {
	_, err := tx.Exec(ctx, `INSERT INTO events (account, event_id, message_id, at) VALUES ('a', ?, '', 0)`, key)
	return err
}

func count(t testing.TB, db *sqldb.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.Get(t.Context(), &n, query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

// consistent checks what must hold of a log at any time: each writer's messages are numbered without gaps
// up to its head, and say just what the other rows say.
func consistent(t testing.TB, db *sqldb.DB) {
	t.Helper()
	if n := count(t, db, `SELECT COUNT(*) FROM writers w WHERE w.head <> (SELECT COUNT(*) FROM messages m WHERE m.writer = w.id)
		OR w.head <> (SELECT COALESCE(MAX(seq), 0) FROM messages m WHERE m.writer = w.id)`); n != 0 {
		t.Errorf("%d writers have gaps in their logs", n)
	}
	if notes, messages := count(t, db, `SELECT COUNT(*) FROM events`), count(t, db, `SELECT COUNT(*) FROM messages`); notes != messages {
		t.Errorf("%d rows, %d messages", notes, messages)
	}
}

// blocked keeps the committer busy until release, so that changes gather.
func blocked(t *testing.T, l *events.Log) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Do(context.Background(), func(context.Context, *events.Tx) error { close(entered); <-leave; return nil })
	}()
	<-entered
	return sync.OnceFunc(func() {
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLogSharesCommits(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		registry := prometheus.NewRegistry()
		l := openLog(t, db, events.LogConfig{Registerer: registry})
		run(t, l.Run)
		release := blocked(t, l)
		var waiting, callers sync.WaitGroup
		for i := range 400 {
			_, change := note(t, fmt.Sprint(i))
			waiting.Add(1)
			callers.Go(func() {
				waiting.Done()
				if err := l.Do(t.Context(), change); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		release()
		callers.Wait()
		consistent(t, db)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "gatehouse_log_commit_changes" {
				h := f.GetMetric()[0].GetHistogram()
				if h.GetSampleSum() != 401 || h.GetSampleCount() > 100 {
					t.Errorf("%v changes in %d commits", h.GetSampleSum(), h.GetSampleCount())
				}
				return
			}
		}
		t.Error("no metric tells how many changes share a commit")
	})
}

// A change that fails costs those beside it in the commit nothing, and leaves nothing.
func TestLogOneFailingChangeFailsAlone(t *testing.T) {
	refused := errors.New("refused")
	failing := map[string]func(context.Context, *events.Tx) error{
		"error": func(ctx context.Context, tx *events.Tx) error {
			_ = insertNote(ctx, tx, "gone")
			tx.Append(events.Encoded{ID: "gone"})
			return refused
		},
		"constraint": func(ctx context.Context, tx *events.Tx) error { return insertNote(ctx, tx, "taken") },
		"panic": func(ctx context.Context, tx *events.Tx) error {
			_ = insertNote(ctx, tx, "gone")
			tx.Append(events.Encoded{ID: "gone"})
			panic("at the disco")
		},
		"message id that is taken": func(ctx context.Context, tx *events.Tx) error {
			tx.Append(events.Encoded{ID: "taken", Body: []byte("{}")})
			return insertNote(ctx, tx, "gone")
		},
	}
	for name, fail := range failing {
		t.Run(name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				l := runLog(t, db)
				err := l.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error {
					tx.Append(events.Encoded{ID: "taken", Body: []byte("{}")})
					return insertNote(ctx, tx, "taken")
				})
				if err != nil {
					t.Fatal(err)
				}
				release := blocked(t, l)
				var callers sync.WaitGroup
				for i := range 20 {
					_, change := note(t, fmt.Sprint(i))
					callers.Go(func() {
						if err := l.Do(t.Context(), change); err != nil {
							t.Error(err)
						}
					})
					if i == 10 {
						callers.Go(func() {
							err := l.Do(t.Context(), fail)
							if err == nil || (name == "error" && err != refused) {
								t.Errorf("the failing change got %v", err)
							}
						})
					}
				}
				release()
				callers.Wait()
				consistent(t, db)
				if n := count(t, db, `SELECT COUNT(*) FROM events`); n != 21 {
					t.Errorf("%d rows, want 21", n)
				}
				if err := l.Do(t.Context(), func(context.Context, *events.Tx) error { return nil }); err != nil || l.Healthy() != nil {
					t.Errorf("afterwards: %v, %v", err, l.Healthy())
				}
			})
		})
	}
}

func TestBulkRowsFailAlone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		bulk := events.NewBulk(l, func(ctx context.Context, tx *events.Tx, keys []string) error {
			for _, key := range keys {
				if err := insertNote(ctx, tx, key); err != nil {
					return err
				}
				_, change := note(t, key+"+")
				if err := change(ctx, tx); err != nil {
					return err
				}
				tx.Append(events.Encoded{ID: key, Body: []byte("{}")})
			}
			return nil
		}, func(string) int { return 10 })
		if err := bulk.Do(t.Context(), []string{"taken"}); err != nil {
			t.Fatal(err)
		}
		release := blocked(t, l)
		var callers sync.WaitGroup
		for i := range 30 {
			callers.Go(func() {
				rows := []string{fmt.Sprint(i, "a"), fmt.Sprint(i, "b")}
				if i%10 == 5 {
					rows = append(rows, "taken")
				}
				if err := bulk.Do(t.Context(), rows); (err != nil) != (i%10 == 5) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		release()
		callers.Wait()
		consistent(t, db)
		if n := count(t, db, `SELECT COUNT(*) FROM events`); n != 2*(1+27*2) {
			t.Errorf("%d rows, want %d", n, 2*(1+27*2))
		}
	})
}

func TestLogTurnsAwayWhatIsTooMuch(t *testing.T) {
	db := sqldbtest.SQLite(t)
	l := openLog(t, db, events.LogConfig{MaxQueued: 4, MaxQueuedBytes: 1 << 20})
	run(t, l.Run)
	release := blocked(t, l)
	results := make(chan error, 20)
	for i := range 20 {
		_, change := note(t, fmt.Sprint(i))
		go func() { results <- l.Do(t.Context(), change) }()
	}
	for range 16 {
		if err := <-results; !errors.Is(err, events.ErrOverloaded) {
			t.Fatalf("error %v", err)
		}
	}
	urgent := make(chan error, 1)
	_, change := note(t, "urgent")
	go func() { urgent <- l.DoUrgent(t.Context(), change) }()
	large := events.NewBulk(l, func(context.Context, *events.Tx, []int) error { return nil }, func(n int) int { return n })
	if err := large.Do(t.Context(), []int{2 << 20}); !errors.Is(err, events.ErrOverloaded) {
		t.Errorf("more bytes than may wait: %v", err)
	}
	release()
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-urgent; err != nil {
		t.Errorf("urgent: %v", err)
	}
	consistent(t, db)
	// What was turned away must not count any more.
	for i := range 3000 {
		if err := l.Do(t.Context(), func(context.Context, *events.Tx) error { return nil }); err != nil {
			t.Fatalf("change %d after the rush: %v", i, err)
		}
	}
}

func TestLogDrainsAtShutdown(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := openLog(t, db, events.LogConfig{})
		stop := run(t, l.Run)
		release := blocked(t, l)
		var callers sync.WaitGroup
		var stored, closed atomic.Int64
		for i := range 300 {
			_, change := note(t, fmt.Sprint(i))
			do := l.Do
			if i%10 == 0 {
				do = l.DoUrgent
			}
			callers.Go(func() {
				switch err := do(t.Context(), change); {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, events.ErrClosed):
					closed.Add(1)
				default:
					t.Error(err)
				}
			})
			if i == 250 {
				go stop()
				release()
			}
		}
		callers.Wait()
		stop()
		if n := count(t, db, `SELECT COUNT(*) FROM events`); int64(n) != stored.Load() || stored.Load()+closed.Load() != 300 {
			t.Errorf("%d rows; %d callers were told stored, %d closed", n, stored.Load(), closed.Load())
		}
		consistent(t, db)
		if err := l.Do(t.Context(), func(context.Context, *events.Tx) error { return nil }); !errors.Is(err, events.ErrClosed) {
			t.Errorf("a closed log: %v", err)
		}
		if err := l.DoUrgent(t.Context(), func(context.Context, *events.Tx) error { return nil }); !errors.Is(err, events.ErrClosed) {
			t.Errorf("a closed log, urgently: %v", err)
		}
	})
}

func TestLogLetsACallerGo(t *testing.T) {
	l := runLog(t, sqldbtest.SQLite(t))
	release := blocked(t, l)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Do(ctx, func(context.Context, *events.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// PostgreSQL may give a transaction up for the sake of others; it is run again, whole.
func TestLogRunsAgain(t *testing.T) {
	for name, code := range map[string]string{"serialization failure": "40001", "deadlock": "40P01"} {
		t.Run(name, func(t *testing.T) {
			db := sqldbtest.Postgres(t)
			l := runLog(t, db)
			release := blocked(t, l)
			var runs atomic.Int64
			var callers sync.WaitGroup
			for i := range 10 {
				_, change := note(t, fmt.Sprint(i))
				callers.Go(func() {
					err := l.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error {
						if err := change(ctx, tx); err != nil {
							return err
						}
						if i == 5 && runs.Add(1) < 3 {
							_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE EXCEPTION 'given up' USING ERRCODE = '`+code+`'; END $$`)
							return err
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			release()
			callers.Wait()
			if runs.Load() != 3 {
				t.Errorf("run %d times, want 3", runs.Load())
			}
			consistent(t, db)
			if n := count(t, db, `SELECT COUNT(*) FROM events`); n != 10 {
				t.Errorf("%d rows, want 10", n)
			}
		})
	}
}

// Another process that takes the log over fences it; nothing that was accepted is lost or numbered twice.
func TestLogFencedAmongChanges(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		var callers sync.WaitGroup
		for i := range 100 {
			_, change := note(t, fmt.Sprint(i))
			callers.Go(func() {
				if err := l.Do(t.Context(), change); err != nil {
					t.Error(err)
				}
			})
			if i%25 == 24 {
				if _, err := db.Writer().ExecContext(t.Context(), `UPDATE writers SET fenced = 1, holder = 'another'`); err != nil {
					t.Fatal(err)
				}
			}
		}
		callers.Wait()
		consistent(t, db)
		if n := count(t, db, `SELECT COUNT(*) FROM events`); n != 100 {
			t.Errorf("%d rows, want 100", n)
		}
		if n := count(t, db, `SELECT COUNT(*) FROM writers WHERE fenced = 0`); n > 1 {
			t.Errorf("%d writers go on", n)
		}
	})
}

func TestErrorsOfTheDatabaseAreErrStorage(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		if _, err := db.Writer().ExecContext(t.Context(), `ALTER TABLE messages RENAME TO away`); err != nil {
			t.Fatal(err)
		}
		_, change := note(t, "1")
		err := l.Do(t.Context(), change)
		if !errors.Is(err, events.ErrStorage) || l.Healthy() == nil || !strings.Contains(l.Healthy().Error(), "messages") {
			t.Fatalf("%v, healthy %v", err, l.Healthy())
		}
		if _, err := db.Writer().ExecContext(t.Context(), `ALTER TABLE away RENAME TO messages`); err != nil {
			t.Fatal(err)
		}
		if err := l.Do(t.Context(), change); err != nil || l.Healthy() != nil {
			t.Fatalf("afterwards: %v, healthy %v", err, l.Healthy())
		}
		consistent(t, db)
	})
}

// appendAll says messages in one change.
func appendAll(t testing.TB, l *events.Log, messages ...events.Encoded) {
	t.Helper()
	err := l.Do(t.Context(), func(_ context.Context, tx *events.Tx) error {
		for _, m := range messages {
			tx.Append(m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
