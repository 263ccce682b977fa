package doordecksim

import (
	"encoding/json"
	"net/http"
)

// personView is somebody as the user lists and profiles show them.
type personView struct {
	UserID      string  `json:"userId"`
	Email       *string `json:"email"`
	PublicKey   string  `json:"publicKey"`
	DisplayName *string `json:"displayName,omitempty"`
	Orphan      bool    `json:"orphan"`  // invited and not yet registered
	Foreign     bool    `json:"foreign"` // of another application than the caller
}

type userView struct {
	personView
	Role  Role         `json:"role"`
	Start *json.Number `json:"start,omitempty"`
	End   *json.Number `json:"end,omitempty"`
}

type deviceView struct {
	DeviceID string       `json:"deviceId"`
	Role     Role         `json:"role"`
	Start    *json.Number `json:"start,omitempty"`
	End      *json.Number `json:"end,omitempty"`
}

func (c *call) describe(u *user) personView {
	v := personView{UserID: u.id, PublicKey: u.publicKey, Orphan: u.invited, Foreign: u.app != c.user.app}
	if u.profile.Email != "" {
		v.Email = &u.profile.Email
	}
	if u.profile.Name != "" {
		v.DisplayName = &u.profile.Name
	}
	return v
}

// listUsers shows administrators who has access to a lock.
func listUsers(c *call) reply {
	l, m, problem := c.theLock()
	if problem != nil {
		return *problem
	}
	if m.Role != RoleAdmin {
		return fail(http.StatusForbidden, "only administrators see who has access")
	}
	list := []userView{}
	for _, m := range l.Users {
		list = append(list, userView{c.describe(c.sim.people.get(m.User)), m.Role, c.seconds(m.Start), c.seconds(m.End)})
	}
	return ok(list)
}

// getProfile shows somebody who has one of the caller's doors, with those doors.
func getProfile(c *call) reply {
	u := c.sim.people.get(c.r.PathValue("id"))
	if u == nil {
		return notFound("there is no such user")
	}
	devices := []deviceView{}
	for _, l := range c.mine(func(m *Member) bool { return m.Role == RoleAdmin }) {
		if m := l.member(u.id); m != nil {
			devices = append(devices, deviceView{l.ID, m.Role, c.seconds(m.Start), c.seconds(m.End)})
		}
	}
	if len(devices) == 0 && u != c.user {
		return notFound("there is no such user") // at none of the caller's locks
	}
	return ok(struct {
		personView
		Devices []deviceView `json:"devices"`
	}{c.describe(u), devices})
}
