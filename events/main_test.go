package events_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(sqldbtest.Tests{M: m},
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		// nats-server keeps its own clocks for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
	)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// gateway is the part of a gateway that this package is: a log and a relay.
type gateway struct {
	*events.Log
	stop func()
}

func openLog(t *testing.T, db *sqldb.DB, c events.LogConfig) *events.Log {
	t.Helper()
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	c.DB, c.Log = db, quiet
	l, err := events.OpenLog(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run starts a component and returns what stops it and waits for it.
func run(t *testing.T, component func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := component(ctx); err != nil {
			t.Errorf("component ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// runLog is a log that commits.
func runLog(t *testing.T, db *sqldb.DB) *events.Log {
	t.Helper()
	l := openLog(t, db, events.LogConfig{})
	run(t, l.Run)
	return l
}

// start runs a log with a relay on a bus.
func start(t *testing.T, db *sqldb.DB, bus *events.Bus) gateway {
	t.Helper()
	l := openLog(t, db, events.LogConfig{})
	relay := events.NewRelay(events.RelayConfig{
		DB: db, Log: l, Bus: bus, Registerer: prometheus.NewRegistry(), Logger: quiet, VerifyEvery: 100 * time.Millisecond,
	})
	stopLog, stopRelay := run(t, l.Run), run(t, relay.Run)
	return gateway{l, func() { stopRelay(); stopLog() }}
}

func embedded(t *testing.T, dir string) *events.Embedded {
	t.Helper()
	e, err := events.StartEmbedded(events.EmbeddedConfig{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

func connect(t *testing.T, e *events.Embedded) *events.Bus {
	t.Helper()
	bus, err := events.Connect(t.Context(), events.BusConfig{Embedded: e, Retention: time.Hour, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}

// say appends n messages, each in a change of its own, and returns their ids.
func say(t *testing.T, l *events.Log, n int) []string {
	t.Helper()
	ids := make([]string, n)
	errs := make(chan error, n)
	for i := range n {
		m := events.NewMessage(events.NotificationTopic("hX9aQ2", "Event", "CREATE"), time.Now(), []byte(`{"n":1}`))
		encoded, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = m.ID
		go func() {
			errs <- l.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(encoded); return nil })
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// stored returns how often each message id stands in the stream; nothing while NATS is away.
func stored(t *testing.T, bus *events.Bus) map[string]int {
	t.Helper()
	counts := map[string]int{}
	stream, err := bus.JS.Stream(t.Context(), events.StreamName)
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return counts
	}
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return counts
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{HeadersOnly: true, InactiveThreshold: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	defer func() { _ = stream.DeleteConsumer(t.Context(), consumer.CachedInfo().Name) }()
	for {
		m, err := messages.Next(jetstream.NextContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		counts[m.Headers().Get(jetstream.MsgIDHeader)]++
		if meta, _ := m.Metadata(); meta.NumPending == 0 {
			return counts
		}
	}
}

// awaitExactly waits until the stream holds just the ids, each once.
func awaitExactly(t *testing.T, bus *events.Bus, ids []string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		have := stored(t, bus)
		missing, doubled := 0, 0
		for _, id := range ids {
			switch have[id] {
			case 0:
				missing++
			case 1:
			default:
				doubled++
			}
		}
		if doubled > 0 || len(have) > len(ids) {
			t.Fatalf("%d of %d ids are in the stream more than once, %d ids in all", doubled, len(ids), len(have))
		}
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d ids never reached the stream", missing, len(ids))
		}
	}
}
