package natsauth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(sqldbtest.Tests{M: m},
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		// nats-server keeps its own clocks for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
	)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// site is a gateway's NATS: the embedded server with a listener, the gateway's own connection, credentials.
type site struct {
	*natsauth.Credentials
	server *events.Embedded
	bus    *events.Bus
	db     *sqldb.DB
	dir    string
	stop   func()
}

// open starts one on a database and a directory, as the gateway does.
func open(t testing.TB, db *sqldb.DB, dir string, change ...func(*natsauth.Config)) *site {
	t.Helper()
	authority, err := natsauth.NewAuthority()
	must(t, err)
	c := natsauth.Config{DB: db, Authority: authority, Log: quiet, Now: time.Now}
	for _, f := range change {
		f(&c)
	}
	active, err := natsauth.Load(t.Context(), db, c.Now())
	must(t, err)
	trust, err := authority.Trust(active)
	must(t, err)
	server, err := events.StartEmbedded(events.EmbeddedConfig{Dir: dir, Log: c.Log, Trust: trust, Listen: "127.0.0.1:0"})
	must(t, err)
	user, err := authority.User()
	must(t, err)
	bus, err := events.Connect(t.Context(), events.BusConfig{Embedded: server, User: user, Retention: time.Hour, Log: c.Log})
	must(t, err)
	c.Server, c.JetStream = server, bus.JS
	s := &site{Credentials: natsauth.New(c), server: server, bus: bus, db: db, dir: dir}
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			bus.Close()
			server.Stop()
		}
	}
	t.Cleanup(s.stop)
	must(t, s.Settle(t.Context()))
	return s
}

func newSite(t testing.TB, change ...func(*natsauth.Config)) *site {
	t.Helper()
	return open(t, sqldbtest.SQLite(t), t.TempDir(), change...)
}

// mint makes a credential and returns its file.
func (s *site) mint(t testing.TB, g natsauth.Grant) string {
	t.Helper()
	_, file, err := s.Mint(t.Context(), g, time.Time{})
	must(t, err)
	return save(t, file)
}

func save(t testing.TB, file vault.Secret) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.creds")
	must(t, os.WriteFile(path, []byte(file.Reveal()), 0o600))
	return path
}

func (s *site) url() string { return "nats://" + s.server.Addr() }

// app is a connected credential.
type app struct {
	*nats.Conn
	name string
}

func (s *site) connect(t testing.TB, name, creds string) *app {
	t.Helper()
	a, err := s.dial(name, creds)
	if err != nil {
		t.Fatalf("connecting %s: %v", name, err)
	}
	t.Cleanup(a.Close)
	return a
}

func (s *site) dial(name, creds string) (*app, error) {
	conn, err := nats.Connect(s.url(), nats.UserCredentials(creds), nats.CustomInboxPrefix("_INBOX."+name), nats.MaxReconnects(0),
		nats.Timeout(30*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return &app{conn, name}, err
}

// refused tells whether the server has refused the last thing that was done to a subject. What is flushed has
// been judged, and the error of a refusal comes before the flush's answer.
func (a *app) refused(t testing.TB, action, subject string) bool {
	t.Helper()
	must(t, a.Flush())
	err := a.LastError()
	return err != nil && strings.Contains(strings.ToLower(err.Error()), `permissions violation for `+action+` to "`+strings.ToLower(subject)+`"`)
}

// mayPublish tries.
func (a *app) mayPublish(t testing.TB, subject string) bool {
	t.Helper()
	must(t, a.Publish(subject, []byte("forged")))
	return !a.refused(t, "publish", subject)
}

// maySubscribe tries.
func (a *app) maySubscribe(t testing.TB, subject string) bool {
	t.Helper()
	sub, err := a.SubscribeSync(subject)
	must(t, err)
	refused := a.refused(t, "subscription", subject)
	_ = sub.Unsubscribe() // a refused one is gone already
	return !refused
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// say publishes as the gateway and waits until it is in the stream.
func (s *site) say(t testing.TB, subject, data string) {
	t.Helper()
	_, err := s.bus.JS.Publish(t.Context(), subject, []byte(data))
	must(t, err)
}

// stored describes the stream of what the gateway says.
func (s *site) stored(t testing.TB) string {
	t.Helper()
	i := s.stream(t, events.StreamName)
	return fmt.Sprintf("%d messages from %d to %d, %d consumers", i.State.Msgs, i.State.FirstSeq, i.State.LastSeq, i.State.Consumers)
}

// commands is how many are stored.
func (s *site) commands(t testing.TB) uint64 {
	t.Helper()
	return s.stream(t, events.CommandsName).State.Msgs
}

func (s *site) stream(t testing.TB, name string) *jetstream.StreamInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := s.bus.JS.Stream(ctx, name)
	must(t, err)
	return stream.CachedInfo()
}
