package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/sharing"
	"gatehouse/wording"
)

// waitUsual is how long a door that is away is waited for, unless somebody chooses otherwise.
const waitUsual = "24h"

// shareForm is a share as a person fills it in.
type shareForm struct {
	People, Role, Start, End, Wait string
	// Provision makes people known to Doordeck whom it does not know.
	Forever, Provision bool
	// Lines are what has been found out about the people, line by line.
	Lines []invited
}

// invited is a person on a line of a form.
type invited struct {
	N     int
	Text  string
	Named sharing.Named
	// Tone and Note say how it stands.
	Tone, Note string
}

// Waits are the times for which a door can be waited for, with what they mean.
func (shareForm) Waits() [][2]string {
	return [][2]string{{"", "do not wait: give up after a minute"}, {"1h", "wait for an hour"}, {waitUsual, "wait for a day"}, {"168h", "wait for a week"}, {"336h", "wait for two weeks"}}
}

// readLines reads the form's people, one a line. Who is named twice counts once.
func (f *shareForm) readLines() (people []sharing.Named, wrong int) {
	read, first := sharing.ReadNamed, map[sharing.Named]bool{}
	if f.Provision {
		read = sharing.ReadNewcomer
	}
	for n, said := range strings.Split(f.People, "\n") {
		if said = strings.TrimSpace(said); said == "" {
			continue
		}
		l := invited{N: n + 1, Text: said, Tone: "good"}
		var err error
		switch l.Named, err = read(said); {
		case err != nil:
			l.Tone, l.Note = "bad", wording.Capital(err.Error())
			wrong++
		case first[l.Named]:
			l.Tone, l.Note = "idle", "Named before; counts once"
		default:
			first[l.Named] = true
			people = append(people, l.Named)
		}
		f.Lines = append(f.Lines, l)
	}
	return people, wrong
}

// shareFormPage is GET /doors/:name/:lock/share.
func (d *Dashboard) shareFormPage(c echo.Context) error {
	page, err := d.sharePage(c)
	if err != nil {
		return err
	}
	page.Share = &shareForm{Wait: waitUsual}
	return d.show(c, "share", "Share a door", page)
}

func (d *Dashboard) sharePage(c echo.Context) (doorPage, error) {
	page, err := d.doorPage(c)
	page.Live = page.Path() + "/summary"
	return page, err
}

// share is POST /doors/:name/:lock/share.
func (d *Dashboard) share(c echo.Context) error {
	page, err := d.sharePage(c)
	if err != nil {
		return err
	}
	form := &shareForm{
		People: c.FormValue("people"), Role: c.FormValue("role"), Start: c.FormValue("start"), End: c.FormValue("end"),
		Wait: c.FormValue("wait"), Forever: c.FormValue("forever") == "yes", Provision: c.FormValue("provision") == "yes",
	}
	page.Share = form
	q := operation{ID: cmp.Or(c.FormValue("id"), page.ID), Type: sharing.Share, Lock: page.Lock, Role: form.Role, Start: form.Start, End: form.End, ValidFor: form.Wait}
	again := func(err error) error {
		if !errors.Is(err, sharing.ErrOtherOperation) { // the id that the page comes with is a new one
			page.ID = q.ID
		}
		return d.again(c, err, "share", "base", "Share a door", page)
	}
	people, wrong := form.readLines()
	for _, p := range people {
		q.Invitees = append(q.Invitees, invitee{p, form.Provision})
	}
	switch {
	case len(form.Lines) == 0:
		return again(invalid.Field("people", "must name somebody, one person a line"))
	case wrong > 0:
		return again(invalid.Field("people", "must be put right: %d of %d lines cannot be taken as they are", wrong, len(form.Lines)))
	case len(q.Invitees) > sharing.MaxInvitees:
		return again(invalid.Field("people", "must be %d at most; share with the others after that", sharing.MaxInvitees))
	case form.Forever:
		q.End = ""
	case form.End == "":
		return again(invalid.Field("end", "must be given, unless the access is to have no end"))
	}
	return d.submit(c, page, q, again)
}

// people is POST /doors/:name/:lock/people: what is to be said of each line, also by Doordeck's directory.
func (d *Dashboard) people(c echo.Context) error {
	page, err := d.sharePage(c)
	if err != nil {
		return err
	}
	form := &shareForm{People: c.FormValue("people"), Provision: c.FormValue("provision") == "yes"}
	page.Share = form
	named, _ := form.readLines()
	if len(named) == 0 || len(named) > sharing.MaxInvitees {
		return d.part(c, "share", "lines", page)
	}
	asked := slices.Clone(named)
	if form.Provision { // known is who is known by what the application calls them
		for n := range asked {
			asked[n] = sharing.Named{ForeignKey: named[n].ForeignKey}
		}
	}
	body, err := json.Marshal(map[string][]sharing.Named{"invitees": asked})
	if err != nil {
		return err
	}
	var found []sharing.Found
	if err := asking(c, func() (err error) { found, err = d.Operations.LookupFor(c, body); return err }); err != nil {
		d.Log.DebugContext(c.Request().Context(), "looking people up for the dashboard", "error", err)
		return d.part(c, "share", "lines", page) // they are looked up once more when it is done
	}
	known := map[sharing.Named]sharing.Found{}
	for n, f := range found {
		known[named[n]] = f
	}
	for n := range form.Lines {
		l := &form.Lines[n]
		switch f, looked := known[l.Named]; {
		case l.Tone != "good" || !looked:
		case f.User != "":
			l.Note = "Doordeck knows them"
		case form.Provision && f.Error == "not_in_directory":
			l.Note = "Will be made known to Doordeck"
		default:
			l.Tone, l.Note = "warn", reasonOf(f.Error)
		}
	}
	return d.part(c, "share", "lines", page)
}
