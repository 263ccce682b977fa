package events

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/messages. They return errors of this package and *invalid.Error; the
// server chooses the statuses.
type Handlers struct {
	History *History
	// Accounts returns the accounts that the caller is held to, nil for all; a nil function means all.
	Accounts func(echo.Context) []string
	// Identities likewise returns the identities.
	Identities func(echo.Context) []string

	cursors cursors
	streams chan struct{} // holds one value for each open stream
	pace    pace
}

// NewHandlers makes them.
func NewHandlers(h *History, c Cover) *Handlers {
	return &Handlers{History: h, cursors: cursors{c}, streams: make(chan struct{}, maxStreams), pace: usualPace()}
}

// item is a message as the API shows it.
type item struct {
	ID          string          `json:"id"`
	Subject     string          `json:"subject"`
	Account     string          `json:"account,omitempty"`
	CommittedAt time.Time       `json:"committed_at"`
	Message     json.RawMessage `json:"message"`
}

func (s Stored) item() item { return item{s.ID, s.Subject, s.Account, s.CommittedAt, s.Body} }

// List is GET /v1/messages.
func (h *Handlers) List(c echo.Context) error {
	q, err := h.query(c)
	if err != nil {
		return err
	}
	found, next, err := h.History.List(c.Request().Context(), q)
	if err != nil {
		return err
	}
	if next, err = h.cursors.hide(ofList, next); err != nil {
		return err
	}
	items := make([]item, len(found))
	for i, s := range found {
		items[i] = s.item()
	}
	return answer(c, http.StatusOK, struct {
		Items []item `json:"items"`
		Next  string `json:"next,omitempty"`
	}{items, next})
}

// Get is GET /v1/messages/:id.
func (h *Handlers) Get(c echo.Context) error {
	found, err := h.visible(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, found.item())
}

// Replay is POST /v1/messages/:id/replay.
func (h *Handlers) Replay(c echo.Context) error {
	old, err := h.visible(c)
	if err != nil {
		return err
	}
	id, err := h.History.Replay(c.Request().Context(), old.ID)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, struct {
		ID       string `json:"id"`
		ReplayOf string `json:"replay_of"`
	}{id, old.ID})
}

// visible reads the message that the path names. One that the caller is not allowed looks like one that
// is not there.
func (h *Handlers) visible(c echo.Context) (Stored, error) {
	found, err := h.History.Get(c.Request().Context(), c.Param("id"))
	if err == nil && !h.limits(c).Match(found.Account, found.Subject) {
		return Stored{}, ErrNotFound
	}
	return found, err
}

// limits lets everything pass that the caller may see.
func (h *Handlers) limits(c echo.Context) Filter {
	var f Filter
	if h.Accounts != nil {
		f.Accounts = h.Accounts(c)
	}
	if h.Identities != nil {
		f.Identities = h.Identities(c)
	}
	return f
}

func (h *Handlers) query(c echo.Context) (Query, error) {
	filter, err := h.filter(c)
	if err != nil {
		return Query{}, err
	}
	q := Query{Filter: filter}
	var ok bool
	if q.After, ok = h.cursors.reveal(ofList, c.QueryParam("after")); !ok {
		return Query{}, notACursor()
	}
	if s := c.QueryParam("since"); s != "" {
		if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return Query{}, invalid.Field("since", "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
		}
	}
	q.Limit, err = invalid.Limit(c.QueryParam("limit"), defaultPage, MaxPage)
	return q, err
}

func (h *Handlers) filter(c echo.Context) (Filter, error) {
	subject, account := c.QueryParam("subject"), c.QueryParam("account")
	pattern, err := ParsePattern(subject)
	if err != nil || !plain(subject) {
		return Filter{}, invalid.Field("subject", "%s", ErrPattern)
	}
	if len(account) > 256 || !plain(account) {
		return Filter{}, invalid.Field("account", "must be an account id")
	}
	f := h.limits(c)
	f.Pattern, f.Account = pattern, account
	return f, nil
}

// plain tells whether PostgreSQL takes a text at all.
func plain(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// answer writes JSON without escaping HTML in it, so that a message keeps the bytes it has on NATS.
func answer(c echo.Context, status int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.JSONBlob(status, buf.Bytes())
}
