package sharing_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/sharing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines is a log to look into.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// cloud is a Doordeck of the test's own.
type cloud struct {
	*doordecksim.Sim
	url       string
	transport http.RoundTripper // of replicas made from now on; nil for the client's own
}

func newCloud(t testing.TB, o doordecksim.Options) *cloud {
	t.Helper()
	c := &cloud{Sim: doordecksim.New(o)}
	server := httptest.NewServer(c.Sim)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// key is the application's, as an operator has it in a file.
func (c *cloud) key(t testing.TB) doordeck.ApplicationKey {
	t.Helper()
	signing := c.SigningKey(doordecksim.KeyEd25519)
	der, err := x509.MarshalPKCS8PrivateKey(signing.Private)
	must(t, err)
	key, err := doordeck.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), signing.ID)
	must(t, err)
	return key
}

// replica is one gateway process: its log, its vault, its Identities.
type replica struct {
	*sharing.Identities
	db     *sqldb.DB
	events *events.Log
	audit  *audit.Log
	log    *lines
	reg    *prometheus.Registry
	offset atomic.Int64 // of its clock
	close  func()       // ends the log
}

func (r *replica) now() time.Time          { return time.Now().Add(time.Duration(r.offset.Load())) }
func (r *replica) advance(d time.Duration) { r.offset.Add(int64(d)) }

// newReplica makes one that shares a database, a key set and a cloud with others.
func newReplica(t testing.TB, db *sqldb.DB, keyset string, c *cloud) *replica {
	t.Helper()
	r := &replica{db: db, log: &lines{}, reg: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v, err := vault.Load(t.Context(), keyset, db.Writer(), true)
	must(t, err)
	r.events, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: r.reg, Log: log})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.events.Run(ctx) }()
	r.close = func() { cancel(); <-done }
	t.Cleanup(r.close)
	r.audit = &audit.Log{DB: db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		return r.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error { return change(ctx, tx.Tx) })
	}}
	client, err := doordeck.NewClient(doordeck.Config{URL: c.url, Transport: c.transport})
	must(t, err)
	r.Identities = sharing.NewIdentities(sharing.IdentitiesConfig{
		DB: db, Events: r.events, Vault: v, Audit: r.audit, Client: client, Issuer: doordecksim.DefaultIssuer, Key: c.key(t),
		Registerer: r.reg, Log: log, Now: r.now,
	})
	return r
}

// keyset is where a test's key set lies.
func keyset(t testing.TB) string { return filepath.Join(t.TempDir(), "keyset.json") }

// run lets a replica look after the identities until the test ends, or stop is called.
func (r *replica) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); must(t, <-done) })
	t.Cleanup(stop)
	return stop
}

// make makes ada's identity and has it registered.
func (r *replica) make(t testing.TB) sharing.Identity {
	t.Helper()
	_, err := r.Create(t.Context(), ada())
	must(t, err)
	return r.register(t)
}

func (r *replica) register(t testing.TB) sharing.Identity {
	t.Helper()
	got, err := r.Register(t.Context(), "acme", nil)
	must(t, err)
	return got
}

func (r *replica) get(t testing.TB) sharing.Identity {
	t.Helper()
	got, err := r.Get(t.Context(), "acme")
	must(t, err)
	return got
}

// await polls until the identity is as wanted.
func (r *replica) await(t testing.TB, what string, is func(sharing.Identity) bool) (got sharing.Identity) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got = r.get(t); is(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come: %+v\n%s", what, got, r.log)
		}
	}
}

// said are the subjects of all messages, oldest first, and their bodies in one.
func (r *replica) said(t testing.TB) (subjects []string, bodies string) {
	t.Helper()
	var rows []struct {
		Subject string
		Body    []byte
	}
	must(t, r.db.Select(t.Context(), &rows, `SELECT subject, body FROM messages ORDER BY writer, seq`))
	for _, m := range rows {
		subjects = append(subjects, m.Subject)
		bodies += string(m.Body)
	}
	return subjects, bodies
}

// unlocks tells whether the identity can open the front door.
func (r *replica) unlocks(t testing.TB) error {
	t.Helper()
	s, err := r.Session(t.Context(), "acme")
	if err != nil {
		return err
	}
	signed, err := s.Sign(doordecksim.LockFront, doordeck.Unlock{}, 0)
	if err != nil {
		return err
	}
	_, err = r.Client().Execute(t.Context(), s.Token, doordecksim.LockFront, signed.JWT)
	return err
}

// otherKey gives somebody a key already, so that another needs a code.
func (c *cloud) otherKey(t testing.TB, subject string) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	must(t, c.RegisterKey(subject, public))
}
