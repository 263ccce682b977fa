package dashboard

import (
	"bytes"
	"html/template"
	"maps"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/web"
	"gatehouse/webhooks"
)

// lookAt is how many rows one request looks at for a filter that lets few pass. The page goes on by itself until it has
// something to show.
const lookAt = 2000

type messagesPage struct {
	Items []row
	Query url.Values
	// More is the address of what is further back, "" at the end, Older that of a whole page of it, and Found says whether
	// anything was found so far.
	More, Older string
	Page        events.Page
	Found       bool
	// Live is where new messages come from, "" when the filter ends before now.
	Live     string
	Filtered bool
	Subjects []subject
	Accounts []string
}

// subject is one that people often look for.
type subject struct{ Pattern, Name string }

var subjects = []subject{
	{"gatehouse.event.*.access.>", "who came, and who was refused"},
	{"gatehouse.event.*.access.granted", "access granted"},
	{"gatehouse.event.*.access.denied", "access denied"},
	{"gatehouse.event.*.door.>", "doors"},
	{"gatehouse.event.*.credential.>", "credentials"},
	{"gatehouse.notification.>", "notifications, as DoorFlow sent them"},
	{"gatehouse.connection.>", "connections"},
	{"gatehouse.operation.>", "operations"},
	{"gatehouse.identity.>", "identities"},
}

// filters are the query parameters that narrow messages down.
var filters = []string{"subject", "account", "person", "door", "since", "until"}

// messages is GET /messages.
func (d *Dashboard) messages(c echo.Context) error {
	here, err := d.Messages.Here(c) // before anything is read, so that nothing falls in between
	if err != nil {
		return err
	}
	page, err := d.readMessages(c)
	if err != nil {
		return err
	}
	page.Subjects = subjects
	if !page.Query.Has("until") {
		live := url.Values{"after": {here}}
		maps.Copy(live, page.Query)
		page.Live = "/messages/live?" + live.Encode()
	}
	caller, _ := web.CallerFrom(c.Request().Context())
	if d.Connections != nil && caller.May("connections:read") {
		known, _, err := d.Connections.Keeper.List(c.Request().Context(), "", 100, caller.Accounts)
		if err != nil {
			return err
		}
		for _, k := range known {
			page.Accounts = append(page.Accounts, k.Account)
		}
	}
	return d.show(c, "messages", "Messages", page)
}

// moreMessages is the next piece of the list.
func (d *Dashboard) moreMessages(c echo.Context) error {
	page, err := d.readMessages(c)
	if err != nil {
		return err
	}
	return d.part(c, "messages", "rows", page)
}

func (d *Dashboard) readMessages(c echo.Context) (messagesPage, error) {
	found, err := d.Messages.Page(c, lookAt)
	if err != nil {
		return messagesPage{}, err
	}
	kept := url.Values{}
	for _, name := range filters {
		if v := c.QueryParam(name); v != "" {
			kept.Set(name, v)
		}
	}
	page := messagesPage{Items: d.rows(c, found.Items), Query: kept, Page: found, Filtered: len(kept) > 0}
	page.Found = len(found.Items) > 0 || c.QueryParam("found") != ""
	if found.Next != "" {
		next := url.Values{"after": {found.Next}}
		maps.Copy(next, kept)
		if page.Found {
			next.Set("found", "yes")
		}
		page.More, page.Older = "/messages/more?"+next.Encode(), "/messages?"+next.Encode()
	}
	return page, nil
}

// liveMessages is GET /messages/live: rows as server-sent events.
func (d *Dashboard) liveMessages(c echo.Context) error {
	rowOf := d.templates["messages"]
	return d.Messages.Follow(c, func(buf *bytes.Buffer, m events.Stored) error {
		return rowOf.ExecuteTemplate(buf, "row", d.row(c, m))
	})
}

type messagePage struct {
	row
	JSON   template.HTML
	Origin string
	// ReplayOf and Flag are what the message says of itself.
	ReplayOf, Flag, Resource string
	Size                     int
	// Related are other messages about the same thing.
	Related []row
	// Deliveries are those that the caller may see.
	Deliveries []webhooks.DeliveryTo
}

// message is GET /messages/:id.
func (d *Dashboard) message(c echo.Context) error {
	found, err := d.Messages.Find(c)
	if err != nil {
		return err
	}
	related, err := d.Messages.Related(c, found)
	if err != nil {
		return err
	}
	var deliveries []webhooks.DeliveryTo
	if caller, _ := web.CallerFrom(c.Request().Context()); caller.May("endpoints:read") {
		if deliveries, err = d.Deliveries.Of(c, found.ID); err != nil {
			return err
		}
	}
	said := events.Read(found.Body)
	shown := d.row(c, found)
	return d.show(c, "message", shown.Title, messagePage{
		row: shown, JSON: colour(found.Body), Origin: said.Origin, ReplayOf: said.ReplayOf, Flag: said.Flag, Resource: said.Subject,
		Size: len(found.Body), Related: d.rows(c, related), Deliveries: deliveries,
	})
}

// replay is POST /messages/:id/replay.
func (d *Dashboard) replay(c echo.Context) error {
	id, err := d.Messages.ReplayFound(c)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/messages/"+id+"?said=replayed")
}
