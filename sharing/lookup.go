package sharing

import (
	"context"
	"time"

	"gatehouse/internal/invalid"
)

// Found is what the directory says of one person who was asked for.
type Found struct {
	Invitee Named `json:"invitee"`
	// User is the Doordeck user, "" for somebody who was not found.
	User string `json:"user,omitempty"`
	// Error says why they were not found.
	Error string `json:"error,omitempty"`
}

// lookupFor bounds a look at the directory.
const lookupFor = 25 * time.Second

// Lookup finds people as an identity: who of them could be shared with. It makes nobody known but who comes with an
// identity token, whom Doordeck makes known by itself. The answer has the order of the question. Errors: *invalid.Error, ErrNoIdentity, *NotReadyError, *AwayError.
func (o *Operations) Lookup(ctx context.Context, identity string, body []byte) ([]Found, error) {
	var in struct {
		Invitees []invitee `json:"invitees"`
	}
	if err := invalid.Object(body, &in); err != nil {
		return nil, err
	}
	if len(in.Invitees) == 0 || len(in.Invitees) > MaxInvitees {
		return nil, invalid.Field("invitees", "must be 1 to %d people", MaxInvitees)
	}
	people := make([]*part, len(in.Invitees))
	for n := range in.Invitees {
		i := &in.Invitees[n]
		if i.Role != "" || i.Start != "" || i.End != "" || i.Provision {
			return nil, invalid.Field("invitees", "of a lookup have no role, start, end or provision")
		}
		p, err := i.part()
		if err != nil {
			return nil, err
		}
		people[n] = &p
	}
	ctx, cancel := context.WithTimeout(ctx, lookupFor)
	defer cancel()
	session, err := o.actors.Session(ctx, identity)
	if err != nil {
		return nil, err
	}
	missing, err := o.directed.find(ctx, session, people)
	if err != nil {
		return nil, &AwayError{Wait: firstRetry, cause: err}
	}
	found := make([]Found, len(people))
	for n, p := range people {
		found[n] = Found{p.named(), p.UserID, missing[p]}
	}
	return found, nil
}
