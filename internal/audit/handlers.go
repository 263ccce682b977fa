package audit

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the route /v1/audit. They return *invalid.Error; the server chooses the statuses.
type Handlers struct {
	Log *Log
	// Accounts returns the accounts that the caller is held to, nil for all; a nil function means all.
	Accounts func(echo.Context) []string
	// Identities is Accounts for identities. What belongs to no account, such as who made which key, is for
	// those who are held to neither.
	Identities func(echo.Context) []string
}

const (
	defaultLimit = 50
	maxLimit     = 500
)

// List is GET /v1/audit.
func (h *Handlers) List(c echo.Context) error {
	q := Query{Actor: c.QueryParam("actor"), Action: c.QueryParam("action"), After: c.QueryParam("after")}
	for name, value := range map[string]string{"actor": q.Actor, "action": q.Action} {
		if len(value) > 4*maxField || !utf8.ValidString(value) || strings.Contains(value, "\x00") {
			return invalid.Field(name, "must be text of at most %d characters", maxField)
		}
	}
	var err error
	if s := c.QueryParam("since"); s != "" {
		if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return invalid.Field("since", "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
		}
	}
	if q.Limit, err = invalid.Limit(c.QueryParam("limit"), defaultLimit, maxLimit); err != nil {
		return err
	}
	if h.Accounts != nil {
		q.Accounts = h.Accounts(c)
	}
	q.OfAccounts = h.Identities != nil && h.Identities(c) != nil
	page, next, err := h.Log.List(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Stored `json:"items"`
		Next  string   `json:"next,omitempty"`
	}{page, next})
}
