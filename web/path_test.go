package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/vault"
	"gatehouse/web"
)

// raw is a request with the path as a client may send it.
func raw(method, target string) (*http.Request, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.URL, r.RequestURI = method, u, target
	r.Header.Set("Authorization", "Bearer "+adminToken)
	return r, nil
}

func TestParametersOfPaths(t *testing.T) {
	var id, route string
	h := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { id, route = c.Param("id"), c.Path(); return nil }}
	}).Public(true)
	const one, list, stream = "/v1/messages/:id", "/v1/messages", "/v1/messages/stream"
	for target, want := range map[string]struct{ route, id string }{
		"/v1/messages/0193f5a0":                             {one, "0193f5a0"},
		"/v1/messages/%30193":                               {one, "0193"}, // written in an odd way, and the same
		"/v1/messages/a%20b":                                {one, "a b"},
		"/v1/messages/%C3%A4":                               {one, "ä"},
		"/v1/messages/ä":                                    {one, "ä"},
		"/v1/messages/%2541":                                {one, "%41"}, // unescaped once
		"/v1/messages/x%3Flimit=1":                          {one, "x?limit=1"},
		"/v1/messages/%73tream":                             {one, "stream"}, // no stream, and the same scope
		"/v1/messages/stream":                               {stream, ""},
		"/v1/messages":                                      {list, ""},
		"http://evil.example/v1/messages/a":                 {one, "a"}, // the host is nobody's business
		"/v1/messages/" + strings.Repeat("a", 256):          {one, strings.Repeat("a", 256)},
		"/v1/messages/" + strings.Repeat("a", 257):          {},
		"/v1/messages/%2e%2e":                               {},
		"/v1/messages/..":                                   {},
		"/v1/messages/.":                                    {},
		"/v1/messages/%2E":                                  {},
		"/v1/messages/../messages/a":                        {},
		"/v1/messages/%2e%2e%2fconnections":                 {},
		"/v1/messages/..%2fconnections":                     {},
		"/v1/messages/..%5cconnections":                     {},
		"/v1/messages/a%2Fb":                                {},
		"/v1/messages/a%5Cb":                                {},
		`/v1/messages/a\b`:                                  {},
		"/v1/messages/a%00b":                                {},
		"/v1/messages/a%0d%0aX:y":                           {},
		"/v1/messages/a%7f":                                 {},
		"/v1/messages/a%C2%85":                              {},
		"/v1/messages/%ff":                                  {},
		"/v1/messages/%C0%AE%C0%AE":                         {}, // an overlong ..
		"/v1/messages/":                                     {},
		"/v1//messages":                                     {},
		"//v1/messages":                                     {},
		"/V1/messages":                                      {},
		"/v1/%6dessages":                                    {},
		"/v1/messages%2f0193":                               {},
		"/v1/messages/0193/":                                {},
		"/v1/messages/0193/replay%2f..":                     {},
		"/v1/messages;x=1":                                  {},
		"/v1/messages/" + strings.Repeat("%2e%2e/", 10_000): {},
	} {
		id, route = "", ""
		r, err := raw("GET", target)
		if err != nil {
			t.Fatalf("%.60s: %v", target, err)
		}
		w := do(h, r)
		if route != want.route || id != want.id {
			t.Errorf("%.60s: %q at %q, want %q at %q", target, id, route, want.id, want.route)
		}
		if want.route == "" && (w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%.60s: %d %s", target, w.Code, w.Body)
		}
	}
}

// Whatever is sent, a handler gets a parameter that is one name, and nobody without a key gets anywhere.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v1/messages/a", "/v1/messages/%2e%2e", "/v1/messages/a%2fb/replay", "*", "http://h/v1/messages/a", "/v1/messages/%ff%"} {
		f.Add("GET", s)
		f.Add("POST", s)
	}
	var route, id string
	reached, asked := 0, 0
	server := newFixture(f, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { reached, route, id = reached+1, c.Path(), c.Param("id"); return nil }}
		c.Log = slog.New(slog.DiscardHandler)
		c.Authenticate = func(context.Context, vault.Secret) (web.Caller, bool, error) {
			return web.Caller{ID: "admin", Scopes: []string{"admin"}}, true, nil
		}
	})
	h := server.Public(true)
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := raw(method, target)
		if err != nil {
			return
		}
		// The limits would let through little of what is tried here.
		asked++
		r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(asked >> 16), byte(asked >> 8), byte(asked)}), 1).String()
		r.Header.Set("Authorization", fmt.Sprint("Bearer ", asked))
		before := reached
		w := do(h, r)
		if w.Code >= 500 {
			t.Errorf("%d", w.Code)
		}
		if reached > before && strings.Contains(route, ":id") &&
			(id == "" || id == "." || id == ".." || !utf8.ValidString(id) || strings.ContainsAny(id, `/\`) || strings.ContainsFunc(id, unicode.IsControl)) {
			t.Errorf("the handler got %q", id)
		}
		r.Header.Del("Authorization")
		before = reached
		if do(h, r); reached > before {
			t.Error("a handler was reached without a key")
		}
	})
}
