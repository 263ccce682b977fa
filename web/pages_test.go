package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/sessions"
	"gatehouse/web"
)

// house is a server with pages that say little, and real keys and sessions behind them.
type house struct {
	fixture
	t      *testing.T
	keys   *apikeys.Keys
	offset atomic.Int64 // of its clock
}

func (h *house) later(d time.Duration) { h.offset.Add(int64(d)) }

// rooms are a dashboard's pages.
type rooms []web.Page

func (r rooms) Pages() []web.Page           { return r }
func (r rooms) Static(c echo.Context) error { return c.NoContent(http.StatusOK) }
func (r rooms) SignIn(c echo.Context, status int, to string, wrong *web.Problem) error {
	if wrong != nil {
		to += " " + wrong.Detail
	}
	return c.HTML(status, "sign in to "+to)
}
func (r rooms) LinkPage(c echo.Context) error { return c.HTML(http.StatusOK, "link") }
func (r rooms) Problem(c echo.Context, p web.Problem) error {
	return c.HTML(p.Status, "problem: "+p.Field+" "+p.Detail)
}

func newHouse(t *testing.T, pages rooms, change func(*web.Config)) *house {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db := sqldbtest.SQLite(t)
	log, err := events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	t.Cleanup(func() { stop(); must(<-ended) })
	h := &house{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(h.offset.Load())) }
	h.keys, err = apikeys.Open(t.Context(), apikeys.Config{DB: db, Events: log, Token: vault.NewSecret(adminToken), Log: slog.New(slog.DiscardHandler)})
	must(err)
	h.fixture = newFixture(t, func(c *web.Config) {
		c.Dashboard = pages
		c.Sessions = sessions.New(sessions.Config{DB: db, Events: log, Keys: h.keys, Now: now})
		c.Record = func(context.Context, audit.Entry) error { return nil }
		c.Authenticate = func(ctx context.Context, sent vault.Secret) (web.Caller, bool, error) {
			key, ok, err := h.keys.Authenticate(ctx, sent)
			return web.CallerOf(key), ok, err
		}
		if change != nil {
			change(c)
		}
	})
	return h
}

// key makes one with scopes, and returns it and its id.
func (h *house) key(scopes ...string) (id, key string) {
	h.t.Helper()
	made, secret, err := h.keys.Create(h.t.Context(), apikeys.Request{Name: "of a test", Scopes: scopes})
	if err != nil {
		h.t.Fatal(err)
	}
	return made.ID, secret.Reveal()
}

// form is a request as a page's form sends it.
func form(path, body string) *http.Request { return formOf(path, strings.NewReader(body)) }

func formOf(path string, body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// signIn returns the cookie that signing in gives.
func (h *house) signIn(key string) *http.Cookie {
	h.t.Helper()
	w := do(h.Public(true), form("/sign-in", "key="+key))
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		h.t.Fatalf("signing in: %d %v %s", w.Code, cookies, w.Body)
	}
	return cookies[0]
}

func with(cookie *http.Cookie, r *http.Request) *http.Request {
	r.AddCookie(cookie)
	return r
}

// What a form asks for is done when all of it came and was understood, and by nothing else that stands around it.
func TestABrokenFormDoesNothing(t *testing.T) {
	did := ""
	h := newHouse(t, rooms{{Method: "POST", Path: "/doors/open", Handle: func(c echo.Context) error {
		fields, err := c.FormParams()
		did = fmt.Sprint("opened until ", c.FormValue("end"), fields["user"])
		return errors.Join(err, c.NoContent(http.StatusNoContent))
	}}}, nil)
	cookie := h.signIn(adminToken)
	for name, row := range map[string]struct {
		kind, path, body string
		want             int
		did              string
	}{
		"a form":                         {"application/x-www-form-urlencoded", "/doors/open", "end=noon&user=a&user=b", 204, "opened until noon[a b]"},
		"a form with its charset":        {"application/x-www-form-urlencoded; charset=UTF-8", "/doors/open", "end=noon", 204, "opened until noon[]"},
		"a button without fields":        {"application/x-www-form-urlencoded", "/doors/open", "", 204, "opened until []"},
		"nothing at all":                 {"", "/doors/open", "", 204, "opened until []"},
		"fields in the address":          {"application/x-www-form-urlencoded", "/doors/open?end=never&user=mallory", "user=a", 204, "opened until [a]"},
		"fields in the address alone":    {"", "/doors/open?end=never&user=mallory", "", 204, "opened until []"},
		"a value that is cut off":        {"application/x-www-form-urlencoded", "/doors/open", "user=a&end=%2", 400, ""},
		"a value that is no value":       {"application/x-www-form-urlencoded", "/doors/open", "user=a&end=%zz", 400, ""},
		"semicolons":                     {"application/x-www-form-urlencoded", "/doors/open", "user=a;end=noon", 400, ""},
		"JSON":                           {"application/json", "/doors/open", `{"user":"a"}`, 400, ""},
		"text":                           {"text/plain", "/doors/open", "user=a&end=noon", 400, ""},
		"no type":                        {"", "/doors/open", "user=a&end=noon", 400, ""},
		"several parts":                  {"multipart/form-data; boundary=x", "/doors/open", "--x\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\na\r\n--x--\r\n", 400, ""},
		"more fields than anybody sends": {"application/x-www-form-urlencoded", "/doors/open", strings.Repeat("a&", 20000), 400, ""},
		"more than a body may have":      {"application/x-www-form-urlencoded", "/doors/open", strings.Repeat("a", 1<<20+1), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			did = ""
			r := with(cookie, form(row.path, row.body))
			r.Header.Set("Content-Type", row.kind)
			w := do(h.Public(true), r)
			if w.Code != row.want || did != row.did {
				t.Errorf("%d, and %q; want %d and %q", w.Code, did, row.want, row.did)
			}
			if w.Code >= 400 && !strings.HasPrefix(w.Body.String(), "problem: ") {
				t.Errorf("a person is shown %s", w.Body)
			}
		})
	}
}

