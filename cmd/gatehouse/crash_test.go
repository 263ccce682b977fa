package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb/sqldbtest"
)

const senders = 32

// eventsPerRound happen at DoorFlow while the gateway is being killed. They are few, because the gateway
// fetches no more than five a second.
const eventsPerRound = 5

// Everything in one process and one directory, as most installations have it. Besides the load, an account
// is connected: its events are fetched through the crashes, and come out once as well.
func TestKill9OnSQLite(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	df := newCloud(t, g)
	g.start()
	df.connected(g)
	l := newLoad()
	l.api = df.url
	l.begin(t, senders, g)
	happened := map[string]bool{}
	for range rounds(t) {
		for range eventsPerRound {
			e := df.Emit(doorflowsim.AccountA, df.Random(doorflowsim.AccountA))
			happened[fmt.Sprint(e.ID)] = true
		}
		l.awaitAnswers(t, 1)
		pause(0, 800*time.Millisecond)
		g.kill()
		g.start()
	}
	l.awaitAnswers(t, 1)
	l.end()
	eventually(t, 30*time.Second, func() string {
		delivered, acknowledged := 0, 0
		for _, e := range df.Ledger() {
			if e.Delivered {
				delivered++
			}
			if e.Acknowledged {
				acknowledged++
			}
		}
		if want := len(happened); delivered < want || acknowledged < want {
			return fmt.Sprintf("of %d events, %d were delivered and %d acknowledged", want, delivered, acknowledged)
		}
		return ""
	})
	s := completeEmbedded(t, g, l)
	l.verify(t, s, happened)
	for id := range happened {
		if s.notified[id] != 1 || s.events[id] != 1 {
			t.Errorf("event %s: %d notifications and %d events in the stream, want one of each", id, s.notified[id], s.events[id])
		}
	}
}

// A start makes the directory, the schema, the key set and the admin token. Wherever it is cut short, the
// next one goes on from there.
func TestKill9WhileStarting(t *testing.T) {
	t.Parallel()
	for range 5 * rounds(t) {
		g := newGateway(t, nil)
		delete(g.env, "GATEHOUSE_ADMIN_TOKEN")
		for range 2 {
			g.launch()
			pause(0, 40*time.Millisecond)
			g.kill()
		}
		g.start()
		g.stop()
	}
}

func TestKill9OnSQLiteWithExternalNATS(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url()}).start()
	l := newLoad()
	l.begin(t, senders, g)
	// The gateway and NATS die in turn, and now and then both.
	for range rounds(t) {
		l.awaitAnswers(t, 1)
		pause(0, 500*time.Millisecond)
		both := rand.IntN(2) == 0
		g.kill()
		if both {
			n.kill()
			n.start()
		}
		g.start()
	}
	l.awaitAnswers(t, 1)
	l.end()
	l.verify(t, n.complete(l), nil)
}

// shared configures gateways that share a PostgreSQL database and a NATS server.
func shared(t *testing.T, database string, n *natsServer, count int) []*gateway {
	t.Helper()
	keys := newKeyset(t)
	var all []*gateway
	for range count {
		all = append(all, newGateway(t, map[string]string{
			"GATEHOUSE_DATABASE_URL": database, "GATEHOUSE_KEYSET_FILE": keys, "GATEHOUSE_NATS_URL": n.url(),
		}))
	}
	return all
}

// newKeyset makes a key set, as an operator does for replicas.
func newKeyset(t *testing.T) string {
	t.Helper()
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyset.json")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(file)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKill9OnPostgres(t *testing.T) {
	t.Parallel() // it mostly waits for the dead process's lease to run out
	n := newNATS(t)
	g := shared(t, sqldbtest.PostgresURL(t), n, 1)[0].start()
	l := newLoad()
	l.begin(t, senders/2, g)
	for range rounds(t) {
		l.awaitAnswers(t, 1)
		pause(0, 500*time.Millisecond)
		g.kill()
		g.start()
	}
	l.awaitAnswers(t, 1)
	l.end()
	l.verify(t, n.complete(l), nil)
}

// Of two replicas one dies under load, and senders turn to the other, also with what they do not know the
// fate of. The one left takes the dead one's log over.
func TestKill9OfOneOfTwoReplicas(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	replicas := shared(t, sqldbtest.PostgresURL(t), n, 2)
	for _, g := range replicas {
		g.start()
	}
	l := newLoad()
	l.begin(t, senders/2, replicas...)
	for i := range rounds(t) {
		l.awaitAnswers(t, 10)
		pause(0, 500*time.Millisecond)
		replicas[i%2].kill()
		l.awaitAnswers(t, 50) // the other goes on
		replicas[i%2].start()
	}
	// The last to die leaves a log of which nothing is out yet, because NATS is away.
	n.kill()
	l.awaitAnswers(t, 100)
	replicas[0].kill()
	n.start()
	l.end()
	if l.missing(n.read()) == 0 {
		t.Error("nothing was left to be taken over: this test proves nothing")
	}
	l.verify(t, n.complete(l), nil)
}
