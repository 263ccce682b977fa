package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/sharing"
	"gatehouse/web"
)

func (d *Dashboard) doorPages() []page {
	const door = "/doors/:name/:lock"
	// Who may only make administrators shares, too.
	sharing := func(p web.Page) web.Page { p.Or = "operations:admin"; return p }
	return []page{
		{get("/doors", "operations:read", d.doors), "Doors"},
		{get("/doors/:name", "operations:read", d.doorList), ""},
		{get("/doors/:name/live", "operations:read", d.doorListLive), ""},
		{get(door, "operations:read", d.door), ""},
		{get(door+"/live", "operations:read", d.doorLive), ""},
		{get(door+"/summary", "operations:read", d.doorSummary), ""},
		{sharing(get(door+"/share", "operations:write", d.shareFormPage)), ""},
		{sharing(post(door+"/share", "operations:write", d.share)), ""},
		{post(door+"/people", "operations:read", d.people), ""},
		{get(door+"/revoke", "operations:write", d.confirmRevokeAccess), ""},
		{post(door+"/revoke", "operations:write", d.revokeAccess), ""},
		{get(door+"/unlock", "operations:unlock", d.confirmUnlock), ""},
		{post(door+"/unlock", "operations:unlock", d.unlock), ""},
		{get(door+"/operations/:operation", "operations:read", d.progress), ""},
		{part(door+"/operations/:operation/live", "operations:read", d.progressLive), ""},
	}
}

// patience is how long Doordeck may take to answer for a page. It is shown before that: what comes from Doordeck is a
// part that the page asks for when it is there.
const patience = 12 * time.Second

// asking calls a handler that asks Doordeck.
func asking(c echo.Context, ask func() error) error {
	r := c.Request()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	defer c.SetRequest(r) // an error is answered with the request's own context
	c.SetRequest(r.WithContext(ctx))
	return ask()
}

type doorsPage struct {
	Items []identity
	Next  string
	First bool
	// Names are those that a key is held to which may not look at identities. Without them one has to be typed.
	Names []string
	Typed bool
}

// doors is GET /doors: whose doors?
func (d *Dashboard) doors(c echo.Context) error {
	if name := strings.TrimSpace(c.QueryParam("identity")); name != "" {
		return c.Redirect(http.StatusSeeOther, doorsPath(name))
	}
	page := doorsPage{First: c.QueryParam("after") == ""}
	caller, _ := web.CallerFrom(c.Request().Context())
	if !caller.May("identities:read") {
		page.Names, page.Typed = caller.Identities, caller.Identities == nil
		return d.show(c, "doors", "Doors", page)
	}
	found, next, err := d.Identities.Page(c)
	if err != nil {
		return err
	}
	if len(found) == 1 && next == "" && page.First {
		return c.Redirect(http.StatusSeeOther, doorsPath(found[0].Name))
	}
	page.Next = next
	for _, i := range found {
		page.Items = append(page.Items, d.identityOf(i))
	}
	return d.show(c, "doors", "Doors", page)
}

type doorListPage struct {
	Identity identity
	Items    []sharing.Door
	Next     string
	First    bool
	Search   string
	// Live is where the doors come from, and Asked tells that Doordeck was asked for this very page.
	Live  string
	Asked bool
}

// fewDoors are so many that nobody needs to search them.
const fewDoors = 8

// Many tells whether there is something to search.
func (p doorListPage) Many() bool {
	return p.Search != "" || !p.First || p.Next != "" || len(p.Items) > fewDoors
}

// doorList is GET /doors/:name.
func (d *Dashboard) doorList(c echo.Context) error {
	page, err := d.doorListPage(c)
	if err != nil {
		return err
	}
	return d.show(c, "doorlist", "Doors of "+page.Identity.Name, page)
}

