package web_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/vault"
	"gatehouse/web"
)

type doorFlow func(echo.Context) error

func (d doorFlow) Handle(c echo.Context) error { return d(c) }

// Whether an account is busy is nobody's business but its own.
func TestABusyAccountDoesNotShowToOthers(t *testing.T) {
	release, under := make(chan struct{}), make(chan struct{}, 16)
	f := newFixture(t, func(c *web.Config) {
		c.Authenticate = func(_ context.Context, key vault.Secret) (web.Caller, bool, error) {
			return web.Caller{Scopes: []string{"doorflow:read"}, Accounts: []string{key.Reveal()}}, true, nil
		}
		c.DoorFlow = doorFlow(func(c echo.Context) error {
			if web.Accounts(c)[0] != c.Param("account") {
				return c.NoContent(404)
			}
			under <- struct{}{}
			<-release
			return c.NoContent(200)
		})
	})
	h := f.Public(true)
	ask := func(key string) int {
		r := httptest.NewRequest("GET", "/v1/connections/busy/doorflow/api/3/people", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		return do(h, r).Code
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { ask("busy") })
		<-under
	}
	if got := ask("busy"); got != 429 {
		t.Errorf("one more of the account's own: %d, want 429", got)
	}
	if got := ask("other"); got != 404 {
		t.Errorf("another's: %d, want 404", got)
	}
	close(release)
	all.Wait()
}