// Who fills in a form for longer than the session lasts loses nothing: the answer can be reloaded, which sends it again.
func TestAFormOfASessionThatHasEnded(t *testing.T) {
	did := 0
	h := newHouse(t, rooms{{Method: "POST", Path: "/doors/open", Handle: func(c echo.Context) error {
		did++
		return c.NoContent(http.StatusNoContent)
	}}}, nil)
	cookie := h.signIn(adminToken)
	if w := do(h.Public(true), with(cookie, form("/sign-out", ""))); w.Code != http.StatusSeeOther {
		t.Fatalf("signing out: %d", w.Code)
	}
	const typed = "user=a-secret-of-somebody"
	w := do(h.Public(true), with(cookie, form("/doors/open", typed)))
	if body := w.Body.String(); w.Code != http.StatusUnauthorized || did != 0 || !strings.HasPrefix(body, "sign in to  you were signed out") || strings.Contains(body, "secret") {
		t.Errorf("a form: %d, done %d times: %s", w.Code, did, body)
	}
	part := with(cookie, form("/doors/open", typed))
	part.Header.Set("HX-Request", "true")
	w = do(h.Public(true), part)
	if w.Code != http.StatusUnauthorized || did != 0 || w.Header().Get("HX-Redirect") != "" || !strings.HasPrefix(w.Body.String(), "problem: ") {
		t.Errorf("a part of a form: %d, done %d times: %v %s", w.Code, did, w.Header(), w.Body)
	}
	if w := do(h.Public(true), with(cookie, form("/sign-out", ""))); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("signing out again: %d %v", w.Code, w.Header())
	}
	if w := do(h.Public(true), with(h.signIn(adminToken), form("/doors/open", typed))); w.Code != http.StatusNoContent || did != 1 {
		t.Errorf("the same form, after signing in: %d, done %d times", w.Code, did)
	}
}

// cutOff is a body that ends before its end, and then does something.
type cutOff struct {
	io.Reader
	then func()
	err  error
}

func (b *cutOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) && b.err != nil {
		b.then()
		err = b.err
	}
	return n, err
}

// A form whose body breaks off, or whose key is revoked while it comes, does nothing.
func TestAFormThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		did := false
		h := newHouse(t, rooms{{Method: "POST", Path: "/doors/open", Handle: func(c echo.Context) error {
			did = c.FormValue("user") != "never"
			return c.NoContent(http.StatusNoContent)
		}}}, nil)
		id, key := h.key("messages:read")
		cookie := h.signIn(key)
		w := do(h.Public(true), with(cookie, formOf("/doors/open", &cutOff{strings.NewReader("user=a"), func() {}, io.ErrUnexpectedEOF})))
		if w.Code != http.StatusBadRequest || did {
			t.Errorf("a body that broke off: %d, done: %v", w.Code, did)
		}
		revoked := &cutOff{strings.NewReader("user=a"), func() {
			if err := h.keys.Revoke(context.Background(), id); err != nil {
				t.Error(err)
			}
			time.Sleep(1100 * time.Millisecond) // a key is looked up again after a second
		}, io.EOF}
		w = do(h.Public(true), with(cookie, formOf("/doors/open", revoked)))
		if w.Code != http.StatusUnauthorized || did {
			t.Errorf("a key that was revoked meanwhile: %d, done: %v", w.Code, did)
		}
	})
}

// A stranger's form has little room, and what does not fit is no key that somebody tries.
func TestSigningInWithTooMuch(t *testing.T) {
	h := newHouse(t, nil, nil)
	w := do(h.Public(true), form("/sign-in", "key="+adminToken+"&to="+strings.Repeat("a", 8<<10)))
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "8 KiB") || len(w.Result().Cookies()) != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(h.Public(true), form("/sign-in?key="+adminToken, "")); w.Code != http.StatusUnauthorized {
		t.Errorf("a key in the address signs in: %d", w.Code)
	}
}

