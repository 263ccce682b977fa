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
	page, next, err := h.DoorsPage(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[Door]{page, next})
}

// DoorsPage returns the doors that a request asks for, and the cursor of the next page.
func (h *IdentityHandlers) DoorsPage(c echo.Context) ([]Door, string, error) {
	name, err := h.identity(c)
	if err != nil {
		return nil, "", err
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxDoors)
	if err != nil {
		return nil, "", err
	}
	return h.Of.Doors(c.Request().Context(), name, c.QueryParam("search"), c.QueryParam("after"), limit)
}

// Door is GET /v1/identities/:name/doors/:lock.
func (h *IdentityHandlers) Door(c echo.Context) error {
	door, err := h.FindDoor(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, door)
}

// FindDoor asks for the door that the path names.
func (h *IdentityHandlers) FindDoor(c echo.Context) (Door, error) {
	name, err := h.identity(c)
	if err != nil {
		return Door{}, err
	}
	return h.Of.Door(c.Request().Context(), name, doordeck.LockID(c.Param("lock")))
}

// DoorUsers is GET /v1/identities/:name/doors/:lock/users.
func (h *IdentityHandlers) DoorUsers(c echo.Context) error {
	page, next, err := h.DoorUsersPage(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[DoorUser]{page, next})
}

// DoorUsersPage returns those who have the door that the path names, and the cursor of the next page.
func (h *IdentityHandlers) DoorUsersPage(c echo.Context) ([]DoorUser, string, error) {
	name, err := h.identity(c)
	if err != nil {
		return nil, "", err
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultPage, maxPage)
	if err != nil {
		return nil, "", err
	}
	return h.Of.DoorUsers(c.Request().Context(), name, doordeck.LockID(c.Param("lock")), c.QueryParam("after"), limit)
}

// At reads the identity that the path names, and the lock, of which Doordeck is not asked whether it is there.
func (h *IdentityHandlers) At(c echo.Context) (Identity, string, error) {
	identity, err := h.Find(c)
	lock := doordeck.LockID(c.Param("lock"))
	if err == nil && !lock.Valid() {
		err = ErrNoDoor
	}
	return identity, string(lock), err
}
