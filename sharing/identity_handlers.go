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
	made, err := h.CreateFor(c, q)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, made)
}

// CreateFor is Identities.Create for the caller of a request.
func (h *IdentityHandlers) CreateFor(c echo.Context, q IdentityRequest) (Identity, error) {
	if h.Of == nil {
		return Identity{}, ErrOff
	}
	return h.Of.Create(c.Request().Context(), q)
}

// List is GET /v1/identities.
func (h *IdentityHandlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Identity]{page, next})
}

// Page returns the identities that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *IdentityHandlers) Page(c echo.Context) ([]Identity, string, error) {
	if h.Of == nil {
		return nil, "", ErrOff
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return nil, "", err
	}
	return h.Of.List(c.Request().Context(), c.QueryParam("after"), limit, h.allowed(c))
}

// Get is GET /v1/identities/:name.
func (h *IdentityHandlers) Get(c echo.Context) error {
	return h.answer(c, nil, func() (Identity, error) { return h.Find(c) })
}

// Find reads the identity that the path names.
func (h *IdentityHandlers) Find(c echo.Context) (Identity, error) {
	name, err := h.identity(c)
	if err != nil {
		return Identity{}, err
	}
	return h.Of.Get(c.Request().Context(), name)
}

// Delete is DELETE /v1/identities/:name.
func (h *IdentityHandlers) Delete(c echo.Context) error {
	if err := h.DeleteFound(c); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// DeleteFound deletes the identity that the path names.
func (h *IdentityHandlers) DeleteFound(c echo.Context) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	return h.Of.Delete(c.Request().Context(), name)
}

// Register is POST /v1/identities/:name/register.
func (h *IdentityHandlers) Register(c echo.Context) error {
	var in struct {
		NewKey *bool `json:"new_key"`
	}
	return h.answer(c, &in, func() (Identity, error) { return h.RegisterFound(c, in.NewKey) })
}

// RegisterFound is Identities.Register for the identity that the path names.
func (h *IdentityHandlers) RegisterFound(c echo.Context, newKey *bool) (Identity, error) {
	name, err := h.identity(c)
	if err != nil {
		return Identity{}, err
	}
	return h.Of.Register(c.Request().Context(), name, newKey)
}

// Verify is POST /v1/identities/:name/verify.
func (h *IdentityHandlers) Verify(c echo.Context) error {
	var in struct {
		Method string `json:"method"`
	}
	return h.answer(c, &in, func() (Identity, error) { return h.VerifyFound(c, in.Method) })
}

// VerifyFound is Identities.Verify for the identity that the path names.
func (h *IdentityHandlers) VerifyFound(c echo.Context, method string) (Identity, error) {
	name, err := h.identity(c)
	if err != nil {
		return Identity{}, err
	}
	return h.Of.Verify(c.Request().Context(), name, doordeck.Method(method))
}

// Check is POST /v1/identities/:name/check.
func (h *IdentityHandlers) Check(c echo.Context) error {
	var in struct {
		Code string `json:"code"`
	}
	return h.answer(c, &in, func() (Identity, error) { return h.CheckFound(c, in.Code) })
}

// CheckFound is Identities.Check for the identity that the path names.
func (h *IdentityHandlers) CheckFound(c echo.Context, code string) (Identity, error) {
	name, err := h.identity(c)
	if err != nil {
		return Identity{}, err
	}
	return h.Of.Check(c.Request().Context(), name, code)
}

// answer reads the request, unless in is nil, and answers with the identity that comes of it. An identity that is
// not there is said before what is wrong with the request.
func (h *IdentityHandlers) answer(c echo.Context, in any, do func() (Identity, error)) error {
	if _, err := h.identity(c); err != nil {
		return err
	}
	if in != nil {
		if err := invalid.Body(c.Response(), c.Request(), maxIdentityBody, in); err != nil {
			return err
		}
	}
	identity, err := do()
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
