package dashboard

import (
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/web"
	"gatehouse/wording"
)

// row is a message as a list shows it.
type row struct {
	ID, Subject, Account string
	At                   time.Time // committed
	// Happened is what the message says of its time.
	Happened time.Time
	// Title is the message in words, and Kind what its subject begins with.
	Title, Kind, Tone string
	// Identity is whose it is, of an operation or identity.
	Identity string
	events.About
}

func (d *Dashboard) rows(c echo.Context, stored []events.Stored) []row {
	all := make([]row, len(stored))
	for i, s := range stored {
		all[i] = d.row(c, s)
	}
	return all
}

// row is a message with what else is known: the name of an operation's door, for those who may look at doors.
func (d *Dashboard) row(c echo.Context, s events.Stored) row {
	r := newRow(s)
	caller, _ := web.CallerFrom(c.Request().Context())
	if r.Kind == "operation" && r.DoorName == "" && d.Identities.Of != nil && caller.May("operations:read") {
		r.DoorName = d.Identities.Of.DoorName(c.Request().Context(), r.Identity, r.DoorID)
	}
	return r
}

func newRow(s events.Stored) row {
	said := events.Read(s.Body)
	r := row{ID: s.ID, Subject: s.Subject, Account: s.Account, At: s.CommittedAt, Happened: said.Time, About: events.ReadAbout(s.Body)}
	in := wording.Read(s.Subject)
	r.Kind, r.Title, r.Tone = in.Kind, in.Title(said.Data), string(in.Tone())
	if r.Kind == "operation" || r.Kind == "identity" {
		r.Identity = in.Whose
	}
	return r
}
