package sharing

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// OperationHandlers are the routes about operations. They return errors of this package and *invalid.Error; the
// server chooses the statuses.
type OperationHandlers struct {
	// Of is nil where Doordeck is not configured: then every route answers ErrOff.
	Of *Operations
	// Authority is what a request's key may ask for.
	Authority func(context.Context) Authority
}

const (
	// maxWait is how long a request may wait for an outcome.
	maxWait = 60 * time.Second
	// maxOperations is smaller than other pages: each operation may name hundreds of people.
	maxOperations = 200
)

// Submit is POST /v1/identities/:name/operations.
func (h *OperationHandlers) Submit(c echo.Context) error {
	if h.Of == nil {
		return ErrOff
	}
	received, r := time.Now(), c.Request()
	wait, err := preferredWait(r.Header)
	if err != nil {
		return err
	}
	id, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	a, err := h.submit(c, Request{ID: id, Body: body, Received: received})
	if err != nil {
		return err
	}
	header := c.Response().Header()
	if header.Set(echo.HeaderLocation, "/v1/operations/"+a.Operation); wait > 0 {
		header.Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(wait + 15*time.Second))
		if a, err = h.Of.Wait(r.Context(), a.Operation, wait); err != nil {
			return err
		}
	}
	if a.Status.Final() {
		return c.JSON(http.StatusOK, a)
	}
	return c.JSON(http.StatusAccepted, a)
}

// SubmitFor stores an operation of the identity that the path names, as far as the caller of the request may ask for it.
func (h *OperationHandlers) SubmitFor(c echo.Context, body []byte) (Answer, error) {
	if h.Of == nil {
		return Answer{}, ErrOff
	}
	return h.submit(c, Request{Body: body})
}

func (h *OperationHandlers) submit(c echo.Context, r Request) (Answer, error) {
	ctx := c.Request().Context()
	r.Identity = c.Param("name")
	return h.Of.Submit(ctx, h.Authority(ctx), r)
}

// preferredWait reads the preference wait of Prefer (RFC 7240). Others are none of ours, and ignored.
func preferredWait(header http.Header) (time.Duration, error) {
	for preference := range strings.SplitSeq(strings.Join(header.Values("Prefer"), ","), ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
		if err != nil || seconds < 0 {
			return 0, invalid.Field("Prefer", "must be wait=N, with N seconds, of which %d are the most", int(maxWait.Seconds()))
		}
		return time.Duration(min(seconds, int(maxWait.Seconds()))) * time.Second, nil
	}
	return 0, nil
}

// idempotencyKey reads Idempotency-Key, which is taken for the caller's id, with or without the quotes of a
// structured field.
func idempotencyKey(header http.Header) (string, error) {
	values := header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if len(values) > 1 || key == "" {
		return "", invalid.Field("Idempotency-Key", "must be one id, or be left out")
	}
	return key, nil
}

// List is GET /v1/operations.
func (h *OperationHandlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Answer]{page, next})
}

// Page returns the operations that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *OperationHandlers) Page(c echo.Context) ([]Answer, string, error) {
	if h.Of == nil {
		return nil, "", ErrOff
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxOperations)
	if err != nil {
		return nil, "", err
	}
	q := OperationQuery{
		ID: c.QueryParam("id"), Identity: c.QueryParam("identity"), Lock: c.QueryParam("lock"), Caller: c.QueryParam("caller"),
		Status: Status(c.QueryParam("status")), Type: c.QueryParam("type"),
		Identities: h.Authority(c.Request().Context()).Identities, After: c.QueryParam("after"), Limit: limit,
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := c.QueryParam(name); s != "" {
			if *into, err = time.Parse(time.RFC3339, s); err != nil {
				return nil, "", invalid.Field(name, "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
			}
		}
	}
	return h.Of.List(c.Request().Context(), q)
}

// Get is GET /v1/operations/:operation.
func (h *OperationHandlers) Get(c echo.Context) error {
	a, err := h.Find(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a)
}

// Find reads the operation that the path names.
func (h *OperationHandlers) Find(c echo.Context) (Answer, error) {
	if h.Of == nil {
		return Answer{}, ErrOff
	}
	ctx := c.Request().Context()
	return h.Of.Get(ctx, c.Param("operation"), h.Authority(ctx).Identities)
}

// Lookup is POST /v1/identities/:name/lookup.
func (h *OperationHandlers) Lookup(c echo.Context) error {
	if h.Of == nil {
		return ErrOff
	}
	if !h.Authority(c.Request().Context()).covers(c.Param("name")) {
		return ErrNoIdentity
	}
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	found, err := h.LookupFor(c, body)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Found]{Items: found})
}

// LookupFor finds people as the identity that the path names, for the caller of the request.
func (h *OperationHandlers) LookupFor(c echo.Context, body []byte) ([]Found, error) {
	ctx, name := c.Request().Context(), c.Param("name")
	switch {
	case h.Of == nil:
		return nil, ErrOff
	case !h.Authority(ctx).covers(name):
		return nil, ErrNoIdentity
	}
	return h.Of.Lookup(ctx, name, body)
}
