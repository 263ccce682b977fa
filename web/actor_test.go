package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/audit"
	"gatehouse/web"
)

// acting answers every route and remembers who asked.
type acting struct {
	everything
	seen audit.Actor
}

func (a *acting) see(c echo.Context) error {
	a.seen = audit.ActorFrom(c.Request().Context())
	return nil
}
func (a *acting) Callback(c echo.Context) error   { return a.see(c) }
func (a *acting) CreateLink(c echo.Context) error { return a.see(c) }

func TestWhatIsRecordedNamesTheCaller(t *testing.T) {
	who := &acting{}
	h := newFixture(t, func(c *web.Config) { c.Connect = who }).Public(true)
	for name, row := range map[string]struct {
		request *http.Request
		want    audit.Actor
	}{
		"a key":     {authorized("POST", "/v1/connect-links", nil), audit.Actor{Kind: audit.KindKey, Name: "admin", KeyID: "admin-token"}},
		"a browser": {httptest.NewRequest("GET", "/oauth/callback", nil), audit.Actor{Kind: audit.KindBrowser}},
	} {
		row.request.Header.Set("X-Request-Id", "r-1")
		row.request.Header.Set("X-Forwarded-For", "203.0.113.9") // of a proxy that nobody trusts
		row.request.RemoteAddr = "192.0.2.7:4711"
		row.want.Remote, row.want.RequestID = "192.0.2.7", "r-1"
		if w := do(h, row.request); w.Code != http.StatusOK || who.seen != row.want {
			t.Errorf("%s: %d, %+v, want %+v", name, w.Code, who.seen, row.want)
		}
	}
}
