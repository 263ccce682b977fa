package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

func TestRequestIDs(t *testing.T) {
	var seen string
	h := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { seen = web.RequestID(c.Request().Context()); return nil }}
	}).Public(true)
	for sent, kept := range map[string]bool{
		"abc_DEF-123":                  true,
		strings.Repeat("x", 64):        true,
		strings.Repeat("x", 65):        false,
		"":                             false,
		"a b":                          false,
		"a\"b":                         false,
		"<script>":                     false,
		"0193f5a0-7d1c-7000-8000-0001": true,
	} {
		r := authorized("GET", "/v1/messages", nil)
		r.Header.Set("X-Request-Id", sent)
		got := do(h, r).Header().Get("X-Request-Id")
		if got == "" || got != seen || (got == sent) != kept {
			t.Errorf("sent %q: answered %q, the handler saw %q", sent, got, seen)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	for scheme, strict := range map[string]string{"https": "max-age=31536000", "http": ""} {
		f := newFixture(t, func(c *web.Config) { c.PublicURL = &url.URL{Scheme: scheme, Host: "localhost"} })
		for at, handler := range map[string]http.Handler{
			"public /livez": f.Public(true), "public /nowhere": f.Public(true), "public /v1/messages": f.Public(true),
			"admin /v1/messages": f.Admin(), "admin /nowhere": f.Admin(),
			"ops /metrics": f.Ops(), "ops /debug/pprof/": f.Ops(), "ops /debug/pprof/cmdline": f.Ops(), "ops /nowhere": f.Ops(),
		} {
			_, path, _ := strings.Cut(at, " ")
			r := httptest.NewRequest("GET", path, nil)
			r.RemoteAddr = "127.0.0.1:1"
			h := do(handler, r).Header()
			for _, telling := range []string{"Server", "X-Powered-By", "Via"} {
				if got := h.Get(telling); got != "" {
					t.Errorf("%s: %s is %q", at, telling, got)
				}
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"Cache-Control": "no-store", "Strict-Transport-Security": strict,
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s %s: %s is %q, want %q", scheme, at, name, got, want)
				}
			}
		}
	}
}

func TestBodiesAreLimited(t *testing.T) {
	read := func(c echo.Context) error { _, err := io.ReadAll(c.Request().Body); return err }
	f := newFixture(t, func(c *web.Config) { c.Messages, c.Webhooks = &messages{read}, receiver(read) })
	large := strings.Repeat("x", 1<<20+1)
	for name, row := range map[string]struct {
		path string
		body io.Reader
		want int
	}{
		"just fits":             {"/v1/messages/x/replay", strings.NewReader(large[1:]), 200},
		"too large":             {"/v1/messages/x/replay", strings.NewReader(large), 413},
		"too large and chunked": {"/v1/messages/x/replay", struct{ io.Reader }{strings.NewReader(large)}, 413},
		"webhooks do it alone":  {"/webhooks/doorflow", strings.NewReader(large), 200},
	} {
		if w := do(f.Public(true), authorized("POST", row.path, row.body)); w.Code != row.want {
			t.Errorf("%s: %d, want %d", name, w.Code, row.want)
		}
	}
}

func TestForwardedHeadersCountFromTrustedProxiesOnly(t *testing.T) {
	for name, row := range map[string]struct {
		trusted []netip.Prefix
		ip      string
		scheme  string
	}{
		"nobody":       {nil, "192.0.2.1", "http"},
		"others":       {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "192.0.2.1", "http"},
		"this network": {[]netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}, "203.0.113.9", "https"},
	} {
		var ip, scheme string
		h := newFixture(t, func(c *web.Config) {
			c.TrustedProxies = row.trusted
			c.Messages = &messages{func(c echo.Context) error { ip, scheme = c.RealIP(), c.Scheme(); return nil }}
		}).Public(true)
		r := authorized("GET", "/v1/messages", nil) // from 192.0.2.1
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.Header.Set("X-Real-Ip", "203.0.113.10")
		r.Header.Set("X-Forwarded-Proto", "https")
		if do(h, r); ip != row.ip || scheme != row.scheme {
			t.Errorf("%s: %s over %s, want %s over %s", name, ip, scheme, row.ip, row.scheme)
		}
	}
}

func TestAccessLog(t *testing.T) {
	f := newFixture(t, nil)
	h := f.Public(true)
	do(h, authorized("GET", "/v1/messages/0193", nil))
	contains(t, f.log.String(), `"route":"/v1/messages/:id"`, `"status":200`, `"level":"INFO"`)
	before := f.log.String()
	do(h, httptest.NewRequest("GET", "/livez", nil))
	contains(t, strings.TrimPrefix(f.log.String(), before), `"level":"DEBUG"`)
	before = f.log.String()
	do(h, httptest.NewRequest("POST", "/webhooks/doorflow", nil))
	if f.log.String() != before {
		t.Error("a webhook has a second line in the log")
	}
	do(h, httptest.NewRequest("PUT", "/webhooks/doorflow", nil))
	contains(t, strings.TrimPrefix(f.log.String(), before), `"status":405`)
}

func TestPlantedSecretsReachNobody(t *testing.T) {
	for name, handler := range map[string]func(echo.Context) error{
		"fine": func(c echo.Context) error { return c.NoContent(http.StatusOK) },
		"failing": func(echo.Context) error {
			return &url.Error{Op: "Get", URL: "https://h/?ack_token=" + planted, Err: io.EOF}
		},
		"refused": func(echo.Context) error { return echo.NewHTTPError(400, planted) },
		"panics":  func(echo.Context) error { panic(&url.Error{Op: "Get", URL: "https://h/?code=" + planted, Err: io.EOF}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *web.Config) { c.Messages, c.Webhooks = &messages{handler}, receiver(handler) })
			var answers strings.Builder
			for _, target := range []string{"GET /v1/messages", "POST /webhooks/doorflow", "GET /oauth/callback", "GET /nowhere", "PUT /livez"} {
				for _, key := range []string{planted, adminToken} {
					method, path, _ := strings.Cut(target, " ")
					r := httptest.NewRequest(method, path+"?code="+planted+"&state="+planted+"&ack_token="+planted, strings.NewReader(planted))
					r.Header.Set("Authorization", "Bearer "+key)
					r.Header.Set("Signature", planted)
					r.Header.Set("Referer", "https://h/?code="+planted)
					r.Header.Set("User-Agent", planted)
					r.AddCookie(&http.Cookie{Name: "__Host-gatehouse", Value: planted})
					w := do(f.Public(true), r)
					_ = w.Result().Header.Write(&answers)
					answers.WriteString(w.Body.String())
				}
			}
			for where, text := range map[string]string{"log": f.log.String(), "answers": answers.String(), "metrics": metricsOf(f)} {
				if strings.Contains(text, planted) || strings.Contains(text, adminToken) {
					t.Errorf("the %s hold a secret: %s", where, text)
				}
			}
		})
	}
}

func BenchmarkWebhookChain(b *testing.B) {
	h := newFixture(b, nil).Public(true)
	r := httptest.NewRequest("POST", "/webhooks/doorflow", strings.NewReader(""))
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
