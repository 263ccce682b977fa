package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/sharing"
)

// heard is a message as a program on NATS gets it.
type heard struct {
	On    string          `json:"-"` // the NATS subject
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	About string          `json:"subject"` // such as events/700000001
	Time  time.Time       `json:"time"`
	Data  json.RawMessage `json:"data"`
}

// doorEvent is what the story needs of an event's data.
type doorEvent struct {
	Code   int    `json:"event_code"`
	Label  string `json:"event_label"`
	Person int    `json:"person_id"`
	Door   string `json:"door_controller_name"`
}

// kind is the second token of the type: notification, event, operation, …
func (h heard) kind() string {
	_, rest, _ := strings.Cut(h.Type, ".")
	kind, _, _ := strings.Cut(rest, ".")
	return kind
}

// event is the message's data where it is about something at a door.
func (h heard) event() (e doorEvent) {
	_ = json.Unmarshal(h.Data, &e) // no event has no code
	return e
}

// operation is the message's data where it is about an operation.
func (h heard) operation() (a sharing.Answer) {
	_ = json.Unmarshal(h.Data, &a)
	return a
}

// ear remembers what is heard on NATS while the story is told.
type ear struct {
	mu      sync.Mutex
	all     []heard
	trouble error
	more    chan struct{} // closed and replaced when something has been heard
}

func newEar() *ear { return &ear{more: make(chan struct{})} }

func (e *ear) hear(h heard) { e.change(func() { e.all = append(e.all, h) }) }

// fail ends all waits: what they wait for will not come. The first reason explains the others.
func (e *ear) fail(err error) { e.change(func() { e.trouble = cmp.Or(e.trouble, err) }) }

func (e *ear) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.more)
	e.more = make(chan struct{})
}

// await waits until what was heard is enough, or is wrong.
func (e *ear) await(ctx context.Context, enough func([]heard) (bool, error)) error {
	for {
		e.mu.Lock()
		all, trouble, more := slices.Clone(e.all), e.trouble, e.more
		e.mu.Unlock()
		if trouble != nil {
			return trouble
		}
		if done, err := enough(all); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		}
	}
}

// first waits for the first message of a kind.
func (e *ear) first(ctx context.Context, wanted func(heard) bool) (found heard, err error) {
	err = e.await(ctx, func(all []heard) (bool, error) {
		i := slices.IndexFunc(all, wanted)
		if i >= 0 {
			found = all[i]
		}
		return i >= 0, nil
	})
	return found, err
}
