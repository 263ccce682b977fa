package sharing

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

// IdentityHandlers are the routes below /v1/identities that are about identities and their doors. They return
// errors of this package and *invalid.Error; the server chooses the statuses.
type IdentityHandlers struct {
	// Of is nil where Doordeck is not configured: then every route answers ErrOff.
	Of *Identities
	// Allowed returns the identities that the caller is held to, nil for all; a nil function means all.
	Allowed func(echo.Context) []string
}

const (
	maxIdentityBody = 16 << 10
	defaultPage     = 50
	maxPage         = 500
)

// list is the answer of every route that lists something.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Create is POST /v1/identities.
func (h *IdentityHandlers) Create(c echo.Context) error {
	if h.Of == nil {
		return ErrOff
	}
	var q IdentityRequest
	if err := invalid.Body(c.Response(), c.Request(), maxIdentityBody, &q); err != nil {
		return err
	}
	made, err := h.Of.Create(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, made)
}

// List is GET /v1/identities.
func (h *IdentityHandlers) List(c echo.Context) error {
	if h.Of == nil {
		return ErrOff
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return err
	}
	page, next, err := h.Of.List(c.Request().Context(), c.QueryParam("after"), limit, h.allowed(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Identity]{page, next})
}

// Get is GET /v1/identities/:name.
func (h *IdentityHandlers) Get(c echo.Context) error {
	return h.answer(c, nil, func(name string) (Identity, error) { return h.Of.Get(c.Request().Context(), name) })
}

// Delete is DELETE /v1/identities/:name.
func (h *IdentityHandlers) Delete(c echo.Context) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	if err := h.Of.Delete(c.Request().Context(), name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// Register is POST /v1/identities/:name/register.
func (h *IdentityHandlers) Register(c echo.Context) error {
	var in struct {
		NewKey *bool `json:"new_key"`
	}
	return h.answer(c, &in, func(name string) (Identity, error) { return h.Of.Register(c.Request().Context(), name, in.NewKey) })
}

// Verify is POST /v1/identities/:name/verify.
func (h *IdentityHandlers) Verify(c echo.Context) error {
	var in struct {
		Method doordeck.Method `json:"method"`
	}
	return h.answer(c, &in, func(name string) (Identity, error) { return h.Of.Verify(c.Request().Context(), name, in.Method) })
}

// Check is POST /v1/identities/:name/check.
func (h *IdentityHandlers) Check(c echo.Context) error {
	var in struct {
		Code string `json:"code"`
	}
	return h.answer(c, &in, func(name string) (Identity, error) { return h.Of.Check(c.Request().Context(), name, in.Code) })
}

// answer reads the request, unless in is nil, and answers with the identity that comes of it.
func (h *IdentityHandlers) answer(c echo.Context, in any, do func(name string) (Identity, error)) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	if in != nil {
		if err := invalid.Body(c.Response(), c.Request(), maxIdentityBody, in); err != nil {
			return err
		}
	}
	identity, err := do(name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, identity)
}

func (h *IdentityHandlers) allowed(c echo.Context) []string {
	if h.Allowed == nil {
		return nil
	}
	return h.Allowed(c)
}

// identity reads the path. An identity that the caller is not allowed looks like one that is not there.
func (h *IdentityHandlers) identity(c echo.Context) (string, error) {
	if h.Of == nil {
		return "", ErrOff
	}
	name := c.Param("name")
	if allowed := h.allowed(c); allowed != nil && !slices.Contains(allowed, name) || !nameForm.MatchString(name) {
		return "", ErrNoIdentity
	}
	return name, nil
}
