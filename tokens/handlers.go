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
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultLimit, maxLimit)
	if err != nil {
		return err
	}
	page, next, err := h.Keeper.List(c.Request().Context(), c.QueryParam("after"), limit, h.accounts(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Connection `json:"items"`
		Next  string       `json:"next,omitempty"`
	}{page, next})
}

// Get is GET /v1/connections/:account.
func (h *Handlers) Get(c echo.Context) error {
	account, err := h.account(c)
	if err != nil {
		return err
	}
	connection, err := h.Keeper.Get(c.Request().Context(), account)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, connection)
}

// Delete is DELETE /v1/connections/:account.
func (h *Handlers) Delete(c echo.Context) error {
	account, err := h.account(c)
	if err != nil {
		return err
	}
	revoked, err := h.Keeper.Disconnect(c.Request().Context(), account)
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
