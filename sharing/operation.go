package sharing

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

// The types of operations.
const (
	Share  = "share"
	Revoke = "revoke"
	Unlock = "unlock"
)

const (
	// MaxInvitees is how many people one operation may name.
	MaxInvitees = 500
	maxID       = 128

	// How long an operation may wait to be sent, unless it may wait for its door: somebody stands before it.
	unlockAge = 10 * time.Second
	usualAge  = 60 * time.Second
)

// operation is what was asked for, as stored; times are Unix milliseconds, 0 for none.
type operation struct {
	Seq        int64
	ID         string
	Caller     string // with its kind, see callerKind.stored
	Identity   string
	CallerID   string `db:"caller_id"`
	Digest     []byte
	Type       string
	Lock       string
	Status     Status
	Error      string // why it failed as a whole, or has not been done yet
	Detail     string
	Stage      stage
	Turn       int64
	Attempts   int64
	Waits      bool
	People     int
	Tokens     []byte // sealed
	ReceivedAt int64  `db:"received_at"`
	DeadlineAt int64  `db:"deadline_at"`
	DueAt      int64  `db:"due_at"`
	FollowedAt int64  `db:"followed_at"`
	AliveAt    int64  `db:"alive_at"`
	FinishedAt int64  `db:"finished_at"`

	parts []*part
	// arrived are users for whom all that was queued before this has reached the door, as it has to be in order.
	arrived []string
}

// part is one of an operation's people, or the door of an unlock.
type part struct {
	Operation string
	N         int
	AskedBy   doordeck.By `db:"asked_by"`
	Value     string
	Provision string
	Role      string
	StartAt   int64  `db:"start_at"`
	EndAt     int64  `db:"end_at"`
	UserID    string `db:"user_id"`
	PublicKey string `db:"public_key"`
	Status    Status
	Error     string
	Tries     int
	ExpiresAt int64 `db:"expires_at"`
	GuardAt   int64 `db:"guard_at"`

	token vault.Secret
	twin  *part // the same person, named before
}

// asked is an operation as a caller writes it.
type asked struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Lock     string    `json:"lock"`
	Invitees []invitee `json:"invitees"`
	Role     string    `json:"role"`
	Start    string    `json:"start"`
	End      string    `json:"end"`
	ValidFor string    `json:"valid_for"`
}

// decode reads an operation that was received at a time. The road's type and id, where it has them, must not be
// contradicted. The error is an *invalid.Error.
func decode(body []byte, kind, id string, received time.Time) (*operation, error) {
	var a asked
	if err := invalid.Object(body, &a); err != nil {
		return nil, err
	}
	if a.ID == "" {
		a.ID = id
	}
	if a.Type == "" {
		a.Type = kind
	}
	switch {
	case id != "" && a.ID != id:
		return nil, invalid.Field("id", "must be the one that was sent beside the body, or left out")
	case len(a.ID) > maxID || !plainID(a.ID):
		return nil, invalid.Field("id", "must be at most %d printable ASCII characters without spaces", maxID)
	case kind != "" && a.Type != kind:
		return nil, invalid.Field("type", "must be %s here", kind)
	case a.Type != Share && a.Type != Revoke && a.Type != Unlock:
		return nil, invalid.Field("type", "must be share, revoke or unlock")
	case !doordeck.LockID(a.Lock).Valid():
		return nil, invalid.Field("lock", "must be a UUID: the id of the lock")
	}
	o := &operation{
		CallerID: a.ID, Type: a.Type, Lock: strings.ToLower(a.Lock), Status: Accepted, Stage: stageSend, ReceivedAt: received.UnixMilli(),
	}
	if err := o.readAge(a.ValidFor, received); err != nil {
		return nil, err
	}
	if err := o.readPeople(a); err != nil {
		return nil, err
	}
	o.People = len(o.parts)
	o.Digest = o.digest()
	return o, nil
}

