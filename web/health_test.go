package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/web"
)

func cut(target string) (method, path string, ok bool) { return strings.Cut(target, " ") }

type readiness struct {
	Status string
	Checks map[string]struct{ Status, Error string }
}

func ready(t *testing.T, f fixture) (int, readiness) {
	t.Helper()
	w := do(f.Public(false), httptest.NewRequest("GET", "/readyz", nil))
	var r readiness
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return w.Code, r
}

func checks(database, nats error) []web.Check {
	return []web.Check{
		{Name: "database", Critical: true, Run: func(context.Context) error { return database }},
		{Name: "nats", Run: func(context.Context) error { return nats }},
	}
}

func TestReadiness(t *testing.T) {
	bad := errors.New("dialling nats://u:" + planted + "@127.0.0.1:4222?token=" + planted + ":\nrefused " + strings.Repeat("x ", 200))
	for name, row := range map[string]struct {
		database, nats error
		code           int
		status         string
	}{
		"ok":          {nil, nil, 200, "ok"},
		"degraded":    {nil, bad, 200, "degraded"},
		"unavailable": {bad, nil, 503, "unavailable"},
		"both":        {bad, bad, 503, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := ready(t, newFixture(t, func(c *web.Config) { c.Checks = checks(row.database, row.nats) }))
			if code != row.code || got.Status != row.status {
				t.Errorf("%d %s, want %d %s", code, got.Status, row.code, row.status)
			}
			for name, check := range got.Checks {
				if strings.Contains(check.Error, planted) || strings.Contains(check.Error, "127.0.0.1") || len(check.Error) > 130 {
					t.Errorf("%s says too much: %q", name, check.Error)
				}
			}
			if row.nats != nil && !strings.HasPrefix(got.Checks["nats"].Error, "dialling … refused") {
				t.Errorf("nats says %q", got.Checks["nats"].Error)
			}
		})
	}
}

func TestReadinessShowsNoAddresses(t *testing.T) {
	for name, row := range map[string]struct{ err, want string }{
		"address and port": {"dial tcp 10.20.30.40:5432: connect: connection refused", "dial tcp … connect: connection refused"},
		"IPv6":             {"dial tcp [2001:db8::5]:5432: i/o timeout", "dial tcp … … timeout"},
		"host's name":      {"lookup db.internal.example: no such host", "lookup … no such host"},
		"PostgreSQL": {
			"events: the database did not take the change: failed to connect to `user=gw database=gw`:\n\t10.2.3.4:5432 (db): server error: gone.",
			"events: the database did not take the change: failed to connect to … … … … server error: gone.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := ready(t, newFixture(t, func(c *web.Config) { c.Checks = checks(errors.New(row.err), nil) }))
			if got := got.Checks["database"].Error; got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestReadinessIsKeptForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		f := newFixture(t, func(c *web.Config) {
			c.Checks = []web.Check{{Name: "x", Run: func(context.Context) error { runs.Add(1); return nil }}}
		})
		ready(t, f)
		ready(t, f)
		if runs.Load() != 1 {
			t.Errorf("%d runs within a second, want 1", runs.Load())
		}
		time.Sleep(time.Second)
		if ready(t, f); runs.Load() != 2 {
			t.Errorf("%d runs after a second, want 2", runs.Load())
		}
	})
}

func TestReadinessIsSeenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := errors.New("not yet")
		f := newFixture(t, func(c *web.Config) {
			c.Checks = []web.Check{{Name: "x", Critical: true, Run: func(context.Context) error { return err }}}
		})
		if code, _ := ready(t, f); code != 503 {
			t.Error(code)
		}
		err = nil
		if code, _ := ready(t, f); code != 503 {
			t.Errorf("%d: the check was run again at once", code)
		}
		time.Sleep(100 * time.Millisecond)
		if code, _ := ready(t, f); code != 200 {
			t.Errorf("%d a tenth of a second later", code)
		}
	})
}

func TestACheckThatHangsIsReportedAndNotPiledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int64
		f := newFixture(t, func(c *web.Config) {
			c.Checks = []web.Check{{Name: "x", Critical: true, Run: func(context.Context) error { runs.Add(1); <-release; return nil }}}
		})
		started := time.Now()
		code, got := ready(t, f)
		if took := time.Since(started); code != 503 || got.Checks["x"].Error != "timed out" || took != 2*time.Second {
			t.Errorf("%d %+v after %v", code, got, took)
		}
		time.Sleep(time.Minute)
		if _, got = ready(t, f); got.Checks["x"].Error != "does not answer" || runs.Load() != 1 {
			t.Errorf("%+v after %d runs", got, runs.Load())
		}
		close(release)
	})
}

func TestReadinessDoesNotDependOnWhoAsksFirst(t *testing.T) {
	f := newFixture(t, func(c *web.Config) {
		c.Checks = []web.Check{{Name: "x", Critical: true, Run: func(ctx context.Context) error { return ctx.Err() }}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	do(f.Public(false), httptest.NewRequest("GET", "/readyz", nil).WithContext(ctx))
	if code, got := ready(t, f); code != 200 {
		t.Errorf("%d %+v", code, got)
	}
}

func TestLiveness(t *testing.T) {
	f := newFixture(t, func(c *web.Config) { c.Checks = checks(errors.New("gone"), nil) })
	w := do(f.Public(false), httptest.NewRequest("GET", "/livez", nil))
	if diff := cmp.Diff("200 {\"status\":\"ok\"}\n", "200 "+w.Body.String()); w.Code != 200 || diff != "" {
		t.Error(w.Code, diff)
	}
	if w := do(f.Public(false), httptest.NewRequest("HEAD", "/livez", nil)); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestOps(t *testing.T) {
	f := newFixture(t, nil)
	do(f.Public(true), authorized("GET", "/v1/messages", nil))
	contains(t, metricsOf(f), "go_goroutines", "process_open_fds",
		`gatehouse_http_requests_total{method="GET",route="/v1/messages",status="2xx"} 1`,
		`gatehouse_http_request_seconds_count{route="/v1/messages"} 1`)
	for remote, want := range map[string]int{
		"127.0.0.1:5": 200, "[::1]:5": 200, "[::ffff:127.0.0.1]:5": 200, "192.0.2.1:5": 404, "[2001:db8::1]:5": 404, "": 404,
	} {
		r := httptest.NewRequest("GET", "/debug/pprof/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Header.Set("X-Real-Ip", "127.0.0.1")
		if w := do(f.Ops(), r); w.Code != want {
			t.Errorf("pprof from %q: %d, want %d", remote, w.Code, want)
		}
	}
	r := httptest.NewRequest("GET", "/debug/pprof/cmdline", nil)
	r.RemoteAddr = "127.0.0.1:5"
	if w := do(f.Ops(), r); w.Code != 404 {
		t.Errorf("the command line is shown: %d", w.Code)
	}
}
