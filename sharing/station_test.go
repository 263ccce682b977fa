package sharing_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// station is a desk that is asked over NATS: an embedded server that lets in who has credentials.
type station struct {
	*desk
	c           *cloud
	server      *events.Embedded
	bus         *events.Bus
	credentials *natsauth.Credentials
	service     *sharing.Service
	commands    *sharing.Commands
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newStation(t testing.TB, c *cloud) *station {
	t.Helper()
	db := sqldbtest.SQLite(t)
	authority, err := natsauth.NewAuthority()
	must(t, err)
	trust, err := authority.Trust(nil)
	must(t, err)
	server, err := events.StartEmbedded(events.EmbeddedConfig{Dir: t.TempDir(), Log: quiet, Trust: trust, Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(server.Stop)
	user, err := authority.User()
	must(t, err)
	bus, err := events.Connect(t.Context(), events.BusConfig{Embedded: server, User: user, Retention: time.Hour, Log: quiet})
	must(t, err)
	t.Cleanup(bus.Close)
	s := newStationOn(t, newDesk(t, db, keyset(t), c), bus, c)
	s.server = server
	s.credentials = natsauth.New(natsauth.Config{DB: db, Authority: authority, Server: server, JetStream: bus.JS, Log: quiet})
	return s
}

func newStationOn(t testing.TB, d *desk, bus *events.Bus, c *cloud) *station {
	t.Helper()
	return &station{
		desk: d, c: c, bus: bus,
		service: sharing.NewService(sharing.ServiceConfig{
			Conn: bus.Conn, Operations: d.ops, Identities: d.Identities, Registerer: d.reg, Log: d.logger(),
		}),
		commands: sharing.NewCommands(sharing.CommandsConfig{JetStream: bus.JS, Operations: d.ops, Registerer: d.reg, Log: d.logger()}),
	}
}

func (d *desk) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// during runs a part until the function that it returns is called, or the test ends.
func during(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// open runs operations and answers.
func (s *station) open(t testing.TB) *station {
	t.Helper()
	during(t, s.ops.Run)
	during(t, s.service.Run)
	during(t, s.commands.Run)
	s.answers(t)
	return s
}

// answers waits until the service says that it does, and takes it at its word.
func (s *station) answers(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); s.service.Healthy(t.Context()) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the service does not answer")
		}
	}
	m, err := s.bus.Conn.Request("$SRV.INFO.gatehouse", nil, 30*time.Second)
	must(t, err)
	if n := strings.Count(string(m.Data), `"request_schema"`); n != 6 {
		t.Fatalf("the service has %d endpoints", n)
	}
}

// program is a program with credentials.
type program struct {
	*nats.Conn
	t    testing.TB
	name string
}

// mint makes credentials and connects with them.
func (s *station) mint(t testing.TB, g natsauth.Grant) *program {
	t.Helper()
	_, file, err := s.credentials.Mint(t.Context(), g, time.Time{})
	must(t, err)
	path := filepath.Join(t.TempDir(), "app.creds")
	must(t, os.WriteFile(path, []byte(file.Reveal()), 0o600))
	conn, err := nats.Connect("nats://"+s.server.Addr(), nats.UserCredentials(path), nats.Timeout(30*time.Second), nats.CustomInboxPrefix("_INBOX."+g.Name),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	must(t, err)
	t.Cleanup(conn.Close)
	return &program{conn, t, g.Name}
}

// ask asks acme, and returns the answer and the code of an error.
func (p *program) ask(operation, body string) (answer, code string) {
	p.t.Helper()
	m, err := p.Request("gatehouse.ask.acme."+operation+"."+p.name, []byte(body), 40*time.Second)
	if err != nil {
		p.t.Fatalf("asking %s: %v", operation, err)
	}
	return string(m.Data), m.Header.Get("Nats-Service-Error-Code")
}

// asks is ask for an operation that is answered.
func (p *program) asks(operation, body string) (a sharing.Answer) {
	p.t.Helper()
	data, code := p.ask(operation, body)
	if code != "" {
		p.t.Fatalf("%s: %s %s", operation, code, data)
	}
	must(p.t, json.Unmarshal([]byte(data), &a))
	return a
}

// command publishes a command to acme, and sees it stored in the stream.
func (p *program) command(operation, body string) {
	p.t.Helper()
	m, err := p.Request("gatehouse.command.acme."+operation+"."+p.name, []byte(body), 30*time.Second)
	must(p.t, err)
	var ack struct {
		Error *struct{ Description string }
		Seq   uint64
	}
	must(p.t, json.Unmarshal(m.Data, &ack))
	if ack.Error != nil || ack.Seq == 0 {
		p.t.Fatalf("the stream answers %s", m.Data)
	}
}

// told lists the final answers that messages have brought, by the callers' ids.
func (s *station) told(t testing.TB) map[string][]sharing.Answer {
	t.Helper()
	found := map[string][]sharing.Answer{}
	after := ""
	for {
		stored, next, err := events.NewHistory(s.db, s.events).List(t.Context(), events.Query{After: after, Limit: events.MaxPage})
		must(t, err)
		for _, m := range stored {
			var said struct{ Data sharing.Answer }
			must(t, json.Unmarshal(m.Body, &said))
			if said.Data.Status.Final() {
				found[said.Data.ID] = append(found[said.Data.ID], said.Data)
			}
		}
		if after = next; next == "" {
			return found
		}
	}
}

// taken waits until the stream of commands is empty.
func (s *station) taken(t testing.TB, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		info := s.left(t)
		if info.State.Msgs == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d commands are left after %v\n%s", info.State.Msgs, within, s.log)
		}
	}
}

func (s *station) left(t testing.TB) *jetstream.StreamInfo {
	t.Helper()
	stream, err := s.bus.JS.Stream(t.Context(), events.CommandsName)
	must(t, err)
	return stream.CachedInfo()
}

// reception may do all that can be granted.
func reception() natsauth.Grant {
	return natsauth.Grant{
		Name:    "reception",
		Ask:     map[string][]string{"acme": {"share", "revoke", "unlock", "lookup", "doors", "door"}},
		Command: map[string][]string{"acme": {"share", "revoke", "unlock"}},
	}
}

func strict() doordecksim.Options { return doordecksim.Options{Strict: true} }

// externalNATS is a server that anybody may use, and how a gateway reaches it.
func externalNATS(t testing.TB) (*server.Server, events.BusConfig) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 40,
	})
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server did not start")
	}
	return s, events.BusConfig{URL: s.ClientURL(), Retention: time.Hour, Log: quiet}
}
