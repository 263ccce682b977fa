package audit

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/audit. They return *invalid.Error; the server chooses the statuses.
type Handlers struct {
	Log *Log
	// Accounts returns the accounts that the caller is held to, nil for all; a nil function means all.
	Accounts func(echo.Context) []string
	// Identities is Accounts for identities. What belongs to no account, such as who made which key, is for
	// those who are held to neither.
	Identities func(echo.Context) []string

	verifying atomic.Bool
	verified  atomic.Pointer[Verified]
}

const (
	defaultLimit = 50
	maxLimit     = 500
)

// List is GET /v1/audit.
func (h *Handlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Stored `json:"items"`
		Next  string   `json:"next,omitempty"`
	}{page, next})
}

// Page returns the entries that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *Handlers) Page(c echo.Context) ([]Stored, string, error) {
	q := h.limits(c)
	q.Actor, q.Action, q.Account, q.Target, q.After = c.QueryParam("actor"), c.QueryParam("action"), c.QueryParam("account"), c.QueryParam("target"), c.QueryParam("after")
	for name, value := range map[string]string{"actor": q.Actor, "action": q.Action, "account": q.Account, "target": q.Target} {
		if !utf8.ValidString(value) || utf8.RuneCountInString(value) > maxField || strings.Contains(value, "\x00") {
			return nil, "", invalid.Field(name, "must be text of at most %d characters", maxField)
		}
	}
	var err error
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := c.QueryParam(name); s != "" {
			if *into, err = time.Parse(time.RFC3339, s); err != nil {
				return nil, "", invalid.Field(name, "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
			}
		}
	}
	if q.Limit, err = invalid.Limit(c.QueryParam("limit"), defaultLimit, maxLimit); err != nil {
		return nil, "", err
	}
	return h.Log.List(c.Request().Context(), q)
}

// Find reads the entry that the path names. Error: ErrNotFound.
func (h *Handlers) Find(c echo.Context) (Stored, error) {
	return h.Log.Get(c.Request().Context(), c.Param("id"), h.limits(c))
}

// limits hold a query to what the caller may see.
func (h *Handlers) limits(c echo.Context) (q Query) {
	if h.Accounts != nil {
		q.Accounts = h.Accounts(c)
	}
	q.OfAccounts = h.Identities != nil && h.Identities(c) != nil
	return q
}
