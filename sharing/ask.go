package sharing

import (
	"context"
	"encoding/json"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

// unlockWait is how long the answer to an unlock may take: it may wait to be sent, and then for the door.
const unlockWait = unlockAge + unlockLife

// submit stores an operation, and waits for its outcome where that is wanted. Whoever finds too many waiting
// already hears how it stands.
func (s *Service) submit(stopping, ctx context.Context, a Asked, body []byte, free func()) (Answer, error) {
	received := s.operations.now()
	body, wait, err := takeWait(a.Operation, body)
	if err != nil {
		return Answer{}, err
	}
	storing, cancel := context.WithTimeout(ctx, submitFor)
	defer cancel()
	stored, err := s.operations.Submit(storing, a.By, Request{Identity: a.Identity, Type: a.Operation, Body: body, Received: received})
	free()
	if err != nil || wait == 0 || stored.Status.Final() || !s.waiting.take(a.By.Caller) {
		return stored, err
	}
	defer s.waiting.free(a.By.Caller)
	if now, err := s.operations.Wait(stopping, stored.Operation, wait); err == nil {
		return now, nil
	}
	return stored, nil // it is stored, whatever keeps its outcome from being read
}

// takeWait takes "wait" out of an operation: how many seconds its answer may wait for the outcome. An unlock waits
// of itself.
func takeWait(operation string, body []byte) (rest []byte, wait time.Duration, err error) {
	if operation == Unlock {
		wait = unlockWait
	}
	var fields map[string]json.RawMessage
	if invalid.Object(body, &fields) != nil || fields["wait"] == nil {
		return body, wait, nil // what it is instead is judged with the rest
	}
	var seconds int
	if json.Unmarshal(fields["wait"], &seconds) != nil || seconds < 0 {
		return nil, 0, invalid.Field("wait", "must be a whole number of seconds, of which %d are the most", int(maxWait.Seconds()))
	}
	delete(fields, "wait")
	rest, err = json.Marshal(fields)
	return rest, min(time.Duration(seconds), maxWait/time.Second) * time.Second, err
}

func (s *Service) doors(ctx context.Context, identity string, body []byte) (any, error) {
	var q struct {
		After string `json:"after"`
		Limit *int   `json:"limit"`
	}
	if len(body) > 0 {
		if err := invalid.Object(body, &q); err != nil {
			return nil, err
		}
	}
	limit := defaultPage
	if q.Limit != nil {
		limit = *q.Limit
	}
	if limit < 1 || limit > maxDoors {
		return nil, invalid.Field("limit", "must be a number from 1 to %d", maxDoors)
	}
	page, next, err := s.identities.Doors(ctx, identity, "", q.After, limit)
	return list[Door]{page, next}, err
}

func (s *Service) door(ctx context.Context, identity string, body []byte) (any, error) {
	var q struct {
		Lock string `json:"lock"`
	}
	if err := invalid.Object(body, &q); err != nil {
		return nil, err
	}
	if !doordeck.LockID(q.Lock).Valid() {
		return nil, invalid.Field("lock", "must be a UUID: the id of the lock")
	}
	return s.identities.Door(ctx, identity, doordeck.LockID(q.Lock))
}
