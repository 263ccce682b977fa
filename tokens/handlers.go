package tokens

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/connections. They return errors of this package and *invalid.Error;
// the server chooses the statuses.
type Handlers struct {
	Keeper *Keeper
	// Accounts returns the accounts that the caller is held to, nil for all; a nil function means all.
	Accounts func(echo.Context) []string
}

const (
	defaultLimit = 50
	maxLimit     = 500
)

// List is GET /v1/connections.
func (h *Handlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Connection `json:"items"`
		Next  string       `json:"next,omitempty"`
	}{page, next})
}

// Page returns the connections that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *Handlers) Page(c echo.Context) ([]Connection, string, error) {
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultLimit, maxLimit)
	if err != nil {
		return nil, "", err
	}
	return h.Keeper.List(c.Request().Context(), c.QueryParam("after"), limit, h.accounts(c))
}

// Get is GET /v1/connections/:account.
func (h *Handlers) Get(c echo.Context) error {
	connection, err := h.Find(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, connection)
}

// Find reads the connection that the path names.
func (h *Handlers) Find(c echo.Context) (Connection, error) {
	account, err := h.account(c)
	if err != nil {
		return Connection{}, err
	}
	return h.Keeper.Get(c.Request().Context(), account)
}

// Disconnect ends the connection that the path names, and tells whether DoorFlow has confirmed it.
func (h *Handlers) Disconnect(c echo.Context) (account string, revoked bool, err error) {
	if account, err = h.account(c); err != nil {
		return "", false, err
	}
	revoked, err = h.Keeper.Disconnect(c.Request().Context(), account)
	return account, revoked, err
}

// Delete is DELETE /v1/connections/:account.
func (h *Handlers) Delete(c echo.Context) error {
	account, revoked, err := h.Disconnect(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Account string `json:"account"`
		Status  string `json:"status"`
		Revoked bool   `json:"revoked"`
	}{account, StatusDisconnected, revoked})
}

func (h *Handlers) accounts(c echo.Context) []string {
	if h.Accounts == nil {
		return nil
	}
	return h.Accounts(c)
}

// account reads the path. An account that the caller is not allowed looks like one that is not there.
func (h *Handlers) account(c echo.Context) (string, error) {
	account := c.Param("account")
	if allowed := h.accounts(c); allowed != nil && !slices.Contains(allowed, account) {
		return "", ErrNotFound
	}
	return account, nil
}
