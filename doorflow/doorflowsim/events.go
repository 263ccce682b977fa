package doorflowsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEvents bounds the events kept per account; the oldest are forgotten.
const maxEvents = 50_000

// eventWindow is how far back a list without since goes.
const eventWindow = 90 * 24 * time.Hour

// event finds one by its id. Ids ascend, but have gaps.
func (a *account) event(id int64) (Event, bool) {
	i, found := slices.BinarySearchFunc(a.events, id, func(e Event, id int64) int { return int(e.ID - id) })
	if !found {
		return Event{}, false
	}
	return a.events[i], true
}

// getEvent is also the acknowledgement of a webhook, if it carries the token.
func getEvent(c *call) reply {
	c.acknowledge(c.r.PathValue("id"))
	e, found := c.account.event(c.id("id"))
	if !found || c.sim.queue.destroyed(c.query.Get("ack_token")) {
		return notFound()
	}
	return ok(e)
}

// eventFilter is the query of a list.
type eventFilter struct {
	codes, channels     []int
	firstName, lastName string
	since               time.Time
	debug               bool
}

func (c *call) eventFilter() (eventFilter, *reply) {
	f := eventFilter{
		firstName: strings.ToLower(c.query.Get("first_name")), lastName: strings.ToLower(c.query.Get("last_name")),
		since: c.now.Add(-eventWindow), debug: c.query.Get("level") == "debug",
	}
	var unknown []string
	if f.codes, unknown = ints(c.query.Get("event_codes")); len(unknown) == 0 {
		for _, code := range f.codes {
			if !knownCode(code) {
				unknown = append(unknown, strconv.Itoa(code))
			}
		}
	}
	if len(f.codes) > 0 && c.sim.faults.refusesCodes() {
		unknown = []string{strconv.Itoa(f.codes[0])}
	}
	if len(unknown) > 0 {
		return f, new(fail(400, "bad_request", "Unknown event codes: "+strings.Join(unknown, ", ")))
	}
	channels := c.query.Get("channels")
	if channels == "" {
		channels = c.query.Get("door_controllers")
	}
	if f.channels, unknown = ints(channels); len(unknown) > 0 {
		return f, new(fail(400, "bad_request", "Not channel ids: "+strings.Join(unknown, ", ")))
	}
	since, has, valid := c.since()
	if !valid {
		return f, new(fail(400, "bad_request", "since could not be parsed"))
	}
	if has {
		f.since = since
	}
	return f, nil
}

// ints splits a comma separated list into numbers and the rest.
func ints(list string) (numbers []int, rest []string) {
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if n, err := strconv.Atoi(item); err == nil {
			numbers = append(numbers, n)
		} else {
			rest = append(rest, item)
		}
	}
	return numbers, rest
}

func (f eventFilter) matches(e Event, p *Person) bool {
	switch {
	case e.CreatedAt.Before(f.since):
		return false
	case len(f.codes) > 0 && !slices.Contains(f.codes, e.EventCode):
		return false
	case len(f.codes) == 0 && !granted(e.EventCode) && !denied(e.EventCode) &&
		!(f.debug && within(e.EventCode, 1, 3)):
		return false
	case len(f.channels) > 0 && (e.ChannelID == nil || !slices.Contains(f.channels, *e.ChannelID)):
		return false
	case f.firstName == "" && f.lastName == "":
		return true
	}
	return p != nil && (f.firstName == "" || strings.ToLower(p.FirstName) == f.firstName) &&
		(f.lastName == "" || strings.ToLower(p.LastName) == f.lastName)
}

func listEvents(c *call) reply {
	f, problem := c.eventFilter()
	if problem != nil {
		return *problem
	}
	people := map[int]*Person{} // with those who left: their events remain
	for _, p := range c.account.people {
		people[p.ID] = p
	}
	var found []Event
	for _, e := range c.account.events {
		var p *Person
		if e.PersonID != nil {
			p = people[*e.PersonID]
		}
		if f.matches(e, p) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Event) int {
		if byTime := a.CreatedAt.Compare(b.CreatedAt.Time); byTime != 0 {
			return byTime
		}
		return int(a.ID - b.ID)
	})
	if !strings.EqualFold(c.query.Get("sort"), "ASC") {
		slices.Reverse(found)
	}
	page := paged(c, paging{"n", 50, 1000}, found)
	if age, busy := c.sim.faults.busyPage(); busy {
		c.sim.emit(c.account, []EventSpec{{Code: codeAdmitCard, ChannelID: c.account.channels[0].ID, At: c.now.Add(-age), NoWebhook: true}})
	}
	return page
}

// record stores the event that a spec describes. Unknown people and channels stay null, as for a stranger's card.
func (s *Sim) record(a *account, spec EventSpec) Event {
	e := Event{ID: s.newID(), EventCode: spec.Code, CreatedAt: Time{s.now()}}
	e.EventID = e.ID
	if !spec.At.IsZero() {
		e.CreatedAt = Time{spec.At.UTC().Truncate(time.Millisecond)}
	}
	e.UpdatedAt = e.CreatedAt
	var name string
	if p := a.person(int64(spec.PersonID)); p != nil {
		name = p.name()
		e.PersonID, e.PersonName = &spec.PersonID, &name
	}
	if ch := a.channel(int64(spec.ChannelID)); ch != nil {
		id, channel := ch.ID, ch.Name
		e.ChannelID, e.DoorControllerID = &id, &id
		e.ChannelName, e.DoorControllerName = &channel, &channel
	}
	if spec.CredentialsNumber != "" {
		e.CredentialsNumber = &spec.CredentialsNumber
	}
	e.EventLabel = label(spec.Code, name)
	if len(a.events) >= maxEvents {
		a.events = a.events[1:]
	}
	a.events = append(a.events, e)
	s.o.Log.Debug("event", "account", a.id, "id", e.ID, "code", e.EventCode)
	return e
}

// resourcePath is where an event is fetched.
func (e Event) resourcePath() string { return fmt.Sprintf("/api/3/events/%d", e.ID) }
