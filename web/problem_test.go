package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/tokens"
	"gatehouse/web"
	"gatehouse/webhooks"
)

type waiting struct{ time.Duration }

func (waiting) Error() string               { return "wait" }
func (w waiting) RetryAfter() time.Duration { return w.Duration }
func (waiting) Is(target error) bool        { return target == events.ErrOverloaded }
func wrapped(err error) error               { return fmt.Errorf("doing it for %s: %w", planted, err) }

func titled(status int, slug string) web.Problem {
	return web.Problem{Type: "/problems/" + slug, Title: http.StatusText(status), Status: status}
}

func TestErrorsBecomeProblems(t *testing.T) {
	for name, row := range map[string]struct {
		err   error
		want  web.Problem
		retry string
	}{
		"overloaded":      {events.ErrOverloaded, titled(429, "overloaded"), "1"},
		"storage":         {fmt.Errorf("%w: %w", events.ErrStorage, errSecret), titled(503, "storage"), "5"},
		"closed":          {events.ErrClosed, titled(503, "shutting-down"), "5"},
		"cancelled by us": {context.Canceled, titled(503, "shutting-down"), "5"},
		"timed out":       {context.DeadlineExceeded, titled(503, "unavailable"), "5"},
		"not found":       {events.ErrNotFound, titled(404, "not-found"), ""},
		"not replayable":  {events.ErrNotReplayable, titled(409, "not-replayable"), ""},
		"streams":         {events.ErrTooManyStreams, titled(429, "too-many-streams"), "5"},
		"unproven":        {webhooks.ErrUnauthorized, titled(401, "unauthorized"), ""},
		"no connection":   {tokens.ErrNotFound, titled(404, "not-found"), ""},
		"says how long":   {waiting{90*time.Second + 1}, titled(429, "overloaded"), "91"},
		"body":            {&http.MaxBytesError{Limit: 1}, titled(413, "too-large"), ""},
		"echo's own":      {echo.NewHTTPError(415, planted), web.Problem{Type: "about:blank", Title: "Unsupported Media Type", Status: 415}, ""},
		"unknown":         {errSecret, web.Problem{Type: "/problems/internal", Title: "internal error", Status: 500}, ""},
		"echo's 5xx":      {echo.NewHTTPError(502, planted), web.Problem{Type: "/problems/internal", Title: "internal error", Status: 500}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(failing(t, wrapped(row.err)).Public(true), authorized("GET", "/v1/messages", nil))
			got := problem(t, w)
			if got.Instance == "" || got.Instance != w.Header().Get("X-Request-Id") {
				t.Errorf("instance %q, request id %q", got.Instance, w.Header().Get("X-Request-Id"))
			}
			got.Instance, got.Detail = "", ""
			if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(web.Problem{})); diff != "" {
				t.Error(diff)
			}
			if retry := w.Header().Get("Retry-After"); retry != row.retry {
				t.Errorf("Retry-After %q, want %q", retry, row.retry)
			}
			if strings.Contains(w.Body.String(), planted) {
				t.Errorf("the error's own text is in the answer: %s", w.Body)
			}
		})
	}
}

func TestInvalidNamesTheField(t *testing.T) {
	w := do(failing(t, wrapped(invalid.Field("limit", "must be at most %d", 5))).Public(true), authorized("GET", "/v1/messages", nil))
	if p := problem(t, w); p.Status != 400 || p.Field != "limit" || p.Detail != "must be at most 5" {
		t.Errorf("%+v", p)
	}
}

func TestUnknownErrorsAreLoggedWithTheRequestID(t *testing.T) {
	f := failing(t, errors.New("the disk is on fire"))
	w := do(f.Public(true), authorized("GET", "/v1/messages", nil))
	contains(t, f.log.String(), "the disk is on fire", `"request_id":"`+problem(t, w).Instance+`"`, `"level":"ERROR"`)
}

func TestPanicsAreAnsweredAndLogged(t *testing.T) {
	f := newFixture(t, func(c *web.Config) { c.Messages = &messages{func(echo.Context) error { panic("ouch") }} })
	if p := problem(t, do(f.Public(true), authorized("GET", "/v1/messages", nil))); p.Status != 500 || p.Detail != "" {
		t.Errorf("%+v", p)
	}
	contains(t, f.log.String(), `"panic":"ouch"`, "problem_test.go", `"status":500`)
}

func TestClientsThatLeaveMakeNoNoise(t *testing.T) {
	f := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { return fmt.Errorf("reading: %w", c.Request().Context().Err()) }}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	do(f.Public(true), authorized("GET", "/v1/messages", nil).WithContext(ctx))
	contains(t, f.log.String(), `"status":499`)
	if strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("logged as an error: %s", f.log)
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	f := newFixture(t, nil)
	for _, row := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/nowhere", 404, ""},
		{"GET", "/v1", 404, ""},
		{"GET", "/v1/nowhere/" + planted, 404, ""},
		{"GET", "/webhooks/doorflow", 405, "OPTIONS, POST"},
		{"DELETE", "/v1/messages", 405, "OPTIONS, GET"},
		{"BREW", "/livez", 405, "OPTIONS, GET, HEAD"},
	} {
		w := do(f.Public(true), httptest.NewRequest(row.method, row.path, nil))
		if p := problem(t, w); p.Status != row.status {
			t.Errorf("%s %s: %d, want %d", row.method, row.path, p.Status, row.status)
		}
		if allow := w.Header().Get("Allow"); allow != row.allow {
			t.Errorf("%s %s: Allow %q, want %q", row.method, row.path, allow, row.allow)
		}
	}
	contains(t, metricsOf(f), `gatehouse_http_requests_total{method="other",route="/livez",status="4xx"} 1`, `route="unmatched"`)
	if strings.Contains(f.log.String(), planted) {
		t.Error("a path that is no route is in the log")
	}
}
