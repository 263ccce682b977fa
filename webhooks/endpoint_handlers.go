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

// ShownEndpoint is an endpoint as it is answered.
type ShownEndpoint struct {
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
	made, secret, err := h.CreateFor(c, q)
	return answerSecret(c, http.StatusCreated, made, secret, err)
}

// CreateFor makes an endpoint with the limits of a request's caller, and returns its secret this one time.
func (h *EndpointHandlers) CreateFor(c echo.Context, q EndpointRequest) (*Endpoint, standardwebhooks.Secret, error) {
	return h.Endpoints.Create(c.Request().Context(), q, h.limits(c))
}

// RotateSecret is POST /v1/endpoints/:id/rotate-secret. Its answer shows the new secret.
func (h *EndpointHandlers) RotateSecret(c echo.Context) error {
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &struct{}{}); err != nil {
		return err
	}
	changed, secret, err := h.Rotate(c)
	return answerSecret(c, http.StatusOK, changed, secret, err)
}

// Rotate gives the endpoint that the path names a new secret, and returns it this one time.
func (h *EndpointHandlers) Rotate(c echo.Context) (*Endpoint, standardwebhooks.Secret, error) {
	return h.Endpoints.RotateSecret(c.Request().Context(), c.Param("id"), h.limits(c))
}

// Test is POST /v1/endpoints/:id/test.
func (h *EndpointHandlers) Test(c echo.Context) error {
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &struct{}{}); err != nil {
		return err
	}
	done, err := h.TryNow(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, done)
}

// TryNow sends a test message to the endpoint that the path names, and tells how that ended.
func (h *EndpointHandlers) TryNow(c echo.Context) (Attempt, error) {
	return h.Endpoints.Test(c.Request().Context(), c.Param("id"), h.limits(c), h.Try)
}

func answerSecret(c echo.Context, status int, e *Endpoint, secret standardwebhooks.Secret, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(status, endpointSecret{e, secret.Reveal()})
}

// List is GET /v1/endpoints.
func (h *EndpointHandlers) List(c echo.Context) error {
	items, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []ShownEndpoint `json:"items"`
		Next  string          `json:"next,omitempty"`
	}{items, next})
}

// Page returns the endpoints that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *EndpointHandlers) Page(c echo.Context) ([]ShownEndpoint, string, error) {
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return nil, "", err
	}
	page, next, err := h.Endpoints.List(c.Request().Context(), c.QueryParam("after"), limit, h.limits(c))
	if err != nil {
		return nil, "", err
	}
	items, err := h.shown(c, page...)
	return items, next, err
}

// Get is GET /v1/endpoints/:id.
func (h *EndpointHandlers) Get(c echo.Context) error {
	shown, err := h.Find(c, c.Param("id"))
	return answerEndpoint(c, shown, err)
}

// Find returns an endpoint that a request's caller may see.
func (h *EndpointHandlers) Find(c echo.Context, id string) (ShownEndpoint, error) {
	e, err := h.Endpoints.Get(c.Request().Context(), id, h.limits(c))
	if err != nil {
		return ShownEndpoint{}, err
	}
	return h.one(c, e)
}

// Change is PATCH /v1/endpoints/:id.
func (h *EndpointHandlers) Change(c echo.Context) error {
	var q EndpointRequest
	if err := invalid.Body(c.Response(), c.Request(), maxEndpointBody, &q); err != nil {
		return err
	}
	shown, err := h.ChangeFor(c, q)
	return answerEndpoint(c, shown, err)
}

// ChangeFor changes the endpoint that the path names.
func (h *EndpointHandlers) ChangeFor(c echo.Context, q EndpointRequest) (ShownEndpoint, error) {
	e, err := h.Endpoints.Change(c.Request().Context(), c.Param("id"), q, h.limits(c))
	if err != nil {
		return ShownEndpoint{}, err
	}
	return h.one(c, e)
}

// Delete is DELETE /v1/endpoints/:id.
func (h *EndpointHandlers) Delete(c echo.Context) error {
	if err := h.Remove(c); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// Remove deletes the endpoint that the path names.
func (h *EndpointHandlers) Remove(c echo.Context) error {
	return h.Endpoints.Delete(c.Request().Context(), c.Param("id"), h.limits(c))
}

func (h *EndpointHandlers) limits(c echo.Context) Limits {
	return Limits{Accounts: h.Accounts(c), Identities: h.Identities(c)}
}

func answerEndpoint(c echo.Context, shown ShownEndpoint, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

func (h *EndpointHandlers) one(c echo.Context, e *Endpoint) (ShownEndpoint, error) {
	items, err := h.shown(c, e)
	return items[0], err
}

func (h *EndpointHandlers) shown(c echo.Context, page ...*Endpoint) ([]ShownEndpoint, error) {
	items, ids := make([]ShownEndpoint, len(page)), make([]string, len(page))
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
