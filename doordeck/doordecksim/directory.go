package doordecksim

import (
	"encoding/json"
	"net/http"
	"net/mail"
	"strings"
)

// maxLookup bounds a list in version 2.
const maxLookup = 25

// found is one answer of the directory. Version 1 shows the first two fields only.
type found struct {
	ID         string `json:"id"`
	PublicKey  string `json:"publicKey"`
	Email      string `json:"email,omitempty"`
	ForeignKey string `json:"foreignKey,omitempty"`
	Phone      string `json:"phone,omitempty"`
	Telephone  string `json:"telephone,omitempty"`
}

// lookups say whom a key finds, and what of the question an answer in version 2 repeats.
var lookups = map[string]struct {
	matches func(u *user, value string) bool
	echo    func(f *found, value string)
}{
	"email": {
		func(u *user, v string) bool { return u.profile.EmailVerified && u.profile.Email == v },
		func(f *found, v string) { f.Email = v },
	},
	"telephone": {
		func(u *user, v string) bool { return u.profile.TelephoneVerified && u.profile.Telephone == v },
		func(f *found, v string) { f.Phone = v },
	},
	"foreignKey": {
		func(u *user, v string) bool { return u.subject == v },
		func(f *found, v string) { f.ForeignKey = v },
	},
	"localKey": {func(u *user, v string) bool { return u.id == strings.ToLower(v) }, func(*found, string) {}},
	"identity": {nil, func(*found, string) {}}, // makes the user, see person
}

// queryDirectory finds people of the caller's application by one kind of key: version 1 one person, version 2
// several.
func queryDirectory(c *call) reply {
	body, err := parseObject(c.body)
	if err != nil {
		return badRequest(err.Error())
	}
	kind, count := "", 0
	for name := range lookups {
		if body.has(name) { // one SDK sends the others as null
			kind = name
			count++
		}
	}
	if count != 1 {
		return badRequest("the query needs exactly one of email, telephone, localKey, foreignKey and identity")
	}
	if c.version >= 2 {
		return c.findAll(kind, body[kind])
	}
	value, isText := body.text(kind)
	if !isText {
		return badRequest(kind + " has to be a string; lists are for version 2")
	}
	u, err := c.person(kind, value)
	switch {
	case err != nil:
		return badRequest(err.Error())
	case u == nil:
		return notFound("the directory does not know this " + kind)
	}
	return ok(found{ID: u.id, PublicKey: u.publicKey})
}

func (c *call) findAll(kind string, raw json.RawMessage) reply {
	var values []*string
	if json.Unmarshal(raw, &values) != nil || len(values) == 0 || len(values) > maxLookup {
		return badRequest(kind + " has to be a list of 1 to 25 strings")
	}
	answer := []found{}
	for _, value := range values {
		if value == nil {
			return badRequest(kind + " has to be a list of strings")
		}
		u, err := c.person(kind, *value)
		if err != nil {
			return badRequest(err.Error())
		}
		if u == nil {
			continue
		}
		f := found{ID: u.id, PublicKey: u.publicKey}
		lookups[kind].echo(&f, *value)
		if f.Phone != "" && c.sim.faults.telephoneEcho() {
			f.Phone, f.Telephone = "", f.Phone
		}
		answer = append(answer, f)
	}
	return ok(answer)
}

// person looks one value up; nil is a miss.
func (c *call) person(kind, value string) (*user, error) {
	if kind == "identity" {
		return c.identity(value)
	}
	for _, u := range c.sim.people.all {
		if u.app == c.user.app && lookups[kind].matches(u, value) {
			return u, nil
		}
	}
	return nil, nil
}

// invite makes a user of Doordeck's own from an e-mail address.
func invite(c *call) reply {
	if !c.token.app.own {
		return fail(http.StatusForbidden, "inviting needs a token that Doordeck has issued")
	}
	address, err := mail.ParseAddress(c.r.PathValue("email"))
	if err != nil || address.Name != "" || len(address.Address) > maxText {
		return badRequest("the path has to end in an e-mail address")
	}
	u, err := c.sim.account(address.Address)
	if err != nil {
		return fail(http.StatusServiceUnavailable, err.Error())
	}
	return ok(found{ID: u.id, PublicKey: u.publicKey})
}
