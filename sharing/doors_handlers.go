package sharing

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

// maxDoors is smaller than other pages: each door is asked for by itself.
const maxDoors = 200

// Doors is GET /v1/identities/:name/doors.
func (h *IdentityHandlers) Doors(c echo.Context) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxDoors)
	if err != nil {
		return err
	}
	page, next, err := h.Of.Doors(c.Request().Context(), name, c.QueryParam("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Door]{page, next})
}

// Door is GET /v1/identities/:name/doors/:lock.
func (h *IdentityHandlers) Door(c echo.Context) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	door, err := h.Of.Door(c.Request().Context(), name, doordeck.LockID(c.Param("lock")))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, door)
}

// DoorUsers is GET /v1/identities/:name/doors/:lock/users.
func (h *IdentityHandlers) DoorUsers(c echo.Context) error {
	name, err := h.identity(c)
	if err != nil {
		return err
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return err
	}
	page, next, err := h.Of.DoorUsers(c.Request().Context(), name, doordeck.LockID(c.Param("lock")), c.QueryParam("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[DoorUser]{page, next})
}
