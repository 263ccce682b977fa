package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

var (
	// ErrNoDelivery says that there is no such delivery, none any more, or none that the caller may know of.
	ErrNoDelivery = errors.New("webhooks: there is no such delivery")
	// ErrEndpointDisabled says that nothing is sent to the endpoint, so that to ask for it makes no sense.
	ErrEndpointDisabled = errors.New("webhooks: the endpoint is disabled")
	// ErrMessageGone says that the message of a delivery is older than the retention.
	ErrMessageGone = errors.New("webhooks: the delivery's message is not there any more")
)

// Delivery is one message on its way to one endpoint, as the API shows it.
type Delivery struct {
	// ID is the message's and the endpoint's, with a full stop between.
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	Message  string `json:"message"`
	// Subject is the message's NATS subject, "" once retention has removed the message.
	Subject string `json:"subject,omitempty"`
	// Status is waiting, delivered or parked.
	Status string `json:"status"`
	// Attempts is how many were begun, and Tried how the last of them ended, the newest first. What was cut off says so.
	Attempts  int64     `json:"attempts"`
	Tried     []Attempt `json:"tried"`
	CreatedAt time.Time `json:"created_at"`
	// Sending tells that an attempt is under way.
	Sending bool `json:"-"`
	// NextAttemptAt is when one that waits is tried again; absent while it is being sent, and while its endpoint is disabled.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// SettledAt is when it was delivered or parked.
	SettledAt time.Time `json:"settled_at,omitzero"`
}

func deliveryID(message, endpoint string) string { return message + "." + endpoint }

// parseDeliveryID takes an id apart.
func parseDeliveryID(s string) (message, endpoint string, err error) {
	message, endpoint, _ = strings.Cut(s, ".")
	if !isEndpointID(message) || !isEndpointID(endpoint) {
		return "", "", ErrNoDelivery
	}
	return message, endpoint, nil
}

// deliveryRow is a delivery as stored; times are Unix milliseconds.
type deliveryRow struct {
	MessageID  string `db:"message_id"`
	EndpointID string `db:"endpoint_id"`
	Subject    string
	State      string
	DueAt      int64 `db:"due_at"`
	Attempts   int64
	Holder     string
	CreatedAt  int64 `db:"created_at"`
	SettledAt  int64 `db:"settled_at"`
}

const (
	listedColumns = `message_id, endpoint_id, writer, seq, state, due_at, attempts, holder, created_at, settled_at`
	// shownColumns are read of rows d that have been found.
	shownColumns = `d.message_id, d.endpoint_id, d.state, d.due_at, d.attempts, d.holder, d.created_at, d.settled_at,
		COALESCE((SELECT m.subject FROM messages m WHERE m.writer = d.writer AND m.seq = d.seq),
		(SELECT b.subject FROM delivery_bodies b WHERE b.message_id = d.message_id), '') AS subject`
	selectDelivery = `SELECT ` + shownColumns + ` FROM deliveries d`
)

// sending tells whether an attempt is under way.
func (r *deliveryRow) sending(now time.Time) bool {
	return r.State == stateWaiting && r.Holder != "" && r.DueAt > now.UnixMilli()
}

func (r *deliveryRow) delivery(e *Endpoint, ended map[int64]Attempt, most int64, now time.Time) Delivery {
	v := Delivery{
		ID: deliveryID(r.MessageID, r.EndpointID), Endpoint: r.EndpointID, Message: r.MessageID, Subject: r.Subject,
		Status: r.State, Attempts: r.Attempts, Tried: []Attempt{}, CreatedAt: moment(r.CreatedAt), SettledAt: moment(r.SettledAt), Sending: r.sending(now),
	}
	if r.State == stateWaiting && !v.Sending && e.Enabled {
		v.NextAttemptAt = moment(r.DueAt)
	}
	for n := r.Attempts; n > 0 && n > r.Attempts-most; n-- {
		a, stored := ended[n]
		if !stored {
			if n == r.Attempts && v.Sending {
				continue
			}
			a = Attempt{N: n, Outcome: OutcomeCutOff}
		}
		v.Tried = append(v.Tried, a)
	}
	return v
}

// shown makes deliveries to an endpoint of rows, each with so many of its last attempts.
func (d *Deliveries) shown(ctx context.Context, e *Endpoint, rows []deliveryRow, most int64) ([]Delivery, error) {
	all, now := make([]Delivery, 0, len(rows)), d.Now()
	for chunk := range slices.Chunk(rows, 200) {
		ids := make([]string, len(chunk))
		for i := range chunk {
			ids[i] = chunk[i].MessageID
		}
		query, args, err := sqlx.In(`SELECT a.message_id, a.n, a.at, a.took, a.outcome, a.status, a.answer
			FROM delivery_attempts a JOIN deliveries d ON d.message_id = a.message_id AND d.endpoint_id = a.endpoint_id
			WHERE a.endpoint_id = ? AND a.message_id IN (?) AND a.n > d.attempts - ?`, e.ID, ids, most)
		if err != nil {
			return nil, err
		}
		var attempts []struct {
			MessageID       string `db:"message_id"`
			N, At, Took     int64
			Outcome, Answer string
			Status          int
		}
		if err := d.DB.Select(ctx, &attempts, query, args...); err != nil {
			return nil, fmt.Errorf("reading attempts: %w", err)
		}
		of := map[string]map[int64]Attempt{}
		for _, a := range attempts {
			if of[a.MessageID] == nil {
				of[a.MessageID] = map[int64]Attempt{}
			}
			of[a.MessageID][a.N] = Attempt{
				N: a.N, At: moment(a.At), Took: time.Duration(a.Took) * time.Millisecond,
				Outcome: Outcome(a.Outcome), Status: a.Status, Answer: a.Answer,
			}
		}
		for i := range chunk {
			all = append(all, chunk[i].delivery(e, of[chunk[i].MessageID], most, now))
		}
	}
	return all, nil
}
