package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
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

const (
	clientSecret = "planted-client-secret"
	account      = doorflowsim.AccountA
	returnURL    = "https://app.example.test/back?tenant=7"
)

var scopes = []string{"account.person", "account.event.access.readonly"}

// recorder collects what may be seen: logs, pages, API replies, errors.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// road is what the gateway reaches DoorFlow by; the one path named is closed.
type road struct {
	base   http.RoundTripper
	closed atomic.Pointer[string]
}

func (r *road) RoundTrip(req *http.Request) (*http.Response, error) {
	if closed := r.closed.Load(); closed != nil && *closed == req.URL.Path {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errors.New("the road is closed")
	}
	return r.base.RoundTrip(req)
}

func (r *road) close(path string) { r.closed.Store(&path) }

// gateway is the browser's and the API's side of a gateway, with its keeper and a simulated DoorFlow.
type gateway struct {
	*httptest.Server
	t         testing.TB
	sim       *doorflowsim.Sim
	doorflow  *httptest.Server
	connect   *oauth.Connect
	keeper    *tokens.Keeper
	client    *oauth.Client
	db        *sqldb.DB
	events    *events.Log
	seen      *recorder
	offset    atomic.Int64
	held      atomic.Pointer[[]string] // the accounts that the API caller is held to
	transport *http.Transport
	road      *road
}

func newGateway(t testing.TB, db *sqldb.DB) *gateway {
	t.Helper()
	g := &gateway{t: t, db: db, seen: &recorder{}, transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	g.road = &road{base: g.transport}
	router := echo.New()
	router.HTTPErrorHandler = func(err error, c echo.Context) {
		fmt.Fprintln(g.seen, "error:", err)
		_ = c.JSON(http.StatusTeapot, map[string]string{"error": err.Error()})
	}
	g.Server = httptest.NewServer(router)
	g.sim = doorflowsim.New(doorflowsim.Options{ClientID: "client", ClientSecret: clientSecret, RedirectURIs: []string{g.URL + "/oauth/callback"}})
	g.doorflow = httptest.NewServer(g.sim)
	log := slog.New(slog.NewTextHandler(g.seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v, err := vault.Load(t.Context(), filepath.Join(t.TempDir(), "keyset.json"), db.Writer(), true)
	must(t, err)
	reg := prometheus.NewRegistry()
	g.events, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: reg, Log: log})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = g.events.Run(ctx) }()
	g.client, err = oauth.NewClient(oauth.Config{
		ClientID: "client", ClientSecret: vault.NewSecret(clientSecret), APIURL: g.doorflow.URL,
		AuthorizeURL: g.doorflow.URL + "/oauth/authorize", RedirectURL: g.URL + "/oauth/callback", Transport: g.road, Now: g.now,
	})
	must(t, err)
	g.keeper = tokens.New(tokens.Config{
		DB: db, Events: g.events, Vault: v, OAuth: g.client, APIURL: g.doorflow.URL, WantedScopes: scopes, Registerer: reg, Log: log, Now: g.now,
	})
	g.connect, err = oauth.NewConnect(oauth.ConnectConfig{
		Client: g.client, Connections: g.keeper, DB: db, Events: g.events, Vault: v, PublicURL: g.URL,
		ReturnURLs: []string{"https://app.example.test", "http://localhost:3000/"}, Scopes: scopes, Log: log, Now: g.now,
		Accounts: func(echo.Context) []string {
			if held := g.held.Load(); held != nil {
				return *held
			}
			return nil
		},
	})
	must(t, err)
	g.keeper.OnDisconnect = g.connect.Disconnected
	router.GET("/oauth/start/:link", g.connect.StartPage)
	router.POST("/oauth/start/:link", g.connect.Start)
	router.GET("/oauth/callback", g.connect.Callback)
	router.POST("/v1/connect-links", g.connect.CreateLink)
	router.GET("/v1/connect-links/:link", g.connect.GetLink)
	router.POST("/v1/connect-links/:link/complete", g.connect.CompleteLink)
	t.Cleanup(func() {
		g.transport.CloseIdleConnections()
		g.Close()
		g.doorflow.Close()
		cancel()
		<-done
	})
	return g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) now() time.Time          { return time.Now().Add(time.Duration(g.offset.Load())) }
func (g *gateway) advance(d time.Duration) { g.offset.Add(int64(d)) }

// api calls the JSON API. A refusal comes back as its status and the error's text.
func (g *gateway) api(method, path, body string) (status int, reply map[string]any) {
	g.t.Helper()
	req, err := http.NewRequest(method, g.URL+path, strings.NewReader(body))
	must(g.t, err)
	resp, err := (&http.Client{Transport: g.transport}).Do(req)
	must(g.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(g.t, err)
	_, _ = g.seen.Write(raw)
	must(g.t, json.Unmarshal(raw, &reply))
	return resp.StatusCode, reply
}

// link makes a link and returns its id.
func (g *gateway) link(body string) string {
	g.t.Helper()
	status, reply := g.api(http.MethodPost, "/v1/connect-links", body)
	if status != http.StatusCreated {
		g.t.Fatal(status, reply)
	}
	return reply["id"].(string)
}

// state returns a link's status and error.
func (g *gateway) state(link string) string {
	g.t.Helper()
	_, reply := g.api(http.MethodGet, "/v1/connect-links/"+link, "")
	return strings.TrimSpace(fmt.Sprint(reply["status"], " ", or(reply["error"])))
}

func or(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// browser is a person's, with cookies.
type browser struct {
	g      *gateway
	client *http.Client
}

func (g *gateway) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(g.t, err)
	return &browser{g, &http.Client{
		Jar: jar, Transport: g.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is what a browser got: a page, or where it was sent.
type page struct {
	status int
	body   string
	to     string
	header http.Header
}

func (b *browser) do(req *http.Request) page {
	b.g.t.Helper()
	resp, err := b.client.Do(req)
	must(b.g.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(b.g.t, err)
	if strings.HasPrefix(req.URL.String(), b.g.URL) {
		_, _ = b.g.seen.Write(raw)
	}
	return page{resp.StatusCode, string(raw), resp.Header.Get("Location"), resp.Header}
}

func (b *browser) get(target string) page {
	b.g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, target, nil)
	must(b.g.t, err)
	return b.do(req)
}

func (b *browser) post(target string, form url.Values) page {
	b.g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	must(b.g.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// press is the button on the link's page; it returns DoorFlow's address.
func (b *browser) press(link string) string {
	b.g.t.Helper()
	p := b.post(b.g.URL+"/oauth/start/"+link, nil)
	if p.status != http.StatusFound || !strings.HasPrefix(p.to, b.g.doorflow.URL+"/oauth/authorize?") {
		b.g.t.Fatal(p.status, p.to, p.body)
	}
	return p.to
}

// consent answers DoorFlow's question and returns the callback's address.
func (b *browser) consent(authorize, decision, account string) string {
	b.g.t.Helper()
	p := b.post(authorize, url.Values{"decision": {decision}, "account": {account}})
	if p.status != http.StatusFound {
		b.g.t.Fatal(p.status, p.body)
	}
	return p.to
}

// walk goes all the way and returns what the callback answered.
func (b *browser) walk(link, decision, account string) page {
	b.g.t.Helper()
	return b.get(b.consent(b.press(link), decision, account))
}
