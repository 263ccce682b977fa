package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/sharing"
	"gatehouse/web"
	"gatehouse/wording"
)

// operationRow is an operation as pages show it.
type operationRow struct {
	sharing.Answer
	// Title is what was asked, in words, and Why what keeps it or kept it from being done.
	Title, Why string
	// Door is the lock's name, "" where it is not known without asking Doordeck.
	Door string
}

func (d *Dashboard) operationRow(ctx context.Context, a sharing.Answer) operationRow {
	r := operationRow{Answer: a, Title: wording.Capital(a.Type), Why: whyOf(a.Error)}
	if d.Identities.Of != nil {
		r.Door = d.Identities.Of.DoorName(ctx, a.Identity, a.Lock)
	}
	to := map[string]string{sharing.Share: " with ", sharing.Revoke: " from "}[a.Type]
	switch n := len(a.Results); n {
	case 0:
	case 1:
		r.Title += to + person(a.Results[0].Invitee)
	default:
		r.Title += fmt.Sprintf("%s%d people", to, n)
	}
	return r
}

// whyOf is an error of an operation in words, "" for none.
func whyOf(word string) string {
	if word == "" {
		return ""
	}
	return reasonOf(word)
}

// person is how somebody was named, without the name of the field.
func person(n sharing.Named) string {
	for _, s := range []string{n.Email, n.Telephone, n.ForeignKey, n.User} {
		if s != "" {
			return s
		}
	}
	return "somebody with an identity token"
}

type operationsPage struct {
	Items    []operationRow
	Query    url.Values
	Next     string
	First    bool
	Statuses []sharing.Status
}

// operationFilters are the query parameters that narrow operations down.
var operationFilters = []string{"status", "type", "identity", "lock", "caller", "id", "since", "until"}

var operationStatuses = []sharing.Status{
	sharing.Accepted, sharing.Running, sharing.Queued, sharing.Applied, sharing.Confirmed, sharing.Partial, sharing.Failed, sharing.Expired,
	sharing.Cancelled, sharing.Unknown,
}

// Filtered tells whether something narrows the list down.
func (p operationsPage) Filtered() bool { return len(p.Query) > 0 }

// operations is GET /operations.
func (d *Dashboard) operations(c echo.Context) error {
	found, next, err := d.Operations.Page(c)
	if err != nil {
		return err
	}
	page := operationsPage{Query: kept(c, operationFilters), First: c.QueryParam("after") == "", Statuses: operationStatuses}
	for _, a := range found {
		page.Items = append(page.Items, d.operationRow(c.Request().Context(), a))
	}
	if next != "" {
		further := url.Values{"after": {next}}
		maps.Copy(further, page.Query)
		page.Next = "/operations?" + further.Encode()
	}
	return d.show(c, "operations", "Operations", page)
}

// kept are the parameters of a request's query that are set.
func kept(c echo.Context, names []string) url.Values {
	q := url.Values{}
	for _, name := range names {
		if v := c.QueryParam(name); v != "" {
			q.Set(name, v)
		}
	}
	return q
}

type operationPage struct {
	operationRow
	People []operationPerson
	// Steps are those of the operation as a whole; none without the scope messages:read, which the messages take.
	Steps []step
	// Live tells that there is something to wait for.
	Live bool
}

// operationPerson is one of an operation's people, and what has become of them so far.
type operationPerson struct {
	sharing.Result
	Name, Why string
	Steps     []step
}

// step is a status that was reached, and when.
type step struct {
	Status sharing.Status
	At     time.Time
}

// operation is GET /operations/:operation, and operationLive the part of it that changes.
func (d *Dashboard) operation(c echo.Context) error {
	page, err := d.readOperation(c)
	if err != nil {
		return err
	}
	return d.show(c, "operation", page.Title, page)
}

func (d *Dashboard) operationLive(c echo.Context) error {
	page, err := d.readOperation(c)
	if err != nil {
		return err
	}
	return d.part(c, "operation", "live", page)
}

func (d *Dashboard) readOperation(c echo.Context) (operationPage, error) {
	a, err := d.Operations.Find(c)
	if err != nil {
		return operationPage{}, err
	}
	page := operationPage{operationRow: d.operationRow(c.Request().Context(), a), Live: !a.Status.Final()}
	for _, r := range a.Results {
		page.People = append(page.People, operationPerson{Result: r, Name: person(r.Invitee), Why: whyOf(r.Error)})
	}
	if caller, _ := web.CallerFrom(c.Request().Context()); !caller.May("messages:read") {
		return page, nil
	}
	until := d.Now()
	if !a.FinishedAt.IsZero() {
		until = a.FinishedAt.Add(time.Minute) // the last message is stored with the outcome, or soon after
	}
	said, err := d.Messages.Story(c, events.Subject("operation", a.Identity), "operations/"+a.Operation, a.ReceivedAt, until)
	if err != nil {
		return operationPage{}, err
	}
	page.tell(said)
	return page, nil
}

// tell adds what messages reported, oldest first, to what was asked.
func (p *operationPage) tell(said []events.Stored) {
	asked := step{sharing.Accepted, p.ReceivedAt}
	p.Steps = []step{asked}
	for i := range p.People {
		p.People[i].Steps = []step{asked}
	}
	for _, s := range said {
		m := events.Read(s.Body)
		var a sharing.Answer
		if json.Unmarshal(m.Data, &a) != nil || a.Status == "" {
			continue // an answer too large for a message: only a stub was said
		}
		p.Steps = reached(p.Steps, step{a.Status, m.Time})
		for i := range min(len(a.Results), len(p.People)) {
			p.People[i].Steps = reached(p.People[i].Steps, step{a.Results[i].Status, m.Time})
		}
	}
}

// reached adds a step that differs from the last one.
func reached(steps []step, next step) []step {
	if n := len(steps); n > 0 && steps[n-1].Status == next.Status {
		return steps
	}
	return append(steps, next)
}
