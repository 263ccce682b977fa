package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

// ErrTesting says that as many endpoints are being tested as may be.
var ErrTesting = errors.New("as many endpoints are being tested as may be")

// maxTrials is how many endpoints may be tested at once. Each may take as long as an attempt.
const maxTrials = 8

// Test sends a message of its own to an endpoint, enabled or not, and tells how that ended. The message is not in the
// log, goes to nobody else, is not sent again, and says nothing about the endpoint's health. Errors: ErrNoEndpoint,
// ErrTesting.
func (e *Endpoints) Test(ctx context.Context, id string, limits Limits, try func(context.Context, *Endpoint, events.Encoded) Attempt) (Attempt, error) {
	endpoint, err := e.Get(ctx, id, limits)
	if err != nil {
		return Attempt{}, err
	}
	select {
	case e.trials <- struct{}{}:
		defer func() { <-e.trials }()
	default:
		return Attempt{}, ErrTesting
	}
	m, err := endpoint.testMessage(e.Now())
	if err != nil {
		return Attempt{}, err
	}
	entry := endpointEntry(ctx, "endpoint.test", id, hostOf(endpoint.URL))
	entry.Outcome = audit.Started
	started, err := e.Audit.Write(ctx, entry)
	if err != nil {
		return Attempt{}, err
	}
	done := try(ctx, endpoint, m)
	entry.Started, entry.Outcome, entry.Status = started, audit.Failed, done.Status
	if done.Outcome == OutcomeDelivered {
		entry.Outcome = audit.Done
	}
	// It was sent, also when nobody waits for the answer any more.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := e.Audit.Write(noting, entry); err != nil {
		e.Logger.Error("how the test of an endpoint ended could not be noted", "endpoint", id, "error", err)
	}
	return done, nil
}

// testMessage is what a test sends: like a message about the endpoint, with a status that is never said.
func (e *Endpoint) testMessage(at time.Time) (events.Encoded, error) {
	const status = "test"
	data, err := json.Marshal(endpointSaid{Endpoint: e.ID, Description: e.Description, Status: status})
	if err != nil {
		return events.Encoded{}, err
	}
	return events.NewMessage(events.EndpointTopic(e.ID, status), at, data).Encode()
}
