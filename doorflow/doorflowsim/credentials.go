package doorflowsim

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// Codes of credential types. Ids and slugs differ between accounts, these do not.
const (
	CodePIN  = 10
	CodeCard = 200
)

// randomPIN is the value that asks for a PIN nobody in the account has.
const randomPIN = "******"

// What a webhook says has happened.
const (
	actionCreate  = "CREATE"
	actionUpdate  = "UPDATE"
	actionDestroy = "DESTROY"
)

type credentialInput struct {
	CredentialTypeID int     `json:"credential_type_id"`
	Value            *string `json:"value"`
}

// credentialType is the zero type for an unknown id.
func (a *account) credentialType(id int) CredentialType {
	i := slices.IndexFunc(a.types, func(t CredentialType) bool { return t.ID == id })
	if i < 0 {
		return CredentialType{}
	}
	return a.types[i]
}

func (a *account) credential(person int64, id string) *Credential {
	i := slices.IndexFunc(a.credentials, func(cr *Credential) bool { return int64(cr.PersonID) == person && cr.ID == id })
	if i < 0 {
		return nil
	}
	return a.credentials[i]
}

// listCredentials lists those of one person, or without a person in the path those of all.
func listCredentials(c *call) reply {
	found := c.account.credentials
	if c.r.PathValue("person") != "" {
		person := c.account.person(c.id("person"))
		if person == nil {
			return notFound()
		}
		found = nil
		for _, cr := range c.account.credentials {
			if cr.PersonID == person.ID {
				found = append(found, cr)
			}
		}
	}
	return paged(c, paging{"per_page", 500, 1000}, found)
}

// getCredential is also the acknowledgement of a webhook, if it carries the token. That a credential is gone
// by now does not change that its receiver has asked.
func getCredential(c *call) reply {
	c.acknowledge(c.r.PathValue("id"))
	cr := c.account.credential(c.id("person"), c.r.PathValue("id"))
	if cr == nil || c.sim.queue.destroyed(c.query.Get("ack_token")) {
		return notFound()
	}
	return ok(cr)
}

func createCredential(c *call) reply {
	person := c.account.person(c.id("person"))
	if person == nil {
		return notFound()
	}
	var in credentialInput
	if err := c.decode("person_credential", &in); err != nil {
		return badBody()
	}
	kind := c.account.credentialType(in.CredentialTypeID)
	if kind.ID == 0 {
		return invalid("credential_type_id", "is not included in the list")
	}
	for _, cr := range c.account.credentials {
		if cr.PersonID == person.ID && cr.CredentialTypeID == kind.ID {
			return reply{status: http.StatusConflict, body: cr}
		}
	}
	value, problem := c.account.credentialValue(kind, in.Value, "")
	if problem != nil {
		return *problem
	}
	cr := &Credential{ID: hashID(7), PersonID: person.ID, CredentialTypeID: kind.ID, Label: kind.Label, Value: &value, Status: "active"}
	c.account.credentials = append(c.account.credentials, cr)
	c.sim.credentialChanged(c.account.id, person.ID, cr.ID, actionCreate)
	return created(cr)
}

func updateCredential(c *call) reply {
	cr := c.account.credential(c.id("person"), c.r.PathValue("id"))
	if cr == nil {
		return notFound()
	}
	var in credentialInput
	if err := c.decode("person_credential", &in); err != nil {
		return badBody()
	}
	value, problem := c.account.credentialValue(c.account.credentialType(cr.CredentialTypeID), in.Value, cr.ID)
	if problem != nil {
		return *problem
	}
	cr.Value = &value
	c.sim.credentialChanged(c.account.id, cr.PersonID, cr.ID, actionUpdate)
	return created(cr) // 201, as documented for PUT
}

func deleteCredential(c *call) reply {
	cr := c.account.credential(c.id("person"), c.r.PathValue("id"))
	if cr == nil {
		return notFound()
	}
	c.account.credentials = slices.DeleteFunc(c.account.credentials, func(other *Credential) bool { return other == cr })
	c.sim.credentialChanged(c.account.id, cr.PersonID, cr.ID, actionDestroy)
	return ok("OK") // text, as documented
}

// credentialValue checks a value, or draws one if the client left the choice to us.
func (a *account) credentialValue(kind CredentialType, given *string, except string) (string, *reply) {
	if given == nil || *given == "" {
		return "", new(invalid("value", "can't be blank"))
	}
	value := *given
	if kind.Code == CodePIN && value == randomPIN {
		for value = digits(6); a.valueTaken(kind, value, except); {
			value = digits(6)
		}
		return value, nil
	}
	if kind.Code == CodePIN && (len(value) < 4 || len(value) > 8 || strings.Trim(value, "0123456789") != "") {
		return "", new(invalid("value", "must be 4 to 8 digits"))
	}
	if a.valueTaken(kind, value, except) {
		return "", new(invalid("value", "has already been taken"))
	}
	return value, nil
}

// valueTaken compares within a code: two types of card are the same thing to a reader.
func (a *account) valueTaken(kind CredentialType, value, except string) bool {
	return slices.ContainsFunc(a.credentials, func(cr *Credential) bool {
		return cr.ID != except && cr.Value != nil && *cr.Value == value && a.credentialType(cr.CredentialTypeID).Code == kind.Code
	})
}

func digits(n int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	v, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(err) // crypto/rand does not fail since Go 1.24
	}
	return fmt.Sprintf("%0*d", n, v)
}

// hashID draws an id or token of the form DoorFlow uses for things that are not numbered.
func hashID(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	for range n {
		v, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err)
		}
		b.WriteByte(letters[v.Int64()])
	}
	return b.String()
}