// Nothing is done that another site has a browser send, be it to who is signed in or to who signs in.
func TestWhatAnotherSiteHasABrowserSend(t *testing.T) {
	did := false
	h := newHouse(t, rooms{{Method: "POST", Path: "/doors/open", Handle: func(c echo.Context) error { did = true; return c.NoContent(http.StatusNoContent) }}}, nil)
	cookie := h.signIn(adminToken)
	for _, path := range []string{"/doors/open", "/sign-in", "/sign-in/" + strings.Repeat("A", 43), "/sign-out", "/sign-out-everywhere"} {
		for _, header := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Site": "same-site"}, // another port or subdomain
			{"Sec-Fetch-Site": "cross-site", "Origin": "http://example.com"},
			{"Origin": "https://evil.test"},
			{"Origin": "null"},
		} {
			r := with(cookie, form(path, "key="+adminToken))
			for name, value := range header {
				r.Header.Set(name, value)
			}
			if w := do(h.Public(true), r); w.Code != http.StatusForbidden || did || len(w.Result().Cookies()) > 0 {
				t.Errorf("%s with %v: %d %v", path, header, w.Code, w.Result().Cookies())
			}
		}
	}
	own := with(cookie, form("/doors/open", ""))
	own.Header.Set("Sec-Fetch-Site", "same-origin")
	if w := do(h.Public(true), own); w.Code != http.StatusNoContent || !did {
		t.Errorf("the dashboard itself: %d", w.Code)
	}
}

// A page that is left open asks for news by itself, which keeps no session from ending.
func TestWhatAPageAsksByItselfIsNoUse(t *testing.T) {
	ok := func(c echo.Context) error { return c.NoContent(http.StatusOK) }
	h := newHouse(t, rooms{{Method: "GET", Path: "/looked-at", Handle: ok}, {Method: "GET", Path: "/by-itself", Handle: ok, Background: true}}, nil)
	looked, left := h.signIn(adminToken), h.signIn(adminToken)
	ask := func(cookie *http.Cookie, path string) int {
		return do(h.Public(true), with(cookie, httptest.NewRequest("GET", path, nil))).Code
	}
	for range 3 {
		h.later(50 * time.Minute)
		if got := ask(looked, "/looked-at"); got != http.StatusOK {
			t.Errorf("somebody looks: %d", got)
		}
		ask(left, "/by-itself")
	}
	if got := ask(left, "/by-itself"); got != http.StatusUnauthorized {
		t.Errorf("nobody has looked for two and a half hours: %d", got)
	}
}

// Whoever has a session may ask no more than with its key.
func TestASessionMayAskNoMoreThanItsKey(t *testing.T) {
	waits := make(chan struct{})
	entered := make(chan struct{}, 100)
	h := newHouse(t, rooms{
		{Method: "GET", Path: "/page", Handle: func(c echo.Context) error { return c.NoContent(http.StatusOK) }},
		{Method: "GET", Path: "/stream", Stream: true, Handle: func(c echo.Context) error { entered <- struct{}{}; <-waits; return nil }},
	}, nil)
	_, key := h.key("messages:read")
	cookie := h.signIn(key)
	server := h.Public(true)
	var streams sync.WaitGroup
	for range 32 {
		streams.Go(func() { do(server, with(cookie, httptest.NewRequest("GET", "/stream", nil))) })
	}
	for range 32 {
		<-entered
	}
	answered := make(chan int, 1)
	streams.Go(func() { answered <- do(server, with(cookie, httptest.NewRequest("GET", "/stream", nil))).Code })
	select {
	case status := <-answered:
		if status != http.StatusTooManyRequests {
			t.Errorf("one stream too many: %d", status)
		}
	case <-entered:
		t.Error("one stream too many is open")
	}
	close(waits)
	streams.Wait()
	refused := 0
	for range 200 {
		if do(server, with(cookie, httptest.NewRequest("GET", "/page", nil))).Code == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("200 requests at once are not too many")
	}
}

// A database that hangs makes nobody wait for ever: neither who has to be looked up first, nor a page that asks it.
func TestADatabaseThatHangs(t *testing.T) {
	hanging := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("reading: %w", ctx.Err())
	}
	for name, row := range map[string]struct {
		change func(*web.Config)
		within time.Duration
	}{
		"a key": {func(c *web.Config) {
			c.Authenticate = func(ctx context.Context, _ vault.Secret) (web.Caller, bool, error) {
				return web.Caller{}, false, hanging(ctx)
			}
		}, 5 * time.Second},
		"a page": {func(c *web.Config) {
			c.Messages = &messages{web.AnsweredInTime(func(c echo.Context) error { return hanging(c.Request().Context()) })}
		}, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := do(newFixture(t, row.change).Public(true), authorized("GET", "/v1/messages", nil))
				if took := time.Since(began); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || took != row.within {
					t.Errorf("%d after %s: %v", w.Code, took, w.Header())
				}
			})
		})
	}
}
