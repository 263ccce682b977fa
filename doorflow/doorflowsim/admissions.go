package doorflowsim

import (
	"net/http"
	"slices"
	"time"
)

// admissionTimeout is documented: a door that has not answered by then is not going to.
const admissionTimeout = 2 * time.Minute

// maxAdmissions bounds what is remembered per account.
const maxAdmissions = 1000

// admission is one request to open a door from afar.
type admission struct {
	id          int64
	status      string
	channel     *Channel
	person      *Person
	requestedAt Time
	completedAt *Time
}

// admitAnyone opens for nobody in particular. The API refuses while the door is open for everybody anyway.
func admitAnyone(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	if ch.Mode.Description != modeNormal {
		return reply{status: http.StatusBadRequest, body: ch}
	}
	return c.admit(ch, nil)
}

func admitNamed(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	var in struct {
		PersonID int64 `json:"person_id"`
	}
	if err := c.decode("", &in); err != nil {
		return badBody()
	}
	person := c.account.person(in.PersonID)
	if person == nil {
		return fail(http.StatusNotFound, "not_found", "The person could not be found")
	}
	if ch.Mode.Description != modeNormal {
		return reply{status: http.StatusBadRequest, body: ch}
	}
	return c.admit(ch, person)
}

// admit answers "pending", as DoorFlow does before it has asked the door, and settles the outcome, which the
// client learns by polling and by the resulting event.
func (c *call) admit(ch *Channel, person *Person) reply {
	req := admission{id: c.sim.newID(), status: "admitted", channel: ch, person: person, requestedAt: c.now, completedAt: &c.now}
	code := codeAdmitApp
	switch {
	case c.sim.faults.stallAdmission():
		req.status, req.completedAt, code = "pending", nil, 0
	case ch.Status != "online":
		req.status, code = "offline", codeAdmissionDown
	case person != nil && !person.mayEnter(c.now), ch.Lockdown != nil:
		req.status, code = "denied", codeAdmissionDenied
	}
	if len(c.account.admissions) >= maxAdmissions {
		c.account.admissions = c.account.admissions[1:]
	}
	c.account.admissions = append(c.account.admissions, req)
	if code != 0 {
		spec := EventSpec{Code: code, ChannelID: ch.ID}
		if person != nil {
			spec.PersonID = person.ID
		}
		c.sim.emit(c.account, []EventSpec{spec})
	}
	return reply{status: http.StatusAccepted, body: map[string]any{"admission_request_id": req.id, "status": "pending"}}
}

func (p *Person) mayEnter(now Time) bool {
	return p.Enabled && (p.ValidFrom == nil || !now.Before(p.ValidFrom.Time)) &&
		(p.ValidTo == nil || now.Before(p.ValidTo.Time))
}

func getAdmission(c *call) reply {
	i := slices.IndexFunc(c.account.admissions, func(a admission) bool { return a.id == c.id("id") })
	if i < 0 {
		return notFound()
	}
	req := c.account.admissions[i]
	if end := req.requestedAt.Add(admissionTimeout); req.status == "pending" && !c.now.Before(end) {
		req.status, req.completedAt = "timeout", &Time{end}
	}
	body := map[string]any{
		"id": req.id, "status": req.status, "channel_id": req.channel.ID, "person_id": nil, "person": nil,
		"requested_at": req.requestedAt, "completed_at": req.completedAt,
		"door_controller": map[string]any{"id": req.channel.ID, "name": req.channel.Name},
	}
	if req.person != nil {
		body["person_id"] = req.person.ID
		body["person"] = map[string]any{"id": req.person.ID, "name": req.person.name()}
	}
	return ok(body)
}
