package sharing

import (
	"encoding/json"
	"time"

	"gatehouse/events"
)

// Answer is what a caller learns of an operation, and the data of the messages about it.
type Answer struct {
	// Operation is the gateway's own id, ID the caller's. A command that could not be understood has none.
	Operation string   `json:"operation,omitempty"`
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Identity  string   `json:"identity"`
	Caller    string   `json:"caller"`
	Lock      string   `json:"lock,omitempty"`
	Status    Status   `json:"status"`
	Error     string   `json:"error,omitempty"`
	Detail    string   `json:"detail,omitempty"`
	Results   []Result `json:"results,omitempty"`
	// ReceivedAt is when it was asked for, FinishedAt when its outcome was final.
	ReceivedAt time.Time `json:"received_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// Result is what became of one person.
type Result struct {
	Invitee Named `json:"invitee"`
	// User is the Doordeck user, once they have been found.
	User   string `json:"user,omitempty"`
	Status Status `json:"status"`
	// Error says why it failed or expired, or has not been done yet.
	Error string `json:"error,omitempty"`
}

func (o *operation) answer() Answer {
	a := Answer{
		Operation: o.ID, ID: o.CallerID, Type: o.Type, Identity: o.Identity, Caller: shownCaller(o.Caller), Lock: o.Lock, Status: o.Status,
		Error: o.Error, Detail: o.Detail, ReceivedAt: when(o.ReceivedAt), FinishedAt: when(o.FinishedAt),
	}
	if o.Type == Unlock {
		return a
	}
	for _, p := range o.parts {
		a.Results = append(a.Results, Result{p.named(), p.UserID, p.Status.shown(), p.Error})
	}
	return a
}

// message reports the status that an operation has reached.
func (o *operation) message(at time.Time) (events.Encoded, error) {
	data, err := json.Marshal(o.answer())
	if err != nil {
		return events.Encoded{}, err
	}
	m := events.NewMessage(events.OperationTopic(o.Identity, string(o.Status)), at, data)
	m.Subject = "operations/" + o.ID
	return m.Encode()
}