// readAge finds out until when it may be sent.
func (o *operation) readAge(validFor string, received time.Time) error {
	age := usualAge
	if o.Type == Unlock {
		age = unlockAge
	}
	if validFor != "" {
		d, err := time.ParseDuration(validFor)
		switch {
		case o.Type == Unlock:
			return invalid.Field("valid_for", "is not for an unlock, which is done now or not at all")
		case err != nil || d < time.Second || d > doordeck.MaxWait:
			return invalid.Field("valid_for", "must be a duration such as 24h, from a second to 336h (14 days)")
		}
		age, o.Waits = d, true
	}
	o.DeadlineAt = received.Add(age).UnixMilli()
	return nil
}

func (o *operation) readPeople(a asked) error {
	if o.Type != Share {
		for field, value := range map[string]string{"role": a.Role, "start": a.Start, "end": a.End} {
			if value != "" {
				return invalid.Field(field, "is only for a share")
			}
		}
	}
	if o.Type == Unlock {
		if a.Invitees != nil {
			return invalid.Field("invitees", "are not for an unlock")
		}
		o.parts = []*part{{Status: Accepted}}
		return nil
	}
	if len(a.Invitees) == 0 || len(a.Invitees) > MaxInvitees {
		return invalid.Field("invitees", "must be 1 to %d people", MaxInvitees)
	}
	usual, err := readTerms("", a.Role, a.Start, a.End)
	if err != nil {
		return err
	}
	usual = usual.or(terms{role: roleUser})
	seen := map[part]bool{}
	for n := range a.Invitees {
		p, err := o.readPerson(&a.Invitees[n], usual)
		if err != nil {
			return err
		}
		who := part{AskedBy: p.AskedBy, Value: p.Value, token: p.token}
		if seen[who] {
			return invalid.Field("invitees", "must name each person once")
		}
		seen[who] = true
		p.N = n
		o.parts = append(o.parts, &p)
	}
	return nil
}

func (o *operation) readPerson(i *invitee, usual terms) (part, error) {
	if o.Type == Revoke && (i.Role != "" || i.Start != "" || i.End != "" || i.Provision) {
		return part{}, invalid.Field("invitees", "of a revoke have no role, start, end or provision")
	}
	p, err := i.part()
	if err != nil {
		return p, err
	}
	p.Status = Accepted
	if o.Type == Revoke {
		return p, nil
	}
	t, err := readTerms("invitees.", i.Role, i.Start, i.End)
	if err != nil {
		return p, err
	}
	if t = t.or(usual); !t.end.IsZero() && !t.end.After(t.start) {
		return p, invalid.Field("end", "must be after start")
	}
	p.Role, p.StartAt, p.EndAt = t.role, millis(t.start), millis(t.end)
	return p, nil
}

// digest tells whether the same was asked again. An identity token is part of it; what is stored of it is a hash.
func (o *operation) digest() []byte {
	type person struct {
		By                     doordeck.By
		Value, Provision, Role string
		Start, End             int64
	}
	var people []person
	for _, p := range o.parts {
		value := p.Value
		if !p.token.IsZero() {
			value = p.token.Reveal()
		}
		people = append(people, person{p.AskedBy, value, p.Provision, p.Role, p.StartAt, p.EndAt})
	}
	canonical, _ := json.Marshal([]any{o.Type, o.Lock, o.Waits, o.DeadlineAt - o.ReceivedAt, people}) // texts and numbers: cannot fail
	sum := sha256.Sum256(canonical)
	return sum[:]
}

// statuses are those of its people.
func (o *operation) statuses() []Status {
	all := make([]Status, len(o.parts))
	for i, p := range o.parts {
		all[i] = p.Status
	}
	return all
}

// with are the people who have one of the statuses.
func (o *operation) with(statuses ...Status) (found []*part) {
	for _, p := range o.parts {
		if slices.Contains(statuses, p.Status) {
			found = append(found, p)
		}
	}
	return found
}

// endsAt is when there is no use any more in doing it for a person.
func (o *operation) endsAt(p *part) int64 {
	if p.EndAt != 0 && p.EndAt < o.DeadlineAt {
		return p.EndAt
	}
	return o.DeadlineAt
}

func plainID(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
