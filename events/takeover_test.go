package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func newRelay(db *sqldb.DB, l *events.Log, bus *events.Bus) *events.Relay {
	return events.NewRelay(events.RelayConfig{
		DB: db, Log: l, Bus: bus, Registerer: prometheus.NewRegistry(), Logger: quiet, VerifyEvery: 100 * time.Millisecond,
	})
}

// Two gateways share a database and a NATS server. One dies with messages unpublished; the other, which
// has been running all the time, takes them over when the lease has run out.
func TestAnotherGatewayTakesOver(t *testing.T) {
	url := sqldbtest.PostgresURL(t)
	nats := embedded(t, t.TempDir())
	one, two := sqldbtest.Open(t, url), sqldbtest.Open(t, url)
	bus := connect(t, nats)

	dying := openLog(t, one, events.LogConfig{})
	relay := newRelay(one, dying, connect(t, nats))
	stopLog, stopRelay := run(t, dying.Run), run(t, relay.Run)
	other := start(t, two, bus)

	ids := append(say(t, dying, 50), say(t, other.Log, 50)...)
	awaitExactly(t, bus, ids)
	stopRelay()
	ids = append(ids, say(t, dying, 50)...)
	stopLog()
	ids = append(ids, say(t, other.Log, 50)...)
	exec(t, two, `UPDATE writers SET expires_at = 0 WHERE holder = ?`, dying.Holder())
	awaitExactly(t, bus, ids)
	if n := count(t, two, `SELECT COUNT(*) FROM writers WHERE holder <> ?`, other.Holder()); n != 0 {
		t.Errorf("%d writers belong to nobody who lives", n)
	}
}

// A gateway that was only slow comes back after another took its log over: nothing is said twice, and what
// it says from then on is said.
func TestAGatewayComesBack(t *testing.T) {
	url := sqldbtest.PostgresURL(t)
	nats := embedded(t, t.TempDir())
	one, two := sqldbtest.Open(t, url), sqldbtest.Open(t, url)
	bus := connect(t, nats)
	slow := start(t, one, connect(t, nats))
	ids := say(t, slow.Log, 50)
	awaitExactly(t, bus, ids)
	writer := count(t, one, `SELECT MAX(id) FROM writers`)
	start(t, two, bus)
	await(t, "the log is taken over", func() bool {
		// A sign of life renews the lease, so it is taken away until the other has looked.
		exec(t, one, `UPDATE writers SET expires_at = 0 WHERE id = ? AND fenced = 0`, writer)
		return count(t, one, `SELECT fenced FROM writers WHERE id = ?`, writer) == 1
	})
	awaitExactly(t, bus, append(ids, say(t, slow.Log, 50)...))
}

// A message that the stream refuses for good is set aside; those behind it go on.
func TestRelayParksWhatTheStreamRefuses(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		bus := connect(t, embedded(t, t.TempDir()))
		stream, err := bus.JS.Stream(t.Context(), events.StreamName)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgSize = 2000
		if _, err := bus.JS.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		g := start(t, db, bus)
		first := sayData(t, g.Log, `"`+strings.Repeat("x", 3000)+`"`) // before anything has a place
		ids := say(t, g.Log, 20)
		second := sayData(t, g.Log, `"`+strings.Repeat("x", 3000)+`"`)
		ids = append(ids, say(t, g.Log, 20)...)
		awaitExactly(t, bus, ids)
		await(t, "both are parked", func() bool {
			return count(t, db, `SELECT COUNT(*) FROM messages WHERE parked <> '' AND id IN (?, ?)`, first, second) == 2
		})
		if n := count(t, db, `SELECT COUNT(*) FROM messages WHERE parked IS NOT NULL`); n != 2 {
			t.Errorf("%d parked, want 2", n)
		}
		await(t, "the cursor passes them", func() bool { return count(t, db, `SELECT COALESCE(MAX(seq), 0) FROM relay_checkpoints`) == 42 })
	})
}

func sayData(t *testing.T, l *events.Log, data string) (id string) {
	t.Helper()
	encoded, err := events.NewMessage(events.ConnectionTopic("hX9aQ2", "active"), time.Now(), json.RawMessage(data)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, encoded)
	return encoded.ID
}

// Between the checkpoints that stay, about one in ten seconds, the newest replaces the one before.
func TestCheckpointsAreThinned(t *testing.T) {
	db := sqldbtest.SQLite(t)
	bus := connect(t, embedded(t, t.TempDir()))
	g := start(t, db, bus)
	began := time.Now()
	for n := 1; n <= 8; n++ {
		say(t, g.Log, 1)
		await(t, fmt.Sprint("the cursor is ", n), func() bool { return count(t, db, `SELECT COALESCE(MAX(seq), 0) FROM relay_checkpoints`) == n })
	}
	most := 3 + int(time.Since(began)/(10*time.Second)) // where it began, the first that stays, and the newest
	if n := count(t, db, `SELECT COUNT(*) FROM relay_checkpoints`); n > most {
		t.Errorf("%d checkpoints, want at most %d", n, most)
	}
}

// A writer that has said something before its relay looked at the stream for the first time need not read
// what stood there before it.
func TestRelayAnchorsItsOwnLog(t *testing.T) {
	db := sqldbtest.SQLite(t)
	bus := connect(t, embedded(t, t.TempDir()))
	g := start(t, db, bus)
	ids := say(t, g.Log, 30)
	awaitExactly(t, bus, ids)
	g.stop()
	l := openLog(t, db, events.LogConfig{})
	relay := newRelay(db, l, bus)
	run(t, l.Run)
	ids = append(ids, say(t, l, 10)...)
	run(t, relay.Run)
	awaitExactly(t, bus, ids)
	if n := count(t, db, `SELECT MIN(stream_seq) FROM relay_checkpoints WHERE writer = (SELECT MAX(id) FROM writers)`); n < 30 {
		t.Errorf("the log's first checkpoint stands at %d, want behind the 30 of the writer before", n)
	}
}
