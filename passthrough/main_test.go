package passthrough_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
	"gatehouse/oauth"
	"gatehouse/passthrough"
	"gatehouse/tokens"
	"gatehouse/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

const (
	account = "hX9aQ2"
	other   = "kT4bZ8"
	key     = "gh_the-callers-key-Vq8x"
)

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

// authority refreshes tokens as long as nobody tells it otherwise.
type authority struct {
	refreshed atomic.Int64
	fail      atomic.Pointer[error]
}

func (a *authority) Refresh(context.Context, vault.Secret) (tokens.Pair, error) {
	if err := a.fail.Load(); err != nil {
		return tokens.Pair{}, *err
	}
	n := string(rune('0' + a.refreshed.Add(1)))
	return tokens.Pair{Access: vault.NewSecret("at_new-" + n), Refresh: vault.NewSecret("rt_new-" + n), ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (a *authority) Revoke(context.Context, vault.Secret) error { return nil }

// gateway is the server with the pass-through, before a DoorFlow that a test makes up.
type gateway struct {
	t         *testing.T
	url, dir  string
	log       *lines
	registry  *prometheus.Registry
	authority *authority
	keeper    *tokens.Keeper
	audit     *audit.Log
	handlers  *passthrough.Handlers
	client    *http.Client
	caller    atomic.Pointer[web.Caller]
	stop      func() // stops the server, and waits for it
}

// newGateway stands before the DoorFlow at the address.
func newGateway(t *testing.T, doorflow string) *gateway {
	t.Helper()
	transport := &http.Transport{MaxResponseHeaderBytes: 256 << 10}
	t.Cleanup(transport.CloseIdleConnections)
	return newGatewayOver(t, doorflow, transport)
}

func newGatewayOver(t *testing.T, doorflow string, transport http.RoundTripper) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), log: &lines{}, registry: web.NewRegistry(), authority: &authority{}}
	g.caller.Store(&web.Caller{ID: "k1", Name: "visitors", Scopes: []string{"admin"}})
	log := telemetry.NewLogger(g.log, "json", slog.LevelDebug)
	db := sqldbtest.SQLiteIn(t, g.dir)
	secrets, err := vault.Load(t.Context(), filepath.Join(g.dir, "keyset.json"), db.Writer(), true)
	must(t, err)
	events, err := events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: g.registry, Log: log})
	must(t, err)
	background(t, events.Run)
	base, err := url.Parse(doorflow)
	must(t, err)
	g.keeper = tokens.New(tokens.Config{DB: db, Events: events, Vault: secrets, OAuth: g.authority, APIURL: doorflow, Registerer: g.registry, Log: log})
	g.audit = &audit.Log{DB: db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		return events.Do(ctx, eventsChange(change))
	}}
	g.handlers = &passthrough.Handlers{
		Base: base, Connection: g.keeper.Get, Audit: g.audit, Accounts: web.Accounts, Log: log,
		Client: func(account string) *http.Client { return g.keeper.Client(account, transport) },
	}
	g.serve(log)
	for _, a := range []string{account, other} {
		must(t, g.keeper.Put(t.Context(), tokens.Grant{
			Account: a, Access: vault.NewSecret("at_first-" + a), Refresh: vault.NewSecret("rt_first-" + a), ExpiresAt: time.Now().Add(time.Hour),
		}))
	}
	return g
}

func (g *gateway) serve(log *slog.Logger) {
	g.t.Helper()
	server, err := web.New(web.Config{
		Registry: g.registry, Log: log, DoorFlow: g.handlers, Audit: &audit.Handlers{Log: g.audit, Accounts: web.Accounts},
		Authenticate: func(_ context.Context, k vault.Secret) (web.Caller, bool, error) {
			return *g.caller.Load(), k.Reveal() == key, nil
		},
	})
	must(g.t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(g.t, err)
	g.url = "http://" + ln.Addr().String()
	g.stop = background(g.t, func(ctx context.Context) error { return web.Serve(ctx, ln, server.Public(true), nil, log) })
	own := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	g.client = &http.Client{Transport: own, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	g.t.Cleanup(own.CloseIdleConnections)
}

// background runs a part until the test ends, or stop is called.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventsChange(change func(context.Context, *sqldb.Tx) error) func(context.Context, *events.Tx) error {
	return func(ctx context.Context, tx *events.Tx) error { return change(ctx, tx.Tx) }
}

// answer is a response with its body read. err is why it could not be read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// request makes one for a path below /api/3/ of an account, with the caller's key.
func (g *gateway) request(ctx context.Context, method, account, rest string, body io.Reader) *http.Request {
	g.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, g.url+"/v1/connections/"+account+"/doorflow/api/3/"+rest, body)
	must(g.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (g *gateway) do(req *http.Request) answer {
	g.t.Helper()
	resp, err := g.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (g *gateway) get(rest string) answer {
	g.t.Helper()
	return g.do(g.request(g.t.Context(), http.MethodGet, account, rest, nil))
}

func (g *gateway) post(rest, body string) answer {
	g.t.Helper()
	return g.do(g.request(g.t.Context(), http.MethodPost, account, rest, strings.NewReader(body)))
}

// problem wants the answer to be the gateway's own, with that status and type.
func (a answer) problem(t *testing.T, status int, slug string) web.Problem {
	t.Helper()
	var p web.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != status || p.Type != "/problems/"+slug ||
		a.header.Get("Content-Type") != "application/problem+json" || a.header.Get(passthrough.AnsweredBy) != "" {
		t.Errorf("%d %v %.300q %v, want %d %s", a.status, a.header, a.body, a.err, status, slug)
	}
	return p
}

// doorflows wants the answer to be DoorFlow's.
func (a answer) doorflows(t *testing.T, status int, body string) {
	t.Helper()
	if a.err != nil || a.status != status || a.body != body || a.header.Get(passthrough.AnsweredBy) != "doorflow" {
		t.Errorf("%d %v %.300q %v, want %d %.300q of DoorFlow's", a.status, a.header, a.body, a.err, status, body)
	}
}

// audited returns what the audit log says, oldest first: action, target, outcome, status.
func (g *gateway) audited() []string {
	g.t.Helper()
	page, _, err := g.audit.List(g.t.Context(), audit.Query{Limit: 500})
	must(g.t, err)
	var entries []string
	for _, e := range page {
		line := e.Action + " " + e.Target + " " + e.Outcome
		if e.Status != 0 {
			line += " " + http.StatusText(e.Status)
		}
		entries = append([]string{line}, entries...)
	}
	return entries
}

// await asks until the answer is yes.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !yes(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// files are the bytes of all files of the database.
func (g *gateway) files() string {
	g.t.Helper()
	var all strings.Builder
	names, err := filepath.Glob(filepath.Join(g.dir, "*"))
	must(g.t, err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		must(g.t, err)
		all.Write(data)
	}
	return all.String()
}

var errRevoked error = &oauth.Error{Class: oauth.Revoked, Op: "test", Code: "invalid_grant", Status: 400}

var errAway = errors.New("DoorFlow is away")
