package oauth

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

// The handlers below /v1/connect-links return errors of this package, of the Connector, and
// *invalid.Error; the server chooses the statuses.

const maxBody = 16 << 10

// CreateLink is POST /v1/connect-links.
func (c *Connect) CreateLink(e echo.Context) error {
	var req LinkRequest
	if err := invalid.Body(e.Response(), e.Request(), maxBody, &req); err != nil {
		return err
	}
	link, err := c.CreateFor(e, req)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusCreated, link)
}

// CreateFor makes a link as far as the caller of a request may.
func (c *Connect) CreateFor(e echo.Context, req LinkRequest) (Link, error) {
	if allowed := c.accounts(e); allowed != nil && !slices.Contains(allowed, req.Account) {
		return Link{}, invalid.Field("account", "must name one of the accounts that your API key is for")
	}
	return c.Create(e.Request().Context(), req)
}

// GetLink is GET /v1/connect-links/:link.
func (c *Connect) GetLink(e echo.Context) error {
	link, err := c.FindLink(e)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, link)
}

// CompleteLink is POST /v1/connect-links/:link/complete.
func (c *Connect) CompleteLink(e echo.Context) error {
	var req struct {
		Code vault.Secret `json:"code"`
	}
	if err := invalid.Body(e.Response(), e.Request(), maxBody, &req); err != nil {
		return err
	}
	if req.Code.IsZero() {
		return invalid.Field("code", "is needed: it came with the browser to the return_url")
	}
	if _, err := c.FindLink(e); err != nil {
		return err
	}
	link, err := c.Complete(e.Request().Context(), e.Param("link"), req.Code)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, link)
}

// FindLink reads the link of the path. One for an account that the caller is not held to looks like one
// that is not there.
func (c *Connect) FindLink(e echo.Context) (Link, error) {
	link, err := c.Get(e.Request().Context(), e.Param("link"))
	if accounts := c.accounts(e); err == nil && accounts != nil && !slices.Contains(accounts, link.Account) {
		return Link{}, ErrLinkNotFound
	}
	return link, err
}
