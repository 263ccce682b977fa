package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/web"
)

// from sends a request from an address, with a key unless that is "".
func from(h http.Handler, address, method, path, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = address
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return do(h, r)
}

func wantHeaders(t *testing.T, w *httptest.ResponseRecorder, status int, policy, left, retry string) {
	t.Helper()
	h := w.Header()
	if w.Code != status || h.Get("RateLimit-Policy") != policy || h.Get("RateLimit") != left || h.Get("Retry-After") != retry {
		t.Errorf("%d with RateLimit-Policy %s, RateLimit %s, Retry-After %q;\nwant %d with %s, %s, %q", w.Code,
			h.Get("RateLimit-Policy"), h.Get("RateLimit"), h.Get("Retry-After"), status, policy, left, retry)
	}
}

func TestAKeyHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		h := f.Public(true)
		const policy = `"key";q=100;w=2`
		wantHeaders(t, from(h, "198.51.100.7:1", "GET", "/v1/messages", adminToken), 200, policy, `"key";r=99;t=1`, "")
		for i := range 99 { // wherever they come from
			if w := from(h, fmt.Sprintf("198.51.100.%d:1", i), "GET", "/v1/messages", adminToken); w.Code != 200 {
				t.Fatalf("request %d: %d", i, w.Code)
			}
		}
		w := from(h, "198.51.100.7:1", "GET", "/v1/messages", adminToken)
		wantHeaders(t, w, 429, policy, `"key";r=0;t=2`, "2")
		if p := problem(t, w); p.Type != "/problems/rate-limited" {
			t.Errorf("%+v", p)
		}
		contains(t, metricsOf(f), `gatehouse_http_limited_total{limit="key_rate"} 1`)
		time.Sleep(2 * time.Second)
		for i := range 100 {
			if w := from(h, "198.51.100.7:1", "GET", "/v1/messages", adminToken); w.Code != 200 {
				t.Fatalf("after the wait, request %d: %d", i, w.Code)
			}
		}
	})
}

func TestAnAddressWithoutAKeyHasALimit(t *testing.T) {
	for name, row := range map[string]struct {
		method, path, key string
		usual             int
		limited           bool
	}{
		"no key":         {"GET", "/v1/messages", "", 401, true},
		"a page":         {"GET", "/oauth/start/x", "", 404, true}, // no such routes here; what counts is who asks
		"nothing":        {"GET", "/nothing", "", 404, true},
		"description":    {"GET", "/openapi.yaml", "", 200, true},
		"webhooks":       {"POST", "/webhooks/doorflow", "", 200, false},
		"not a webhook":  {"GET", "/webhooks/doorflow", "", 405, true},
		"liveness":       {"GET", "/livez", "", 200, false},
		"readiness":      {"HEAD", "/readyz", "", 200, false},
		"path by escape": {"GET", "/v1/%6dessages", "", 404, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, nil)
				h := f.Public(true)
				for i := range 100 {
					if w := from(h, "198.51.100.7:1", row.method, row.path, row.key); w.Code != row.usual {
						t.Fatalf("request %d: %d, want %d", i, w.Code, row.usual)
					}
				}
				w := from(h, "198.51.100.7:2", row.method, row.path, row.key)
				if !row.limited {
					if w.Code != row.usual || w.Header().Get("RateLimit") != "" {
						t.Errorf("%d with RateLimit %q", w.Code, w.Header().Get("RateLimit"))
					}
					return
				}
				wantHeaders(t, w, 429, `"address";q=100;w=10`, `"address";r=0;t=10`, "10")
				if w := from(h, "198.51.100.8:1", row.method, row.path, row.key); w.Code != row.usual {
					t.Errorf("another address suffers: %d", w.Code)
				}
				if w := from(h, "198.51.100.7:1", "GET", "/v1/messages", adminToken); w.Code != 200 {
					t.Errorf("a key from the same address suffers: %d", w.Code)
				}
				if w := from(h, "198.51.100.7:1", "POST", "/webhooks/doorflow", ""); w.Code != 200 {
					t.Errorf("a webhook from the same address suffers: %d", w.Code)
				}
			})
		})
	}
}

func TestIPv6IsCountedByItsNetwork(t *testing.T) {
	h := newFixture(t, nil).Public(true)
	for i := range 100 {
		from(h, fmt.Sprintf("[2001:db8:1:2::%x]:1", i), "GET", "/nothing", "")
	}
	if w := from(h, "[2001:db8:1:2:ffff::1]:1", "GET", "/nothing", ""); w.Code != 429 {
		t.Errorf("the same network: %d", w.Code)
	}
	if w := from(h, "[2001:db8:1:3::1]:1", "GET", "/nothing", ""); w.Code != 404 {
		t.Errorf("another network: %d", w.Code)
	}
}

// The limit is the client's, not the proxy's that all clients come through.
func TestTheLimitLooksThroughTrustedProxies(t *testing.T) {
	h := newFixture(t, func(c *web.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }).Public(true)
	ask := func(client string) int {
		r := httptest.NewRequest("GET", "/nothing", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", "192.0.2.200, "+client)
		return do(h, r).Code
	}
	for range 100 {
		ask("203.0.113.9")
	}
	if one, other := ask("203.0.113.9"), ask("203.0.113.10"); one != 429 || other != 404 {
		t.Errorf("%d and %d", one, other)
	}
}

func TestStrangersDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		h := f.Public(true)
		for i := range 100_000 {
			from(h, fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), "GET", "/v1/messages", "wrong")
		}
		for name, n := range web.Remembered(f.Server) {
			if n > 1<<16 {
				t.Errorf("%s: %d are remembered", name, n)
			}
			if name == "addresses" && n < 1<<15 {
				t.Errorf("only %d addresses are remembered", n)
			}
		}
		time.Sleep(time.Hour)
		from(h, "192.0.2.1:1", "GET", "/v1/messages", "wrong")
		for name, n := range web.Remembered(f.Server) {
			if n > 1 {
				t.Errorf("%s: %d are remembered after an hour", name, n)
			}
		}
	})
}

func TestAnIdleBucketIsForgottenOnlyWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t, nil).Public(true)
		for range 100 {
			from(h, "198.51.100.7:1", "GET", "/nothing", "")
		}
		time.Sleep(9 * time.Second)
		w := from(h, "198.51.100.7:1", "GET", "/nothing", "")
		if got := w.Header().Get("RateLimit"); got != `"address";r=89;t=2` {
			t.Errorf("RateLimit %s", got)
		}
	})
}

func TestTheDescriptionNamesTheLimits(t *testing.T) {
	w := do(newFixture(t, nil).Public(true), httptest.NewRequest("GET", "/openapi.yaml", nil))
	for _, policy := range []string{`"key";q=100;w=2`, `"address";q=100;w=10`, `"streams";q=32;qu="concurrent-requests"`} {
		if !strings.Contains(w.Body.String(), policy) {
			t.Errorf("%s is not described", policy)
		}
	}
}