// doorListLive is what Doordeck says of them.
func (d *Dashboard) doorListLive(c echo.Context) error {
	page, err := d.doorListPage(c)
	if err != nil {
		return err
	}
	page.Asked = true
	title, piece := "Doors of "+page.Identity.Name, piece(c, "live") // without a script it is looked at as a page
	err = asking(c, func() (err error) {
		page.Items, page.Next, err = d.Identities.DoorsPage(c)
		return err
	})
	if err != nil {
		return d.again(c, err, "doorlist", piece, title, page)
	}
	return d.render(c, http.StatusOK, "doorlist", piece, title, page)
}

func (d *Dashboard) doorListPage(c echo.Context) (doorListPage, error) {
	found, err := d.Identities.Find(c)
	if err != nil {
		return doorListPage{}, err
	}
	page := doorListPage{Identity: d.identityOf(found), Search: strings.TrimSpace(c.QueryParam("search")), First: c.QueryParam("after") == ""}
	page.Live = doorsPath(found.Name) + "/live?" + url.Values{"search": {page.Search}, "after": {c.QueryParam("after")}}.Encode()
	return page, nil
}

// doorPage is a door, and what is asked for there.
type doorPage struct {
	Identity identity
	Lock     string
	// Known is the door's name, "" where it is not known without asking Doordeck.
	Known string
	// Door and Users are nil until Doordeck has said them.
	Door  *sharing.Door
	Users []doorUser
	// Next is the cursor of more users. NotAdmin tells that the identity may not see them.
	Next     string
	First    bool
	NotAdmin bool
	// Live is where what Doordeck says comes from, and Asked tells that it was asked for this very page.
	Live  string
	Asked bool
	Share *shareForm
	// Revoke are the users whose access is about to end.
	Revoke []string
	// ID makes an operation one that is done once, however often the form is sent.
	ID string
}

// Path is where the door is.
func (p doorPage) Path() string { return doorsPath(p.Identity.Name) + "/" + p.Lock }

// Name is the door's, as far as it is known.
func (p doorPage) Name() string {
	if p.Door == nil {
		return "the door"
	}
	return p.Door.Name
}

// peopleAtOnce are so many that somebody can be found among them, and no more than the list gives at a time.
const peopleAtOnce = "500"

// doorUser is somebody who has a door.
type doorUser struct {
	sharing.DoorUser
	// Self tells that it is the identity itself, Over that the time is, and Ahead that it is still to come.
	Self, Over, Ahead bool
}

// Who is the best name that there is.
func (u doorUser) Who() string {
	for _, name := range []string{u.DisplayName, u.Email} {
		if name != "" {
			return name
		}
	}
	return string(u.User)
}

// door is GET /doors/:name/:lock.
func (d *Dashboard) door(c echo.Context) error {
	page, err := d.doorPage(c)
	if err != nil {
		return err
	}
	page.Live = page.Path() + "/live?" + url.Values{"limit": {peopleAtOnce}, "after": {c.QueryParam("after")}}.Encode()
	return d.show(c, "door", cmp.Or(page.Known, "Door"), page)
}

// doorLive is what Doordeck says of it, and of who has it.
func (d *Dashboard) doorLive(c echo.Context) error {
	page, err := d.doorPage(c)
	if err != nil {
		return err
	}
	page.Live, page.Asked = c.Request().URL.RequestURI(), true
	title, piece := cmp.Or(page.Known, "Door"), piece(c, "live") // without a script it is looked at as a page
	if err := asking(c, func() error { return d.askDoor(c, &page) }); err != nil {
		return d.again(c, err, "door", piece, title, page)
	}
	return d.render(c, http.StatusOK, "door", piece, title, page)
}

func (d *Dashboard) doorPage(c echo.Context) (doorPage, error) {
	found, lock, err := d.Identities.At(c)
	if err != nil {
		return doorPage{}, err
	}
	known := d.Identities.Of.DoorName(c.Request().Context(), found.Name, lock)
	return doorPage{Identity: d.identityOf(found), Lock: lock, Known: known, First: c.QueryParam("after") == "", ID: operationID()}, nil
}

func doorsPath(identity string) string { return "/doors/" + url.PathEscape(identity) }
