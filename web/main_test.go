package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
	"gatehouse/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

const adminToken = "admin-key-of-the-tests"

// oneKey knows the admin token and nothing else.
func oneKey(_ context.Context, key vault.Secret) (web.Caller, bool, error) {
	return web.Caller{ID: "admin-token", Name: "admin", Scopes: []string{"admin"}}, key.Reveal() == adminToken, nil
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

// fixture is a server whose message handlers do what a test wants.
type fixture struct {
	*web.Server
	config web.Config
	log    *lines
}

func newFixture(t testing.TB, change func(*web.Config)) fixture {
	t.Helper()
	f := fixture{log: &lines{}}
	f.config = web.Config{
		Authenticate: oneKey,
		Registry:     web.NewRegistry(),
		Log:          telemetry.NewLogger(f.log, "json", slog.LevelDebug),
		Webhooks:     receiver(func(c echo.Context) error { return c.NoContent(http.StatusOK) }),
		Messages:     &messages{},
	}
	if change != nil {
		change(&f.config)
	}
	var err error
	if f.Server, err = web.New(f.config); err != nil {
		t.Fatal(err)
	}
	return f
}

type receiver func(echo.Context) error

func (r receiver) Handle(c echo.Context) error { return r(c) }

// messages answers every route with the same function; nil answers 200.
type messages struct{ do func(echo.Context) error }

func (m *messages) handle(c echo.Context) error {
	if m.do == nil {
		return c.JSON(http.StatusOK, struct{}{})
	}
	return m.do(c)
}
func (m *messages) List(c echo.Context) error   { return m.handle(c) }
func (m *messages) Get(c echo.Context) error    { return m.handle(c) }
func (m *messages) Replay(c echo.Context) error { return m.handle(c) }
func (m *messages) Stream(c echo.Context) error { return m.handle(c) }

// failing is a fixture whose messages all fail so.
func failing(t *testing.T, err error) fixture {
	t.Helper()
	return newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(echo.Context) error { return err }}
	})
}

func authorized(method, path string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func problem(t *testing.T, w *httptest.ResponseRecorder) web.Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	var p web.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	if p.Status != w.Code || p.Title == "" || p.Type == "" {
		t.Errorf("problem %+v with status %d", p, w.Code)
	}
	return p
}

var errSecret = errors.New("select failed for Bearer " + planted)

const planted = "pLaNtEd7"

func metricsOf(f fixture) string {
	return do(f.Ops(), httptest.NewRequest("GET", "/metrics", nil)).Body.String()
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in %.2000q", w, text)
		}
	}
}
