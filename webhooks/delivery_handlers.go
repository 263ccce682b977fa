package webhooks

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

const (
	usualDeliveries = 50
	mostDeliveries  = 200
	maxReplayBody   = 64 << 10
)

// DeliveryHandlers are the routes about deliveries. They return errors of this package and *invalid.Error; the server
// chooses the statuses.
type DeliveryHandlers struct {
	Deliveries *Deliveries
	// Accounts and Identities return what the caller is held to, nil for all.
	Accounts, Identities func(echo.Context) []string
}

func (h *DeliveryHandlers) limits(c echo.Context) Limits {
	return Limits{Accounts: h.Accounts(c), Identities: h.Identities(c)}
}

// List is GET /v1/endpoints/:id/deliveries.
func (h *DeliveryHandlers) List(c echo.Context) error {
	limit, err := invalid.Limit(c.QueryParam("limit"), usualDeliveries, mostDeliveries)
	if err != nil {
		return err
	}
	page, next, err := h.Page(c, c.QueryParam("status"), c.QueryParam("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Delivery `json:"items"`
		Next  string     `json:"next,omitempty"`
	}{page, next})
}

// Page returns deliveries to the endpoint that the path names, and the cursor of the next page.
func (h *DeliveryHandlers) Page(c echo.Context, status, after string, limit int) ([]Delivery, string, error) {
	return h.Deliveries.List(c.Request().Context(), c.Param("id"), status, after, limit, h.limits(c))
}

// Of returns the deliveries of a message, to the endpoints that the caller of a request may see.
func (h *DeliveryHandlers) Of(c echo.Context, message string) ([]DeliveryTo, error) {
	return h.Deliveries.OfMessage(c.Request().Context(), message, h.limits(c))
}

// Get is GET /v1/deliveries/:id.
func (h *DeliveryHandlers) Get(c echo.Context) error {
	one, err := h.Find(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, one)
}

// Find returns the delivery that the path names.
func (h *DeliveryHandlers) Find(c echo.Context) (Delivery, error) {
	return h.Deliveries.Get(c.Request().Context(), c.Param("id"), h.limits(c))
}

// Retry is POST /v1/deliveries/:id/retry.
func (h *DeliveryHandlers) Retry(c echo.Context) error {
	one, err := h.RetryOne(c, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, one)
}

// Parked returns ids of what was given up for the endpoint that the path names, and the cursor of the next ones.
func (h *DeliveryHandlers) Parked(c echo.Context, after string, limit int) (ids []string, next string, err error) {
	return h.Deliveries.Parked(c.Request().Context(), c.Param("id"), after, limit, h.limits(c))
}

// RetryOne has a delivery sent again.
func (h *DeliveryHandlers) RetryOne(c echo.Context, id string) (Delivery, error) {
	return h.Deliveries.Retry(c.Request().Context(), id, h.limits(c))
}

// ReplayFields ask for a replay, as they are sent: times are RFC 3339, "" where they are absent.
type ReplayFields struct {
	Since    string   `json:"since"`
	Until    string   `json:"until"`
	Subjects []string `json:"subjects"`
	After    string   `json:"after"`
}

// Replay is POST /v1/endpoints/:id/replay.
func (h *DeliveryHandlers) Replay(c echo.Context) error {
	var f ReplayFields
	if err := invalid.Body(c.Response(), c.Request(), maxReplayBody, &f); err != nil {
		return err
	}
	done, err := h.ReplayFor(c, f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, done)
}

// ReplayFor has the endpoint that the path names get again what is asked for, or a part of it.
func (h *DeliveryHandlers) ReplayFor(c echo.Context, f ReplayFields) (Replayed, error) {
	q := ReplayRequest{Subjects: f.Subjects, After: f.After}
	var err error
	if q.Since, err = timeField("since", f.Since); err != nil {
		return Replayed{}, err
	}
	if q.Until, err = timeField("until", f.Until); err != nil {
		return Replayed{}, err
	}
	return h.Deliveries.Replay(c.Request().Context(), c.Param("id"), q, h.limits(c))
}

// timeField reads a time that may be absent.
func timeField(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, invalid.Field(name, "must be a time such as 2026-01-01T00:00:00Z (RFC 3339)")
	}
	return t, nil
}
