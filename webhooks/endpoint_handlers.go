package webhooks

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/standardwebhooks"
)

// EndpointHandlers are the routes below /v1/endpoints that are about endpoints. They return errors of this package and
// *invalid.Error; the server chooses the statuses.
type EndpointHandlers struct {
	Endpoints *Endpoints
	// Accounts and Identities are those that the caller is held to, nil for all.
	Accounts, Identities func(echo.Context) []string
	// Health tells how deliveries to endpoints fare, by their ids; one that is missing has none yet.
	Health func(ctx context.Context, ids ...string) (map[string]Health, error)
	// Try sends a message to an endpoint once, now.
	Try func(context.Context, *Endpoint, events.Encoded) Attempt
}

const (
	maxEndpointBody = 64 << 10
	defaultPage     = 50
	maxPage         = 500
)

// shownEndpoint is an endpoint as it is answered.
type shownEndpoint struct {
	*Endpoint
	Health Health `json:"health"`
}

// endpointSecret is the only answer that holds a secret.
type endpointSecret struct {
	*Endpoint
	Secret string `json:"secret"`
}

// Create is POST /v1/endpoints. Its answer shows the secret.
func (h *EndpointHandlers) Create(c echo.Context) error {
	var q EndpointRequest
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &q); err != nil {
		return err
	}
	made, secret, err := h.Endpoints.Create(c.Request().Context(), q, h.limits(c))
	return answerSecret(c, http.StatusCreated, made, secret, err)
}

// RotateSecret is POST /v1/endpoints/:id/rotate-secret. Its answer shows the new secret.
func (h *EndpointHandlers) RotateSecret(c echo.Context) error {
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &struct{}{}); err != nil {
		return err
	}
	changed, secret, err := h.Endpoints.RotateSecret(c.Request().Context(), c.Param("id"), h.limits(c))
	return answerSecret(c, http.StatusOK, changed, secret, err)
}

// Test is POST /v1/endpoints/:id/test.
func (h *EndpointHandlers) Test(c echo.Context) error {
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &struct{}{}); err != nil {
		return err
	}
	done, err := h.Endpoints.Test(c.Request().Context(), c.Param("id"), h.limits(c), h.Try)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, done)
}

func answerSecret(c echo.Context, status int, e *Endpoint, secret standardwebhooks.Secret, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(status, endpointSecret{e, secret.Reveal()})
}

// List is GET /v1/endpoints.
func (h *EndpointHandlers) List(c echo.Context) error {
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return err
	}
	page, next, err := h.Endpoints.List(c.Request().Context(), c.QueryParam("after"), limit, h.limits(c))
	if err != nil {
		return err
	}
	items, err := h.shown(c, page...)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []shownEndpoint `json:"items"`
		Next  string          `json:"next,omitempty"`
	}{items, next})
}

// Get is GET /v1/endpoints/:id.
func (h *EndpointHandlers) Get(c echo.Context) error {
	e, err := h.Endpoints.Get(c.Request().Context(), c.Param("id"), h.limits(c))
	return h.answer(c, e, err)
}

// Change is PATCH /v1/endpoints/:id.
func (h *EndpointHandlers) Change(c echo.Context) error {
	var q EndpointRequest
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &q); err != nil {
		return err
	}
	e, err := h.Endpoints.Change(c.Request().Context(), c.Param("id"), q, h.limits(c))
	return h.answer(c, e, err)
}

// Delete is DELETE /v1/endpoints/:id.
func (h *EndpointHandlers) Delete(c echo.Context) error {
	if err := h.Endpoints.Delete(c.Request().Context(), c.Param("id"), h.limits(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (h *EndpointHandlers) limits(c echo.Context) Limits {
	return Limits{Accounts: h.Accounts(c), Identities: h.Identities(c)}
}

func (h *EndpointHandlers) answer(c echo.Context, e *Endpoint, err error) error {
	if err != nil {
		return err
	}
	items, err := h.shown(c, e)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[0])
}

func (h *EndpointHandlers) shown(c echo.Context, page ...*Endpoint) ([]shownEndpoint, error) {
	items, ids := make([]shownEndpoint, len(page)), make([]string, len(page))
	for i, e := range page {
		items[i].Endpoint, ids[i] = e, e.ID
	}
	if h.Health == nil || len(ids) == 0 {
		return items, nil
	}
	health, err := h.Health(c.Request().Context(), ids...)
	for i := range items {
		items[i].Health = health[items[i].ID]
	}
	return items, err
}
