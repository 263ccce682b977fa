package doorflowsim

import (
	"slices"
	"time"
)

// maxReservations bounds either kind per account.
const maxReservations = 10_000

// Reservation lets a person through some doors for part of a day.
type Reservation struct {
	ID         int64 `json:"id"`
	PersonID   int   `json:"person_id"`
	StartTime  Time  `json:"start_time"`
	EndTime    Time  `json:"end_time"`
	ChannelIDs []int `json:"channel_ids"`
	CreatedAt  Time  `json:"created_at"`
	UpdatedAt  Time  `json:"updated_at"`
}

// GroupReservation puts a person into groups for a while.
type GroupReservation struct {
	ID        int64  `json:"id"`
	PersonID  int    `json:"person_id"`
	StartTime Time   `json:"start_time"`
	EndTime   Time   `json:"end_time"`
	GroupIDs  []int  `json:"group_ids"`
	State     string `json:"state"`
	CreatedAt Time   `json:"created_at"`
	UpdatedAt Time   `json:"updated_at"`
}

// reservationInput is the body of either kind.
type reservationInput struct {
	PersonID          int64 `json:"person_id"`
	StartTime         Time  `json:"start_time"`
	EndTime           Time  `json:"end_time"`
	ChannelIDs        []int `json:"channel_ids"`
	DoorControllerIDs []int `json:"door_controller_ids"`
	GroupIDs          []int `json:"group_ids"`
}

func (c *call) reservationInput(wrapper string) (in reservationInput, problem *reply) {
	if err := c.decode(wrapper, &in); err != nil {
		return in, new(badBody())
	}
	switch {
	case c.account.person(in.PersonID) == nil:
		return in, new(invalid("person_id", "is invalid"))
	case in.StartTime.IsZero():
		return in, new(invalid("start_time", "can't be blank"))
	case !in.EndTime.After(in.StartTime.Time):
		return in, new(invalid("end_time", "must be after start time"))
	}
	return in, nil
}

func listReservations(c *call) reply {
	return paged(c, paging{"per_page", 500, 1000}, c.account.reservations)
}

func createReservation(c *call) reply {
	in, problem := c.reservationInput("reservation")
	if problem != nil {
		return *problem
	}
	if in.EndTime.Sub(in.StartTime.Time) >= 24*time.Hour {
		return invalid("end_time", "must be on the same day")
	}
	channels := append(append([]int{}, in.ChannelIDs...), in.DoorControllerIDs...)
	for _, id := range channels {
		if c.account.channel(int64(id)) == nil {
			return invalid("channel_ids", "is invalid")
		}
	}
	if len(c.account.reservations) >= maxReservations {
		return invalid("base", "too many reservations")
	}
	r := Reservation{
		ID: c.sim.newID(), PersonID: int(in.PersonID), StartTime: in.StartTime, EndTime: in.EndTime,
		ChannelIDs: channels, CreatedAt: c.now, UpdatedAt: c.now,
	}
	c.account.reservations = append(c.account.reservations, r)
	return created(r)
}

func deleteReservation(c *call) reply {
	i := slices.IndexFunc(c.account.reservations, func(r Reservation) bool { return r.ID == c.id("id") })
	if i < 0 {
		return notFound()
	}
	c.account.reservations = slices.Delete(c.account.reservations, i, i+1)
	return done()
}

// at fills in the state, which follows from the time unless somebody has deactivated it.
func (r GroupReservation) at(now Time) GroupReservation {
	switch {
	case r.State != "":
	case now.Before(r.StartTime.Time):
		r.State = "pending"
	case now.Before(r.EndTime.Time):
		r.State = "active"
	default:
		r.State = "deactivated"
	}
	return r
}

func listGroupReservations(c *call) reply {
	var all []GroupReservation
	for _, r := range c.account.groupReservations {
		all = append(all, r.at(c.now))
	}
	return paged(c, paging{"per_page", 500, 1000}, all)
}

func createGroupReservation(c *call) reply {
	in, problem := c.reservationInput("group_reservation")
	if problem != nil {
		return *problem
	}
	for _, id := range in.GroupIDs {
		if !slices.ContainsFunc(c.account.groups, func(g Group) bool { return g.ID == id }) {
			return invalid("group_ids", "is invalid")
		}
	}
	if len(in.GroupIDs) == 0 {
		return invalid("group_ids", "can't be blank")
	}
	if len(c.account.groupReservations) >= maxReservations {
		return invalid("base", "too many reservations")
	}
	r := GroupReservation{
		ID: c.sim.newID(), PersonID: int(in.PersonID), StartTime: in.StartTime, EndTime: in.EndTime,
		GroupIDs: in.GroupIDs, CreatedAt: c.now, UpdatedAt: c.now,
	}
	c.account.groupReservations = append(c.account.groupReservations, r)
	return created(r.at(c.now))
}

// deleteGroupReservation removes what has not begun and ends what has.
func deleteGroupReservation(c *call) reply {
	all := c.account.groupReservations
	i := slices.IndexFunc(all, func(r GroupReservation) bool { return r.ID == c.id("id") })
	if i < 0 {
		return notFound()
	}
	if all[i].at(c.now).State == "pending" {
		c.account.groupReservations = slices.Delete(all, i, i+1)
	} else {
		all[i].State, all[i].UpdatedAt = "deactivated", c.now
	}
	return done()
}
