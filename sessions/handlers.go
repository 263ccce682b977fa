package sessions

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/sign-in-links. They return errors of this package; the server chooses the
// statuses.
type Handlers struct {
	Sessions *Sessions
	// Key returns the id of the key that the caller came with.
	Key func(echo.Context) string
	// Base is where the dashboard is, as browsers reach it; "" for the address that the caller used.
	Base string
}

// CreateLink is POST /v1/sign-in-links. Its answer is the only one that shows the link.
func (h *Handlers) CreateLink(c echo.Context) error {
	if err := invalid.Body(c.Response(), c.Request(), 1<<10, &struct{}{}); err != nil {
		return err
	}
	token, ends, err := h.Sessions.NewLink(c.Request().Context(), h.Key(c))
	if err != nil {
		return err
	}
	base := h.Base
	if base == "" {
		base = c.Scheme() + "://" + c.Request().Host
	}
	return c.JSON(http.StatusCreated, struct {
		URL       string    `json:"url"`
		ExpiresAt time.Time `json:"expires_at"`
	}{base + "/sign-in/" + token.Reveal(), ends})
}
