package audit

import (
	"encoding/json"
	"errors"
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

var (
	// ErrHeld says that a caller who is held to accounts or identities asked for what is over all of them.
	ErrHeld = errors.New("audit: the caller is held to accounts or identities")
	// ErrVerifying says that a verification is under way, which is work enough for one gateway.
	ErrVerifying = errors.New("audit: a verification is under way")
)

const (
	// tellEvery is how often the caller is told how far a verification has come.
	tellEvery = time.Second
	// tellWithin is how long a caller may take to read a line.
	tellWithin = 30 * time.Second
)

// Progress is a line of the answer to a verification. The last one has the report, those before it how far
// it has come.
type Progress struct {
	Done   int64   `json:"done,omitempty"`
	Of     int64   `json:"of,omitempty"`
	Report *Report `json:"report,omitempty"`
}

// Verify is GET /v1/audit/verify. An answer that does not end with a report was broken off.
func (h *Handlers) Verify(c echo.Context) error {
	if h.Accounts != nil && h.Accounts(c) != nil || h.Identities != nil && h.Identities(c) != nil {
		return ErrHeld
	}
	var kept Heads
	for _, s := range c.QueryParams()["head"] {
		heads, err := ParseHeads(s)
		if err != nil {
			return err
		}
		kept = append(kept, heads...)
	}
	if !h.verifying.CompareAndSwap(false, true) {
		return ErrVerifying
	}
	defer h.verifying.Store(false)
	rc := http.NewResponseController(c.Response().Writer)
	// The server's time limits are for requests that are answered at once.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	tell := func(p Progress) {
		_ = rc.SetWriteDeadline(time.Now().Add(tellWithin))
		_ = json.NewEncoder(c.Response()).Encode(p) // who is gone has ended the request's context
		_ = rc.Flush()
	}
	told := time.Now()
	report, err := h.Log.Verify(c.Request().Context(), kept, func(done, of int64) {
		if time.Since(told) >= tellEvery {
			told = time.Now()
			tell(Progress{Done: done, Of: of})
		}
	})
	if err != nil {
		return err
	}
	tell(Progress{Report: &report})
	return nil
}
