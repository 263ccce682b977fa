package tokens_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/oauth"
	"gatehouse/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

const account = doorflowsim.AccountA

var scopes = []string{"account.channel.readonly", "account.event.access.readonly", "account.person"}

var discard = slog.New(slog.DiscardHandler)

// clock is real time plus what the test adds.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// logBuffer collects what is logged at debug level.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// process is one gateway process: its pool, its log, its Keeper.
type process struct {
	*tokens.Keeper
	clock
	db     *sqldb.DB
	events *events.Log
	vault  *vault.Vault
	logs   *logBuffer
	reg    *prometheus.Registry
	stop   func() // ends the log
}

func newProcess(t testing.TB, db *sqldb.DB, authority tokens.Authority, keyset string) *process {
	t.Helper()
	return newProcessWith(t, db, authority, keyset, events.LogConfig{})
}

func newProcessWith(t testing.TB, db *sqldb.DB, authority tokens.Authority, keyset string, c events.LogConfig) *process {
	t.Helper()
	if keyset == "" {
		keyset = filepath.Join(t.TempDir(), "keyset.json")
	}
	p := &process{db: db, logs: &logBuffer{}, reg: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if p.vault, err = vault.Load(t.Context(), keyset, db.Writer(), true); err != nil {
		t.Fatal(err)
	}
	c.DB, c.Registerer, c.Log = db, p.reg, log
	if p.events, err = events.OpenLog(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.events.Run(ctx)
	}()
	p.stop = func() { cancel(); <-done }
	p.Keeper = tokens.New(tokens.Config{
		DB: db, Events: p.events, Vault: p.vault, OAuth: authority, APIURL: "https://api.doorflow.test",
		WantedScopes: scopes, Registerer: p.reg, Log: log, Now: p.now,
	})
	t.Cleanup(func() {
		p.drain(t)
		p.stop()
	})
	return p
}

// drain waits for detached work, as a stopping gateway does.
func (p *process) drain(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
}

// connect stores a pair that expires in the given time.
func (p *process) connect(t testing.TB, access, refresh string, life time.Duration) {
	t.Helper()
	err := p.Put(t.Context(), tokens.Grant{
		Account: account, Access: vault.NewSecret(access), Refresh: vault.NewSecret(refresh),
		ExpiresAt: p.now().Add(life), Scopes: scopes,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *process) status(t testing.TB) string {
	t.Helper()
	c, err := p.Get(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return c.Status
}

// said returns the subjects of all messages, oldest first, without their common beginning.
func (p *process) said(t testing.TB) string {
	t.Helper()
	var subjects []string
	if err := p.db.Select(t.Context(), &subjects, `SELECT subject FROM messages ORDER BY at, seq`); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(subjects, " "), "gatehouse.connection."+account+".", "")
}

// want checks a token.
func want(t testing.TB, token vault.Secret, err error, access string) {
	t.Helper()
	if err != nil || token.Reveal() != access {
		t.Fatalf("got token %q, error %v; want %q", token.Reveal(), err, access)
	}
}

func wantError(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("got error %v, want %v", err, target)
		}
	}
}

// cloud is a simulated DoorFlow and a client of it.
type cloud struct {
	*doorflowsim.Sim
	server *httptest.Server
	client *oauth.Client
}

func newCloud(t testing.TB, o doorflowsim.Options) *cloud {
	t.Helper()
	o.ClientID, o.ClientSecret = "client", "planted-client-secret"
	c := &cloud{Sim: doorflowsim.New(o)}
	c.server = httptest.NewServer(c.Sim)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	var err error
	c.client, err = oauth.NewClient(oauth.Config{
		ClientID: "client", ClientSecret: vault.NewSecret("planted-client-secret"), APIURL: c.server.URL,
		AuthorizeURL: c.server.URL + "/oauth/authorize", RedirectURL: "http://localhost/oauth/callback", Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		c.server.Close()
	})
	return c
}

// script is an authorization server that does what a test says.
type script struct {
	mu      sync.Mutex
	refresh func(ctx context.Context, refresh string) (tokens.Pair, error)
	revoke  func(token string) error
	asked   []string
	revoked []string
}

func (s *script) Refresh(ctx context.Context, refresh vault.Secret) (tokens.Pair, error) {
	s.mu.Lock()
	s.asked = append(s.asked, refresh.Reveal())
	do := s.refresh
	s.mu.Unlock()
	return do(ctx, refresh.Reveal())
}

func (s *script) Revoke(_ context.Context, token vault.Secret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoke != nil {
		if err := s.revoke(token.Reveal()); err != nil {
			return err
		}
	}
	s.revoked = append(s.revoked, token.Reveal())
	return nil
}

func (s *script) on(refresh func(ctx context.Context, refresh string) (tokens.Pair, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh = refresh
}

func (s *script) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

func (s *script) wasRevoked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.revoked, " ")
}

func pair(name string, expires time.Time) tokens.Pair {
	return tokens.Pair{Access: vault.NewSecret("access-" + name), Refresh: vault.NewSecret("refresh-" + name), ExpiresAt: expires}
}

var (
	errGone   = &oauth.Error{Class: oauth.Revoked, Op: "test", Code: "invalid_grant", Status: 400}
	errClient = &oauth.Error{Class: oauth.Misconfigured, Op: "test", Code: "invalid_client", Status: 401}
	errAway   = &oauth.Error{Class: oauth.Transient, Op: "test", Code: "timeout"}
)
