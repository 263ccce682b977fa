package doorflowsim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Profile is what a client may write about a person, beside groups and roles.
type Profile struct {
	FirstName      string  `json:"first_name"`
	LastName       string  `json:"last_name"`
	Salutation     *string `json:"salutation"`
	JobTitle       *string `json:"job_title"`
	Email          *string `json:"email"`
	OrganisationID *int    `json:"organisation_id"`
	SystemID       *string `json:"system_id"`
	Department     *string `json:"department"`
	Enabled        bool    `json:"enabled"`
	ValidFrom      *Time   `json:"valid_from"`
	ValidTo        *Time   `json:"valid_to"`
	Telephone      *string `json:"telephone"`
	Mobile         *string `json:"mobile"`
	Notes          *string `json:"notes"`
	Barcode        *string `json:"barcode"`
	Custom1        *string `json:"custom_1"`
	Custom2        *string `json:"custom_2"`
	Custom3        *string `json:"custom_3"`
	Custom4        *string `json:"custom_4"`
	Custom5        *string `json:"custom_5"`
}

// Person is somebody who may be let in.
type Person struct {
	ID int `json:"id"`
	Profile
	Groups        []int   `json:"groups"`
	Roles         []int   `json:"roles"`
	ImageURL      *string `json:"image_url"`
	ImageThumbURL *string `json:"image_thumbnail_url"`
	CreatedAt     Time    `json:"created_at"`
	UpdatedAt     Time    `json:"updated_at"`
	deleted       bool
}

// personInput is the body of a write. Its lists have names of their own and replace what was there.
type personInput struct {
	Profile
	GroupIDs *[]int `json:"group_ids"`
	RoleIDs  *[]int `json:"role_ids"`
}

// clone copies what the pointers point at too: decoding onto a profile writes through them.
func (p Profile) clone() (out Profile) {
	raw, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		panic(err) // the struct above always encodes
	}
	return out
}

func (p *Person) name() string { return p.FirstName + " " + p.LastName }

func (a *account) person(id int64) *Person {
	i := slices.IndexFunc(a.people, func(p *Person) bool { return int64(p.ID) == id && !p.deleted })
	if i < 0 {
		return nil
	}
	return a.people[i]
}

// view adds the credentials under the slugs of their types, in clear, as DoorFlow does.
func (a *account) view(p *Person) map[string]any {
	fields := map[string]any{}
	raw, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err != nil {
		panic(err) // the struct above always encodes
	}
	for _, t := range a.types {
		fields[t.Slug] = nil
	}
	for _, cr := range a.credentials {
		if cr.PersonID == p.ID {
			fields[a.credentialType(cr.CredentialTypeID).Slug] = cr.Value
		}
	}
	return fields
}

func listPeople(c *call) reply {
	since, has, valid := c.since()
	if !valid {
		return fail(400, "bad_request", "since could not be parsed")
	}
	email, systemID := strings.ToLower(c.query.Get("email")), c.query.Get("system_id")
	var found []map[string]any
	for _, p := range c.account.people {
		switch {
		case p.deleted, has && p.UpdatedAt.Before(since):
		case email != "" && (p.Email == nil || !strings.Contains(strings.ToLower(*p.Email), email)):
		case systemID != "" && (p.SystemID == nil || *p.SystemID != systemID):
		default:
			found = append(found, c.account.view(p))
		}
	}
	return paged(c, paging{"per_page", 50, 100}, found)
}

// since reads since_utc, or since, which without an offset is in the account's own time zone.
func (c *call) since() (t time.Time, has, valid bool) {
	text, zone := c.query.Get("since_utc"), time.UTC
	if text == "" {
		text = c.query.Get("since")
		if local, err := time.LoadLocation(c.account.timeZone); err == nil {
			zone = local
		}
	}
	if text == "" {
		return time.Time{}, false, true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, true, true
		}
	}
	return time.Time{}, false, false
}

func getPerson(c *call) reply {
	p := c.account.person(c.id("id"))
	if p == nil {
		return notFound()
	}
	return ok(c.account.view(p))
}

func createPerson(c *call) reply {
	p := &Person{ID: c.account.nextPerson, Groups: []int{}, Roles: []int{}, CreatedAt: c.now}
	p.Enabled = true
	if problem := c.writePerson(p); problem != nil {
		return *problem
	}
	// Ids have gaps, as they have where many accounts share one sequence.
	c.account.nextPerson += 1 + c.sim.random.IntN(17)
	c.account.people = append(c.account.people, p)
	return created(c.account.view(p))
}

func updatePerson(c *call) reply {
	p := c.account.person(c.id("id"))
	if p == nil {
		return notFound()
	}
	if problem := c.writePerson(p); problem != nil {
		return *problem
	}
	return created(c.account.view(p)) // 201, as documented for PUT
}

// writePerson applies the request's body to a person, or leaves the person as it was.
func (c *call) writePerson(p *Person) *reply {
	in := personInput{Profile: p.Profile.clone()}
	if err := c.decode("person", &in); err != nil {
		return new(badBody())
	}
	if in.FirstName == "" {
		return new(invalid("first_name", "can't be blank"))
	}
	if in.LastName == "" {
		return new(invalid("last_name", "can't be blank"))
	}
	if in.Email != nil && *in.Email == "" {
		in.Email = nil
	}
	if in.Email != nil && c.account.emailTaken(*in.Email, p.ID) {
		return new(invalid("email", "has already been taken"))
	}
	if in.GroupIDs != nil {
		p.Groups = append([]int{}, *in.GroupIDs...)
	}
	if in.RoleIDs != nil {
		p.Roles = append([]int{}, *in.RoleIDs...)
	}
	p.Profile, p.UpdatedAt = in.Profile, c.now
	return nil
}

func (a *account) emailTaken(email string, except int) bool {
	return slices.ContainsFunc(a.people, func(p *Person) bool {
		return !p.deleted && p.ID != except && p.Email != nil && strings.EqualFold(*p.Email, email)
	})
}

// deletePerson keeps the record: events go on naming the person.
func deletePerson(c *call) reply {
	p := c.account.person(c.id("id"))
	if p == nil {
		return notFound()
	}
	p.deleted, p.UpdatedAt = true, c.now
	c.account.credentials = slices.DeleteFunc(c.account.credentials, func(cr *Credential) bool {
		if cr.PersonID != p.ID {
			return false
		}
		c.sim.credentialChanged(c.account.id, p.ID, cr.ID, actionDestroy)
		return true
	})
	return done()
}
