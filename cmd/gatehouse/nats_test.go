package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
)

// natsServer is a nats-server process with JetStream on a directory of its own.
type natsServer struct {
	t     testing.TB
	addr  string
	store string
	cmd   *exec.Cmd
}

var buildNATS = sync.OnceValues(func() (string, error) {
	return build("nats-server", "github.com/nats-io/nats-server/v2")
})

func newNATS(t testing.TB) *natsServer {
	t.Helper()
	if _, err := buildNATS(); err != nil {
		t.Fatal(err)
	}
	n := &natsServer{t: t, addr: freeAddr(t), store: filepath.Join(t.TempDir(), "nats")}
	t.Cleanup(n.kill)
	n.start()
	return n
}

func (n *natsServer) url() string { return "nats://" + n.addr }

// unhurried lets a server on a busy machine take longer than the two seconds that a connection has by default.
func unhurried() nats.Option { return nats.Timeout(30 * time.Second) }

// start starts the process and waits until its JetStream answers.
func (n *natsServer) start() {
	n.t.Helper()
	program, _ := buildNATS()
	host, port, _ := net.SplitHostPort(n.addr)
	n.cmd = exec.Command(program, "-js", "-sd", n.store, "-a", host, "-p", port)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, time.Minute, func() string {
		conn, err := nats.Connect(n.url())
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			return err.Error()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := js.AccountInfo(ctx); err != nil {
			return "JetStream does not answer: " + err.Error()
		}
		return ""
	})
}

// kill ends the process as kill -9 does.
func (n *natsServer) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *natsServer) connect() (*nats.Conn, jetstream.JetStream) {
	n.t.Helper()
	conn, err := nats.Connect(n.url(), unhurried())
	if err != nil {
		n.t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		n.t.Fatal(err)
	}
	return conn, js
}

// read returns all that stands in the stream.
func (n *natsServer) read() *seen {
	n.t.Helper()
	conn, js := n.connect()
	defer conn.Close()
	return readStream(n.t, js)
}

// complete waits until everything answered 200 is in the stream, and returns it.
func (n *natsServer) complete(l *load) *seen {
	n.t.Helper()
	var s *seen
	eventually(n.t, 90*time.Second, func() string {
		s = n.read()
		if m := l.missing(s); m > 0 {
			return fmt.Sprintf("%d notifications answered 200 are not in the stream", m)
		}
		return ""
	})
	return s
}

// withEmbedded opens the JetStream store of a gateway that does not run.
func withEmbedded(t testing.TB, g *gateway, use func(jetstream.JetStream)) {
	t.Helper()
	withStore(t, filepath.Join(g.data, "jetstream"), use)
}

func withStore(t testing.TB, dir string, use func(jetstream.JetStream)) {
	t.Helper()
	authority, err := natsauth.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	trust, err := authority.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	user, err := authority.User()
	if err != nil {
		t.Fatal(err)
	}
	server, err := events.StartEmbedded(events.EmbeddedConfig{Dir: dir, Log: slog.New(slog.DiscardHandler), Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	conn, err := nats.Connect("", nats.InProcessServer(server), user, unhurried())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	use(js)
}

// completeEmbedded lets a gateway on embedded NATS run until everything answered 200 is in its stream. Only
// a gateway that is stopped shows its stream, so it gets more time with each try. It is left stopped.
func completeEmbedded(t testing.TB, g *gateway, l *load) *seen {
	t.Helper()
	var s *seen
	patience := 50 * time.Millisecond
	eventually(t, 60*time.Second, func() string {
		if g.cmd == nil {
			g.start()
		}
		patience *= 2
		time.Sleep(patience)
		g.stop()
		withEmbedded(t, g, func(js jetstream.JetStream) { s = readStream(t, js) })
		if m := l.missing(s); m > 0 {
			return fmt.Sprintf("%d notifications answered 200 are not in the stream", m)
		}
		return ""
	})
	return s
}

// readStream reads the whole stream and checks that no message id stands in it twice.
func readStream(t testing.TB, js jetstream.JetStream) *seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s := &seen{notified: map[string]int{}, events: map[string]int{}, origins: map[string]int{}}
	stream, err := js.Stream(ctx, events.StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s
	}
	if err != nil {
		t.Fatal(err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return s
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	// It would live on for minutes, and a stream takes only so many.
	defer func() { _ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) }()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2000))
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	ids := map[string]bool{}
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		s.take(t, m, ids)
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if meta.NumPending == 0 {
			return s
		}
	}
}

func (s *seen) take(t testing.TB, m jetstream.Msg, ids map[string]bool) {
	t.Helper()
	var body struct{ ID, Subject, Origin string }
	if err := json.Unmarshal(m.Data(), &body); err != nil {
		t.Errorf("a message on %s is not JSON: %v", m.Subject(), err)
		return
	}
	if id := m.Headers().Get(jetstream.MsgIDHeader); id != body.ID || ids[id] {
		t.Errorf("message %q: Nats-Msg-Id %q, seen before: %v", body.ID, id, ids[id])
	}
	ids[body.ID] = true
	s.messages++
	fmt.Fprintf(&s.bytes, "%s %v\n%s\n", m.Subject(), m.Headers(), m.Data())
	_, id, _ := strings.Cut(body.Subject, "/")
	switch {
	case strings.HasPrefix(m.Subject(), "gatehouse.notification."):
		s.notified[id]++
	case strings.HasPrefix(m.Subject(), "gatehouse.event."):
		s.events[id]++
		s.origins[body.Origin]++
	}
}

// copyTree replaces the directory to by a copy of from.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
