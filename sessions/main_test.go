package sessions_test

import (
	"context"
	"log/slog"
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
	"gatehouse/sessions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const adminToken = "gh_admin-token-of-a-test"

// place has keys and sessions, and a clock that can be set forward.
type place struct {
	t      testing.TB
	db     *sqldb.DB
	events *events.Log
	keys   *apikeys.Keys
	*sessions.Sessions
	offset atomic.Int64
}

func each(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { test(t, newPlace(t, db)) })
}

func newPlace(t testing.TB, db *sqldb.DB) *place {
	t.Helper()
	p := &place{t: t, db: db}
	var err error
	p.events, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.events.Run(ctx) }()
	t.Cleanup(func() { stop(); must(t, <-ended) })
	p.restart(adminToken)
	return p
}

// restart opens everything anew with an admin token.
func (p *place) restart(token string) {
	p.t.Helper()
	var err error
	p.keys, err = apikeys.Open(p.t.Context(), apikeys.Config{
		DB: p.db, Events: p.events, Token: vault.NewSecret(token), Log: slog.New(slog.DiscardHandler), Now: p.now,
	})
	must(p.t, err)
	p.Sessions = sessions.New(sessions.Config{DB: p.db, Events: p.events, Keys: p.keys, Now: p.now})
}

func (p *place) now() time.Time { return time.Now().Add(time.Duration(p.offset.Load())) }

func (p *place) later(d time.Duration) { p.offset.Add(int64(d)) }

// key makes one and returns its id.
func (p *place) key(expires time.Duration) string {
	p.t.Helper()
	r := apikeys.Request{Name: "of a test", Scopes: []string{"messages:read"}}
	if expires > 0 {
		r.ExpiresAt = new(p.now().Add(expires).Format(time.RFC3339))
	}
	made, _, err := p.keys.Create(p.t.Context(), r)
	must(p.t, err)
	return made.ID
}

func (p *place) open(key string) vault.Secret {
	p.t.Helper()
	token, err := p.Open(p.t.Context(), key, sessions.Browser{Says: "Testing/1.0"})
	must(p.t, err)
	return token
}

func (p *place) works(token vault.Secret, used bool) bool {
	p.t.Helper()
	_, ok, err := p.Find(p.t.Context(), token, used)
	must(p.t, err)
	return ok
}

func newPlaceOnSQLite(t testing.TB) *place {
	t.Helper()
	return newPlace(t, sqldbtest.SQLite(t))
}
