package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"gatehouse/sharing"
)

// askDoor reads the door and a page of its users.
func (d *Dashboard) askDoor(c echo.Context, page *doorPage) error {
	door, err := d.Identities.FindDoor(c)
	if err != nil {
		return err
	}
	page.Door = &door
	users, next, err := d.Identities.DoorUsersPage(c)
	if errors.Is(err, sharing.ErrNotDoorAdmin) {
		page.NotAdmin = true
		return nil
	}
	now := d.Now()
	for _, u := range users {
		page.Users = append(page.Users, doorUser{
			DoorUser: u, Self: strings.EqualFold(string(u.User), page.Identity.User),
			Over: !u.End.IsZero() && !u.End.After(now), Ahead: u.Start.After(now),
		})
	}
	slices.SortFunc(page.Users, func(a, b doorUser) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Who()), strings.ToLower(b.Who())), strings.Compare(string(a.User), string(b.User)))
	})
	page.Next = next
	return err
}

// doorSummary is the door in a few words, for the forms about it; with ?user= those whom a revoke is for.
func (d *Dashboard) doorSummary(c echo.Context) error {
	page, err := d.doorPage(c)
	if err != nil {
		return err
	}
	page.Live, page.Revoke = c.Request().URL.RequestURI(), c.QueryParams()["user"]
	err = asking(c, func() (err error) {
		if len(page.Revoke) > 0 {
			return d.askDoor(c, &page)
		}
		door, err := d.Identities.FindDoor(c)
		page.Door = &door
		return err
	})
	if err != nil {
		page.Door = nil
		return d.again(c, err, "door", "summary", "", page)
	}
	page.Users = slices.DeleteFunc(page.Users, func(u doorUser) bool { return !slices.Contains(page.Revoke, string(u.User)) })
	return d.part(c, "door", "summary", page)
}

// confirmRevokeAccess is GET /doors/:name/:lock/revoke.
func (d *Dashboard) confirmRevokeAccess(c echo.Context) error {
	page, err := d.revokePage(c, c.QueryParams()["user"])
	if err != nil {
		return err
	}
	if len(page.Revoke) == 0 {
		return said303(c, page.Path(), "nobody-chosen")
	}
	return d.show(c, "revoke", "Take access away", page)
}

// revokeAccess is POST /doors/:name/:lock/revoke.
func (d *Dashboard) revokeAccess(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	page, err := d.revokePage(c, form["user"])
	if err != nil {
		return err
	}
	q := operation{ID: form.Get("id"), Type: sharing.Revoke, Lock: page.Lock, ValidFor: waitUsual}
	for _, id := range page.Revoke {
		q.Invitees = append(q.Invitees, invitee{Named: sharing.Named{User: id}})
	}
	return d.submit(c, page, q, func(err error) error { return d.again(c, err, "revoke", "base", "Take access away", page) })
}

func (d *Dashboard) revokePage(c echo.Context, users []string) (doorPage, error) {
	page, err := d.doorPage(c)
	if err != nil {
		return page, err
	}
	page.Revoke = slices.Compact(slices.Sorted(slices.Values(users)))
	page.Live = page.Path() + "/summary?" + url.Values{"limit": {peopleAtOnce}, "user": page.Revoke}.Encode()
	return page, nil
}

// confirmUnlock is GET /doors/:name/:lock/unlock.
func (d *Dashboard) confirmUnlock(c echo.Context) error {
	page, err := d.doorPage(c)
	if err != nil {
		return err
	}
	page.Live = page.Path() + "/summary"
	return d.show(c, "unlock", "Open the door", page)
}

// unlock is POST /doors/:name/:lock/unlock.
func (d *Dashboard) unlock(c echo.Context) error {
	page, err := d.doorPage(c)
	if err != nil {
		return err
	}
	page.Live = page.Path() + "/summary"
	q := operation{ID: c.FormValue("id"), Type: sharing.Unlock, Lock: page.Lock}
	return d.submit(c, page, q, func(err error) error { return d.again(c, err, "unlock", "base", "Open the door", page) })
}

// operation is one as programs ask for it.
type operation struct {
	ID       string    `json:"id,omitempty"`
	Type     string    `json:"type"`
	Lock     string    `json:"lock"`
	Invitees []invitee `json:"invitees,omitempty"`
	Role     string    `json:"role,omitempty"`
	Start    string    `json:"start,omitempty"`
	End      string    `json:"end,omitempty"`
	ValidFor string    `json:"valid_for,omitempty"`
}

// invitee is one of an operation's people.
type invitee struct {
	sharing.Named
	Provision bool `json:"provision,omitempty"`
}

// submit asks for an operation and leads to where its progress is seen.
func (d *Dashboard) submit(c echo.Context, page doorPage, q operation, again func(error) error) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	stored, err := d.Operations.SubmitFor(c, body)
	if errors.Is(err, sharing.ErrForbidden) || errors.Is(err, sharing.ErrNoIdentity) {
		return err
	}
	if err != nil {
		return again(err)
	}
	return c.Redirect(http.StatusSeeOther, page.Path()+"/operations/"+stored.Operation)
}

// operationID is a new id for a form.
func operationID() string { return "dashboard-" + uuid.NewString() }
