package sharing_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
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
	"gatehouse/internal/vault"
	"gatehouse/sharing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	url string
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
	t.Cleanup(func() { cancel(); <-done })
	r.audit = &audit.Log{DB: db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		return r.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error { return change(ctx, tx.Tx) })
	}}
	client, err := doordeck.NewClient(doordeck.Config{URL: c.url})
	must(t, err)
	r.Identities = sharing.NewIdentities(sharing.IdentitiesConfig{
		DB: db, Events: r.events, Vault: v, Audit: r.audit, Client: client, Issuer: doordecksim.DefaultIssuer, Key: c.key(t),
		Registerer: r.reg, Log: log, Now: r.now,
	})
	return r
}

// keyset is where a test's key set lies.
func keyset(t testing.TB) string { return filepath.Join(t.TempDir(), "keyset.json") }
