package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/vault"
	"gatehouse/web"
)

func TestOnlyTheBearerHeaderOpensTheAPI(t *testing.T) {
	h := newFixture(t, nil).Public(true)
	for name, row := range map[string]struct {
		prepare func(*http.Request)
		want    int
	}{
		"the key":            {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken) }, 200},
		"scheme in any case": {func(r *http.Request) { r.Header.Set("Authorization", "bEARER "+adminToken) }, 200},
		"nothing":            {func(*http.Request) {}, 401},
		"another key":        {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401},
		"no key":             {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		"longer":             {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken+"x") }, 401},
		"basic":              {func(r *http.Request) { r.SetBasicAuth("admin", adminToken) }, 401},
		"bare":               {func(r *http.Request) { r.Header.Set("Authorization", adminToken) }, 401},
		"twice":              {func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + adminToken, "Bearer x"} }, 401},
		"cookie":             {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "token", Value: adminToken}) }, 401},
		"query":              {func(r *http.Request) { r.URL.RawQuery = "access_token=" + adminToken + "&token=" + adminToken }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/v1/messages", nil)
			row.prepare(r)
			w := do(h, r)
			if w.Code != row.want {
				t.Fatalf("%d, want %d", w.Code, row.want)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != (challenge == `Bearer realm="gatehouse"`) {
				t.Errorf("WWW-Authenticate %q with status %d", challenge, w.Code)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	var seen web.Caller
	f := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { seen, _ = web.CallerFrom(c.Request().Context()); return nil }}
		c.Authenticate = func(_ context.Context, key vault.Secret) (web.Caller, bool, error) {
			if key.Reveal() == "broken" {
				return web.Caller{}, false, errors.New("no database")
			}
			return web.Caller{ID: "id of " + key.Reveal(), Name: key.Reveal(), Scopes: []string{key.Reveal()}}, true, nil
		}
	})
	for key, want := range map[string]int{"messages:read": 200, "admin": 200, "messages:write": 403, "messages": 403, "connections:read": 403, "broken": 500} {
		r := httptest.NewRequest("GET", "/v1/messages", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := do(f.Public(true), r)
		if w.Code != want || (want == 200 && seen.Name != key) {
			t.Errorf("%s: %d as %q, want %d", key, w.Code, seen.Name, want)
		}
	}
	contains(t, f.log.String(), `"caller":"id of messages:read"`)
}

func TestWhichListenerServesWhat(t *testing.T) {
	f := newFixture(t, nil)
	for name, row := range map[string]struct {
		h             http.Handler
		api, webhooks int
	}{
		"public with api":    {f.Public(true), 200, 200},
		"public without api": {f.Public(false), 404, 200},
		"admin":              {f.Admin(), 200, 404},
		"ops":                {f.Ops(), 404, 404},
	} {
		for path, want := range map[string]int{"GET /v1/messages": row.api, "POST /webhooks/doorflow": row.webhooks, "GET /livez": 200, "GET /openapi.yaml": 200, "GET /asyncapi.yaml": 200} {
			method, path, _ := cut(path)
			if w := do(row.h, authorized(method, path, nil)); w.Code != want {
				t.Errorf("%s: %s %s gives %d, want %d", name, method, path, w.Code, want)
			}
		}
	}
}

// The description says which scope each route needs; the routes must ask for just that.
func TestTheDescriptionNamesTheScopes(t *testing.T) {
	f := newFixture(t, func(c *web.Config) {
		everyRoute(c)
		c.Authenticate = func(_ context.Context, key vault.Secret) (web.Caller, bool, error) {
			return web.Caller{ID: key.Reveal(), Scopes: []string{key.Reveal()}}, true, nil
		}
	})
	named := scopesDescribed(t)
	if len(named) == 0 {
		t.Fatal("the description names no scope")
	}
	known := []string{"other:read"}
	for _, scopes := range named {
		known = append(known, scopes...)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for key, scopes := range named {
		method, path, _ := cut(strings.NewReplacer("{", "", "}", "").Replace(key))
		for _, s := range known {
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Authorization", "Bearer "+s)
			if got, want := do(f.Public(true), r).Code == http.StatusForbidden, !slices.Contains(scopes, s) && s != "admin"; got != want {
				t.Errorf("%s with the scope %s: forbidden %v, want %v", key, s, got, want)
			}
		}
	}
}

// A stream ends within two seconds of its key's end, and when nobody can tell whether the key works.
func TestStreamsEndWithTheirKey(t *testing.T) {
	for name, end := range map[string]func(context.Context) (bool, error){
		"revoked":       func(context.Context) (bool, error) { return false, nil },
		"cannot tell":   func(context.Context) (bool, error) { return false, errors.New("no database") },
		"does not tell": func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended atomic.Bool
				f := newFixture(t, func(c *web.Config) {
					c.Authenticate = func(ctx context.Context, key vault.Secret) (web.Caller, bool, error) {
						ok, err := true, error(nil)
						if ended.Load() {
							ok, err = end(ctx)
						}
						return web.Caller{Scopes: []string{"messages:read"}}, ok, err
					}
					c.Messages = &messages{func(c echo.Context) error { <-c.Request().Context().Done(); return nil }}
				})
				over := make(chan int)
				go func() { over <- do(f.Public(true), authorized("GET", "/v1/messages/stream", nil)).Code }()
				time.Sleep(time.Minute)
				select {
				case <-over:
					t.Fatal("the stream ended although its key works")
				default:
				}
				ended.Store(true)
				began := time.Now()
				if code := <-over; code != 200 || time.Since(began) > 2*time.Second {
					t.Errorf("it ended with %d after %s", code, time.Since(began))
				}
			})
		})
	}
}

// What is still to be answered when its key ends is answered as if the key had come just now.
func TestReadsEndWithTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		f := newFixture(t, func(c *web.Config) {
			c.Authenticate = func(context.Context, vault.Secret) (web.Caller, bool, error) {
				return web.Caller{Scopes: []string{"doorflow:read", "doorflow:write"}}, !ended.Load(), nil
			}
			c.DoorFlow = doorFlow(func(c echo.Context) error {
				select {
				case <-c.Request().Context().Done():
					return c.Request().Context().Err()
				case <-time.After(20 * time.Second):
					return c.NoContent(200)
				}
			})
		})
		h := f.Public(true)
		for method, want := range map[string]int{"GET": 401, "POST": 200} { // a write is never broken off
			ended.Store(false)
			time.AfterFunc(3*time.Second, func() { ended.Store(true) })
			began := time.Now()
			w := do(h, authorized(method, "/v1/connections/a/doorflow/api/3/people", nil))
			if took := time.Since(began); w.Code != want || want == 401 && took > 5*time.Second {
				t.Errorf("%s: %d after %s, want %d", method, w.Code, took, want)
			}
		}
	})
}

func TestWithoutACallerNothingIsAllowed(t *testing.T) {
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), nil)
	if got := web.Accounts(c); got == nil || len(got) > 0 {
		t.Errorf("accounts %v", got)
	}
	if got := web.Identities(c); got == nil || len(got) > 0 {
		t.Errorf("identities %v", got)
	}
}
