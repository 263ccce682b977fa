package doordecksim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// lockView is a lock as the API shows it to one of its users.
type lockView struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Colour    *string      `json:"colour"`
	Role      Role         `json:"role"`
	Favourite bool         `json:"favourite"`
	Start     *json.Number `json:"start"`
	End       *json.Number `json:"end"`
	Settings  settingsView `json:"settings"`
	State     stateView    `json:"state"`
	Novelty   string       `json:"novelty,omitempty"` // by a fault: a name that no client knows
}

type settingsView struct {
	UnlockTime            float64           `json:"unlockTime"` // seconds
	PermittedAddresses    []string          `json:"permittedAddresses"`
	DefaultName           string            `json:"defaultName"`
	UsageRequirements     usageView         `json:"usageRequirements"`
	UnlockBetweenWindow   any               `json:"unlockBetweenWindow"`
	Tiles                 []string          `json:"tiles"`
	Hidden                bool              `json:"hidden"`
	DirectAccessEndpoints []string          `json:"directAccessEndpoints"`
	Capabilities          map[string]string `json:"capabilities"`
}

type usageView struct {
	Time     []string `json:"time"`
	Location *string  `json:"location"`
}

type stateView struct {
	Locked    bool `json:"locked"`
	Connected bool `json:"connected"`
}

func (c *call) view(l *lock, m *Member) lockView {
	v := lockView{
		ID: l.ID, Name: l.Name, Role: m.Role, Favourite: m.favourite, Start: c.seconds(m.Start), End: c.seconds(m.End),
		Settings: settingsView{
			UnlockTime: l.UnlockTime.Seconds(), PermittedAddresses: orEmpty(l.addresses), DefaultName: l.Name,
			UsageRequirements: usageView{Time: []string{}}, UnlockBetweenWindow: l.between,
			Tiles: []string{}, DirectAccessEndpoints: []string{}, Capabilities: l.Capabilities,
		},
		State: stateView{Locked: l.locked, Connected: !l.Offline},
	}
	if m.colour != "" {
		v.Colour = &m.colour
	}
	if c.sim.faults.shows(novelties) {
		v.Novelty = "unheard of"
		v.Settings.Capabilities = withNovelty(l.Capabilities)
	}
	return v
}

func withNovelty(capabilities map[string]string) map[string]string {
	all := map[string]string{"TELEPORTATION": "EXPERIMENTAL"}
	for name, value := range capabilities {
		all[name] = value
	}
	return all
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// seconds is a time as the API writes it; nil for a zero one. Doordeck's own samples have decimals in places.
func (c *call) seconds(t time.Time) *json.Number {
	if t.IsZero() {
		return nil
	}
	n := json.Number(fmt.Sprint(t.Unix()))
	if c.sim.faults.shows(decimals) {
		n = json.Number(fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()))
	}
	return &n
}

// mine lists the caller's locks that a condition holds for.
func (c *call) mine(wanted func(*Member) bool) []*lock {
	var list []*lock
	for _, l := range c.sim.locks.order {
		if m := l.access(c.user.id, c.now); m != nil && wanted(m) {
			list = append(list, l)
		}
	}
	return list
}

func (c *call) views(wanted func(*Member) bool) reply {
	views := []lockView{}
	for _, l := range c.mine(wanted) {
		views = append(views, c.view(l, l.member(c.user.id)))
	}
	return ok(views)
}

func listLocks(c *call) reply { return c.views(func(*Member) bool { return true }) }

func listFavourites(c *call) reply { return c.views(func(m *Member) bool { return m.favourite }) }

func listShareable(c *call) reply {
	list := []map[string]string{}
	for _, l := range c.mine(func(m *Member) bool { return m.Role == RoleAdmin }) {
		list = append(list, map[string]string{"id": l.ID, "name": l.Name})
	}
	return ok(list)
}

// theLock is the one in the path and the caller's access to it.
func (c *call) theLock() (*lock, *Member, *reply) {
	l := c.sim.locks.get(c.r.PathValue("id"))
	if l == nil {
		return nil, nil, new(notFound("there is no such lock"))
	}
	m := l.access(c.user.id, c.now)
	if m == nil {
		return nil, nil, new(notFound("there is no such lock"))
	}
	return l, m, nil
}

func getLock(c *call) reply {
	l, m, problem := c.theLock()
	if problem != nil {
		return *problem
	}
	return ok(c.view(l, m))
}

// updateLock changes what needs no signature: everybody's own favourites and colours, and for administrators
// the lock's name and addresses. Unknown names are ignored.
func updateLock(c *call) reply {
	l, m, problem := c.theLock()
	if problem != nil {
		return *problem
	}
	body, err := parseObject(c.body)
	if err != nil {
		return badRequest(err.Error())
	}
	if (body.has("name") || body.has("settings")) && m.Role != RoleAdmin {
		return fail(http.StatusForbidden, "only administrators may change a lock")
	}
	var settings struct {
		PermittedAddresses []string `json:"permittedAddresses"`
	}
	if body.has("settings") && json.Unmarshal(body["settings"], &settings) != nil {
		return badRequest("settings has a field of the wrong type")
	}
	if name, given := body.text("name"); given {
		l.Name = name
	}
	if colour, given := body.text("colour"); given {
		m.colour = colour
	}
	if favourite, given := body.flag("favourite"); given {
		m.favourite = favourite
	}
	if settings.PermittedAddresses != nil {
		l.addresses = settings.PermittedAddresses
	}
	return reply{status: http.StatusOK}
}
