package keys

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// Handlers are the routes below /v1/keys. They return errors of this package and *invalid.Error; the server
// chooses the statuses.
type Handlers struct{ Ring *Ring }

// Status is GET /v1/keys.
func (h *Handlers) Status(c echo.Context) error {
	s, err := h.Ring.Status(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s)
}

// Rotate is POST /v1/keys/rotate. While a rotation is under way it answers with that one.
func (h *Handlers) Rotate(c echo.Context) error {
	var in struct {
		DropOld bool `json:"drop_old"`
	}
	if err := decode(c.Request().Body, &in); err != nil {
		return err
	}
	s, err := h.Ring.Rotate(c.Request().Context(), in.DropOld)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, s)
}

// Drop is POST /v1/keys/drop.
func (h *Handlers) Drop(c echo.Context) error {
	s, err := h.Ring.Drop(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, s)
}

// decode reads a JSON object that may be absent.
func decode(body io.Reader, into any) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	return invalid.Field("body", "must be a JSON object with no more than: drop_old")
}
