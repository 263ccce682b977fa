package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"gatehouse/events"
)

// nkey makes a user's key and returns the file with its seed, and its public key.
func nkey(t *testing.T) (file, public string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "nkey")
	if err := os.WriteFile(file, append(seed, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, public
}

// printedBlock is what doctor prints for an external NATS.
func printedBlock(t *testing.T) string {
	t.Helper()
	_, stdout, stderr := command(t, map[string]string{"GATEHOUSE_NATS_URL": "nats://" + freeAddr(t), "GATEHOUSE_ADDR": freeAddr(t), "GATEHOUSE_OPS_ADDR": ""}, "doctor")
	_, block, found := strings.Cut(stdout, "\n# accounts,")
	if !found {
		t.Fatalf("doctor prints no accounts: %s%s", stdout, stderr)
	}
	return "# accounts," + block
}

// newCluster starts three nats-server processes with JetStream and the accounts given.
func newCluster(t *testing.T, accounts string) (nodes []*natsServer, urls string) {
	t.Helper()
	program, err := buildNATS()
	if err != nil {
		t.Fatal(err)
	}
	var routes, addrs []string
	for range 3 {
		routes = append(routes, freeAddr(t))
		addrs = append(addrs, freeAddr(t))
	}
	for i := range 3 {
		dir := t.TempDir()
		conf := fmt.Sprintf("server_name: n%d\nlisten: %q\njetstream { store_dir: %q, max_file_store: 1TB }\ncluster { name: C, listen: %q, routes: [ nats://%s ] }\n%s",
			i, addrs[i], dir, routes[i], strings.Join(routes, ", nats://"), accounts)
		path := filepath.Join(dir, "nats.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		n := &natsServer{t: t, addr: addrs[i], cmd: exec.Command(program, "-c", path)}
		if err := n.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.kill)
		nodes = append(nodes, n)
	}
	return nodes, "nats://" + strings.Join(addrs, ",nats://")
}

// asKey connects with a key and waits until JetStream answers under the prefix.
func asKey(t *testing.T, urls, file string) *nats.Conn {
	t.Helper()
	option, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		t.Fatal(err)
	}
	var conn *nats.Conn
	eventually(t, 90*time.Second, func() string {
		if conn, err = nats.Connect(urls, option, unhurried(), nats.CustomInboxPrefix("_INBOX.app"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})); err != nil {
			return err.Error()
		}
		return ""
	})
	t.Cleanup(conn.Close)
	return conn
}

// A cluster that is configured with exactly what doctor prints, but for the keys: the streams have three
// replicas, a program does what it may and nothing else, and events go on when a node dies.
func TestAClusterAsDoctorPrintsIt(t *testing.T) {
	t.Parallel()
	gatewayFile, gatewayKey := nkey(t)
	appFile, appKey := nkey(t)
	nodes, urls := newCluster(t, strings.NewReplacer("GATEWAY_KEY", gatewayKey, "APP_KEY", appKey).Replace(printedBlock(t)))
	admin := asKey(t, urls, gatewayFile)
	js, err := jetstream.New(admin, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 90*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "together", Subjects: []string{"together"}, Replicas: 3}); err != nil {
			return "the three have not found each other: " + err.Error()
		}
		return ""
	})
	if err := js.DeleteStream(t.Context(), "together"); err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": urls, "GATEHOUSE_NATS_CREDS_FILE": gatewayFile}).start()
	l := newLoad()
	l.account = "hX9aQ2"
	leader := wantReplicas(t, js)

	if _, err := js.CreateConsumer(t.Context(), events.StreamName, jetstream.ConsumerConfig{
		Durable: "app", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"gatehouse.notification.hX9aQ2.>", "gatehouse.event.hX9aQ2.>"},
	}); err != nil {
		t.Fatal(err)
	}
	app := asKey(t, urls, appFile)
	live, err := app.SubscribeSync("gatehouse.notification.hX9aQ2.>")
	if err != nil {
		t.Fatal(err)
	}
	checkClusterApp(t, app, admin)

	l.begin(t, 4, g)
	l.awaitAnswers(t, 20)
	fetchOne(t, app)
	nodes[leader].kill()
	l.awaitAnswers(t, 20) // webhooks do not wait for NATS
	l.end()
	var s *seen
	eventually(t, 90*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, events.StreamName)
		if err != nil {
			return "the two nodes left do not answer: " + err.Error()
		}
		// Read only when all is there: a consumer made while nodes vote may hang for a minute.
		if have, want := stream.CachedInfo().State.Msgs, uint64(len(l.stored)); have < want {
			return fmt.Sprintf("%d of %d messages are in the stream", have, want)
		}
		s = readStream(t, js)
		if m := l.missing(s); m > 0 {
			return fmt.Sprintf("%d notifications answered 200 are not in the stream", m)
		}
		return ""
	})
	l.verify(t, s, nil)
	if _, err := live.NextMsg(30 * time.Second); err != nil {
		t.Errorf("the app heard nothing: %v", err)
	}
	fetchOne(t, app)
}

// wantReplicas wants both streams on three nodes, and returns which node leads the events.
func wantReplicas(t *testing.T, js jetstream.JetStream) (leader int) {
	t.Helper()
	for _, name := range []string{events.CommandsName, events.StreamName} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if i := stream.CachedInfo(); i.Config.Replicas != 3 || i.Cluster == nil || len(i.Cluster.Replicas) != 2 {
			t.Errorf("stream %s has %d replicas", name, i.Config.Replicas)
		} else {
			if _, err := fmt.Sscanf(i.Cluster.Leader, "n%d", &leader); err != nil {
				t.Fatalf("the leader is %q", i.Cluster.Leader)
			}
		}
	}
	return leader
}

// checkClusterApp tries what the printed permissions grant, and some of what they do not.
func checkClusterApp(t *testing.T, app, gateway *nats.Conn) {
	t.Helper()
	sub, err := gateway.Subscribe("gatehouse.ask.>", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := gateway.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() string { // interest travels between the nodes
		if _, err := app.Request("gatehouse.ask.acme.doors.app", nil, time.Second); err != nil {
			return "asking: " + err.Error()
		}
		return ""
	})
	if _, err := app.Request("gatehouse.command.acme.share.app", []byte("{}"), 30*time.Second); err != nil {
		t.Errorf("commanding: %v", err)
	}
	for _, subject := range []string{"gatehouse.event.hX9aQ2.access.granted", "gatehouse.command.acme.unlock.app", "$JS.API.STREAM.PURGE.GATEHOUSE", "gatehouse.ask.other.doors.app"} {
		if err := app.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := app.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := app.LastError(); err == nil || !strings.Contains(err.Error(), subject) {
			t.Errorf("publishing to %s: %v", subject, err)
		}
	}
}

// fetchOne takes a message from the app's durable consumer as its credentials allow.
func fetchOne(t *testing.T, app *nats.Conn) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		js, err := jetstream.NewWithAPIPrefix(app, "gatehouse.js")
		if err != nil {
			return err.Error()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		consumer, err := js.Consumer(ctx, events.StreamName, "app")
		if err != nil {
			return "the consumer: " + err.Error()
		}
		m, err := consumer.Next(jetstream.FetchMaxWait(2 * time.Second))
		if err != nil {
			return "fetching: " + err.Error()
		}
		if err := m.DoubleAck(ctx); err != nil {
			return "acknowledging: " + err.Error()
		}
		return ""
	})
}
