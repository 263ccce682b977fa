package apikeys

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/api-keys. They return errors of this package and *invalid.Error; the
// server chooses the statuses.
type Handlers struct{ Keys *Keys }

const (
	maxBody     = 32 << 10
	defaultPage = 50
	maxPage     = 500
)

// Create is POST /v1/api-keys. Its answer is the only one that shows the key.
func (h *Handlers) Create(c echo.Context) error {
	var req Request
	if err := invalid.Body(c.Response(), c.Request(), maxBody, &req); err != nil {
		return err
	}
	made, secret, err := h.Keys.Create(c.Request().Context(), req)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		Key
		Secret string `json:"key"`
	}{made, secret.Reveal()})
}

// Page returns the keys that a request's query asks for, and the cursor of the next page.
func (h *Handlers) Page(c echo.Context) ([]Key, string, error) {
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return nil, "", err
	}
	return h.Keys.List(c.Request().Context(), c.QueryParam("after"), limit)
}

// List is GET /v1/api-keys.
func (h *Handlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Key  `json:"items"`
		Next  string `json:"next,omitempty"`
	}{page, next})
}

// Delete is DELETE /v1/api-keys/:id.
func (h *Handlers) Delete(c echo.Context) error {
	if err := h.Keys.Revoke(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
