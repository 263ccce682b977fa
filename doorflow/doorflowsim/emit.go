package doorflowsim

import (
	"fmt"
	"strconv"
	"time"
)

// EventSpec describes an event that is to happen.
type EventSpec struct {
	Code              int       `json:"code"`
	PersonID          int       `json:"person_id"`
	ChannelID         int       `json:"channel_id"`
	CredentialsNumber string    `json:"credentials_number"`
	At                time.Time `json:"at"`        // zero means now
	Perimeter         bool      `json:"perimeter"` // announced as a PerimeterEvent
	NoWebhook         bool      `json:"no_webhook"`
}

// Emit lets an event happen and queues its webhook, if the account has a live grant that covers events. It
// panics for an account that is not seeded, as do EmitBatch and Random.
func (s *Sim) Emit(account string, e EventSpec) Event {
	return s.EmitBatch(account, []EventSpec{e})[0]
}

// EmitBatch lets several events happen and announces them in one webhook request.
func (s *Sim) EmitBatch(account string, specs []EventSpec) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emit(s.mustAccount(account), specs)
}

func (s *Sim) mustAccount(id string) *account {
	a := s.accounts[id]
	if a == nil {
		panic(fmt.Sprintf("doorflowsim: no account %q", id))
	}
	return a
}

func (s *Sim) emit(a *account, specs []EventSpec) []Event {
	var events []Event
	var items []*item
	for _, spec := range specs {
		e := s.record(a, spec)
		events = append(events, e)
		if spec.NoWebhook {
			continue
		}
		kind := typeEvent
		if spec.Perimeter {
			kind = typePerimeter
		}
		items = append(items, &item{
			account: a.id, kind: kind, id: strconv.FormatInt(e.ID, 10), action: actionCreate, path: e.resourcePath(),
		})
	}
	s.announce(items)
	return events
}

// CredentialChanged queues the webhook of a credential that was created, updated or destroyed, whether or
// not it exists. Writes through the API do the same by themselves.
func (s *Sim) CredentialChanged(account string, personID int, credentialID, action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentialChanged(account, personID, credentialID, action)
}

func (s *Sim) credentialChanged(account string, personID int, credentialID, action string) {
	s.announce([]*item{{
		account: account, kind: typeCredential, id: credentialID, action: action,
		path: fmt.Sprintf("/api/3/people/%d/credentials/%s", personID, credentialID),
	}})
}

// Random makes up what could plausibly happen next, for demonstrations: mostly somebody let in by PIN,
// sometimes a refusal, now and then a door forced or held open.
func (s *Sim) Random(account string) EventSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.mustAccount(account)
	spec := EventSpec{ChannelID: a.channels[s.random.IntN(len(a.channels))].ID}
	roll := s.random.IntN(100)
	holder := s.pinHolder(a)
	switch {
	case roll >= 97:
		spec.Code, spec.Perimeter = codeDoorNormal, true
	case roll >= 94:
		spec.Code, spec.Perimeter = codeHeldOpen, true
	case roll >= 92:
		spec.Code, spec.Perimeter = codeForced, true
	case roll >= 84 || holder == nil:
		spec.Code, spec.CredentialsNumber = codeRejectPIN, strconv.Itoa(100_000+s.random.IntN(900_000))
	case roll >= 78:
		spec.Code, spec.PersonID, spec.CredentialsNumber = codeRejectOutHours, holder.PersonID, *holder.Value
	default:
		spec.Code, spec.PersonID, spec.CredentialsNumber = codeAdmitPIN, holder.PersonID, *holder.Value
	}
	return spec
}

// pinHolder picks one of the account's PINs; nil if there is none.
func (s *Sim) pinHolder(a *account) *Credential {
	var pins []*Credential
	for _, cr := range a.credentials {
		if a.credentialType(cr.CredentialTypeID).Code == CodePIN && cr.Value != nil {
			pins = append(pins, cr)
		}
	}
	if len(pins) == 0 {
		return nil
	}
	return pins[s.random.IntN(len(pins))]
}
