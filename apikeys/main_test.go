package apikeys_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
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

// place is where keys are kept: a database with its log, a directory, and a clock that can be set forward.
type place struct {
	t      testing.TB
	db     *sqldb.DB
	events *events.Log
	dir    string
	offset atomic.Int64
	log    *lines
}

func newPlace(t testing.TB, db *sqldb.DB) *place {
	t.Helper()
	p := &place{t: t, db: db, dir: t.TempDir(), log: &lines{}}
	var err error
	p.events, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: p.logger()})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.events.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *place) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (p *place) now() time.Time { return time.Now().Add(time.Duration(p.offset.Load())) }
func (p *place) file() string   { return filepath.Join(p.dir, "admin-token") }

// open starts anew with a configured admin token, or with a file where token is "".
func (p *place) open(token string) *apikeys.Keys {
	p.t.Helper()
	k, err := apikeys.Open(p.t.Context(), apikeys.Config{
		DB: p.db, Events: p.events, Token: vault.NewSecret(token), TokenFile: p.file(), Log: p.logger(), Now: p.now,
	})
	must(p.t, err)
	return k
}

func create(t testing.TB, k *apikeys.Keys, r apikeys.Request) (apikeys.Key, vault.Secret) {
	t.Helper()
	made, secret, err := k.Create(t.Context(), r)
	must(t, err)
	return made, secret
}

func works(t testing.TB, k *apikeys.Keys, secret vault.Secret) bool {
	t.Helper()
	_, ok, err := k.Authenticate(t.Context(), secret)
	must(t, err)
	return ok
}

func reader(name string) apikeys.Request {
	return apikeys.Request{Name: name, Scopes: []string{"messages:read"}}
}

func administrator() apikeys.Request { return apikeys.Request{Name: "ops", Scopes: []string{"admin"}} }
