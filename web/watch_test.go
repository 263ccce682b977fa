package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
	"gatehouse/web"
)

// slowly is a body of which a byte comes every so often.
type slowly struct {
	every time.Duration
	rest  string
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.rest == "" {
		return 0, io.EOF
	}
	time.Sleep(s.every)
	n := copy(p, s.rest[:1])
	s.rest = s.rest[1:]
	return n, nil
}

// Who sends a body slowly does nothing with a key that has ended meanwhile.
func TestASlowBodyEndsWithItsKey(t *testing.T) {
	gone := func() (bool, error) { return false, nil }
	for _, row := range []struct {
		name  string
		every time.Duration
		later func() (bool, error) // what the key is worth two seconds after the request began
		want  int
	}{
		{"the key still works", time.Second, func() (bool, error) { return true, nil }, http.StatusOK},
		{"the key was revoked", time.Second, gone, http.StatusUnauthorized},
		{"the key was revoked, and the body trickles", 100 * time.Millisecond, gone, http.StatusUnauthorized},
		{"the key cannot be looked up", time.Second, func() (bool, error) { return false, errSecret }, http.StatusInternalServerError},
		{"all of the body came before", 10 * time.Millisecond, gone, http.StatusOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, acted := time.Now(), false
				f := newFixture(t, func(c *web.Config) {
					c.Authenticate = func(ctx context.Context, key vault.Secret) (web.Caller, bool, error) {
						caller, ok, err := oneKey(ctx, key)
						if time.Since(began) >= 2*time.Second {
							ok, err = row.later()
						}
						return caller, ok, err
					}
					c.Messages = &messages{func(c echo.Context) error {
						if _, err := io.ReadAll(c.Request().Body); err != nil {
							return errors.Join(err, invalid.Field("body", "must be a JSON object"))
						}
						acted = true
						return c.NoContent(http.StatusOK)
					}}
				})
				body := `{"name":"made by somebody who is gone"}`
				w := do(f.Public(true), authorized("POST", "/v1/messages/x/replay", &slowly{row.every, body}))
				if w.Code != row.want || acted != (row.want == http.StatusOK) {
					t.Errorf("answered %d, acted %v; want %d", w.Code, acted, row.want)
				}
			})
		})
	}
}
