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
	found, err := h.Page(c, 0)
	if err != nil {
		return err
	}
	items := make([]item, len(found.Items))
	for i, s := range found.Items {
		items[i] = s.item()
	}
	return answer(c, http.StatusOK, struct {
		Items []item `json:"items"`
		Next  string `json:"next,omitempty"`
	}{items, found.Next})
}

// Page is a page of messages, newest first.
type Page struct {
	Items []Stored
	// Next is the cursor of the next page, "" at the end, and Back how far back this one has looked.
	Next string
	Back time.Time
}

// Page returns the messages that a request's query asks for and its caller may see. look bounds how many rows are
// looked at, 0 for as many as List does.
func (h *Handlers) Page(c echo.Context, look int) (Page, error) {
	q, err := h.query(c)
	if err != nil {
		return Page{}, err
	}
	q.Look = look
	items, next, err := h.History.List(c.Request().Context(), q)
	if err != nil {
		return Page{}, err
	}
	page := Page{Items: items}
	if id, err := parseListCursor(next); next != "" && err == nil {
		page.Back = timeOf(id)
	}
	page.Next, err = h.cursors.hide(ofList, next)
	return page, err
}

// Get is GET /v1/messages/:id.
func (h *Handlers) Get(c echo.Context) error {
	found, err := h.Find(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, found.item())
}

// Replay is POST /v1/messages/:id/replay.
func (h *Handlers) Replay(c echo.Context) error {
	id, err := h.ReplayFound(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, struct {
		ID       string `json:"id"`
		ReplayOf string `json:"replay_of"`
	}{id, c.Param("id")})
}

// Here is the place in the stream where it stands now, as ?after= takes it.
func (h *Handlers) Here(c echo.Context) (string, error) {
	f, err := h.History.follow(c.Request().Context(), Filter{}, nil)
	if err != nil {
		return "", err
	}
	return h.cursors.hide(ofStream, f.at.String())
}

// ReplayFound says the message that the path names again, and returns the new one's id.
func (h *Handlers) ReplayFound(c echo.Context) (string, error) {
	old, err := h.Find(c)
	if err != nil {
		return "", err
	}
	return h.History.Replay(c.Request().Context(), old.ID)
}

// Find reads the message that the path names. One that the caller is not allowed looks like one that
// is not there.
func (h *Handlers) Find(c echo.Context) (Stored, error) {
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
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		s := c.QueryParam(name)
		if s == "" {
			continue
		}
		if *into, err = time.Parse(time.RFC3339, s); err != nil {
			return Query{}, invalid.Field(name, "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
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
	f.Pattern, f.Account, f.Person, f.Door = pattern, account, c.QueryParam("person"), c.QueryParam("door")
	for name, value := range map[string]string{"person": f.Person, "door": f.Door} {
		if len(value) > 256 {
			return Filter{}, invalid.Field(name, "must be at most 256 bytes")
		}
	}
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
