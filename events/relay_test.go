package events_test

import (
	"os"
	"slices"
	"testing"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestRelayPublishesEverythingOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		bus := connect(t, embedded(t, t.TempDir()))
		g := start(t, db, bus)
		awaitExactly(t, bus, say(t, g.Log, 3000))
	})
}

func TestRelayTakesOverWhatADeadWriterLeft(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		bus := connect(t, embedded(t, t.TempDir()))
		dead := openLog(t, db, events.LogConfig{})
		stop := run(t, dead.Run)
		ids := say(t, dead, 100) // no relay runs
		stop()
		expire(t, db)
		g := start(t, db, bus)
		awaitExactly(t, bus, append(ids, say(t, g.Log, 10)...))
	})
}

// expire makes every writer's lease run out, as if its process had been gone for long.
func expire(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if _, err := db.Writer().ExecContext(t.Context(), `UPDATE writers SET expires_at = 0`); err != nil {
		t.Fatal(err)
	}
}

func TestFencedWriterStartsANewLog(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		bus := connect(t, embedded(t, t.TempDir()))
		g := start(t, db, bus)
		ids := say(t, g.Log, 10)
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE writers SET fenced = 1`); err != nil {
			t.Fatal(err)
		}
		awaitExactly(t, bus, append(ids, say(t, g.Log, 10)...))
		var writers int
		if err := db.Get(t.Context(), &writers, `SELECT COUNT(*) FROM writers`); err != nil || writers != 2 {
			t.Fatalf("%d writers, want 2 (%v)", writers, err)
		}
	})
}

// The stream's files are put back to an older copy while nobody looks; the rows it then lacks were all
// acknowledged, and lie behind the relay's cursor.
func TestStreamPutBackWhileTheGatewayIsDown(t *testing.T) {
	db := sqldbtest.SQLite(t)
	dir, backup := t.TempDir(), t.TempDir()
	e := embedded(t, dir)
	bus := connect(t, e)
	g := start(t, db, bus)
	ids := say(t, g.Log, 50)
	awaitExactly(t, bus, ids)
	g.stop()
	bus.Close()
	e.Stop()
	replace(t, backup, dir)

	e = embedded(t, dir)
	bus = connect(t, e)
	g = start(t, db, bus)
	ids = append(ids, say(t, g.Log, 70)...)
	awaitExactly(t, bus, ids)
	g.stop()
	bus.Close()
	e.Stop()
	replace(t, dir, backup)

	bus = connect(t, embedded(t, dir))
	if have := stored(t, bus); len(have) != 50 {
		t.Fatalf("the older copy holds %d messages, want 50", len(have))
	}
	g = start(t, db, bus)
	awaitExactly(t, bus, append(ids, say(t, g.Log, 5)...))
}

func TestStreamPutBackWhileTheGatewayRuns(t *testing.T) {
	db := sqldbtest.SQLite(t)
	dir, backup := t.TempDir(), t.TempDir()
	e := embedded(t, dir)
	bus := connect(t, e)
	g := start(t, db, bus)
	ids := say(t, g.Log, 50)
	awaitExactly(t, bus, ids)
	e.Stop()
	replace(t, backup, dir)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, say(t, g.Log, 70)...)
	awaitExactly(t, bus, ids)
	e.Stop()
	replace(t, dir, backup)
	ids = append(ids, say(t, g.Log, 30)...) // while NATS is away
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	awaitExactly(t, bus, append(ids, say(t, g.Log, 5)...))
}

func TestStreamDeletedWhileTheGatewayRuns(t *testing.T) {
	db := sqldbtest.SQLite(t)
	bus := connect(t, embedded(t, t.TempDir()))
	g := start(t, db, bus)
	ids := say(t, g.Log, 50)
	awaitExactly(t, bus, ids)
	if err := bus.JS.DeleteStream(t.Context(), events.StreamName); err != nil {
		t.Fatal(err)
	}
	awaitExists(t, bus)
	awaitExactly(t, bus, append(ids, say(t, g.Log, 5)...))
}

func awaitExists(t *testing.T, bus *events.Bus) {
	t.Helper()
	for {
		if _, err := bus.JS.Stream(t.Context(), events.StreamName); err == nil {
			return
		} else if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// What limits removed is not missing: a restart must not bring back what the stream let go.
func TestWhatLimitsRemovedIsNotPublishedAgain(t *testing.T) {
	db := sqldbtest.SQLite(t)
	bus := connect(t, embedded(t, t.TempDir()))
	g := start(t, db, bus)
	ids := say(t, g.Log, 40)
	awaitExactly(t, bus, ids)
	stream, err := bus.JS.Stream(t.Context(), events.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 10
	if _, err := bus.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	g.stop()
	// The cursor is lost with the last second before a crash; only older checkpoints remain.
	if _, err := db.Writer().ExecContext(t.Context(), `DELETE FROM relay_checkpoints WHERE seq > 0`); err != nil {
		t.Fatal(err)
	}
	g = start(t, db, bus)
	fresh := say(t, g.Log, 1)
	for {
		have := stored(t, bus)
		if have[fresh[0]] == 1 {
			kept := 0
			for _, id := range ids[:] {
				kept += have[id]
			}
			if kept != 9 {
				t.Fatalf("%d of the old messages are in a stream of ten beside a new one, want 9", kept)
			}
			return
		}
	}
}

func replace(t *testing.T, dir, with string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(with)); err != nil {
		t.Fatal(err)
	}
}

func TestSayReturnsDistinctIDs(t *testing.T) {
	ids := say(t, runLog(t, sqldbtest.SQLite(t)), 100)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 100 {
		t.Fatal("two messages have one id")
	}
}
