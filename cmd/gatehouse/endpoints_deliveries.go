package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// delivered is a delivery as the gateway answers it.
type delivered struct {
	ID            string    `json:"id"`
	Endpoint      string    `json:"endpoint"`
	Message       string    `json:"message"`
	Subject       string    `json:"subject,omitempty"`
	Status        string    `json:"status"`
	Attempts      int64     `json:"attempts"`
	Tried         []tried   `json:"tried"`
	CreatedAt     time.Time `json:"created_at"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	SettledAt     time.Time `json:"settled_at,omitzero"`
}

// tried is one attempt.
type tried struct {
	N       int64     `json:"n,omitzero"`
	At      time.Time `json:"at,omitzero"`
	TookMS  int64     `json:"took_ms"`
	Outcome string    `json:"outcome"`
	Status  int       `json:"status,omitempty"`
	Answer  string    `json:"answer,omitempty"`
}

// String is how it ended, on one line.
func (a tried) String() string {
	s := strings.ReplaceAll(a.Outcome, "_", " ")
	if a.Status != 0 {
		s += fmt.Sprintf(" (%d)", a.Status)
	}
	return s
}

// last is how the last attempt ended.
func (d delivered) last() string {
	if len(d.Tried) == 0 {
		return "-"
	}
	return d.Tried[0].String()
}

type endpointDeliveries struct {
	client
	ID     string `arg:"" help:"The endpoint's id."`
	Status string `env:"-" words:"waiting,delivered,parked" placeholder:"STATUS" help:"Only those that are waiting, delivered or parked."`
	Limit  int    `env:"-" default:"50" help:"At most so many."`
	JSON   bool   `env:"-" help:"Print JSON."`
}

func (c *endpointDeliveries) Run(ctx context.Context, t *terminal) error {
	q := url.Values{}
	if c.Status != "" {
		q.Set("status", c.Status)
	}
	items, err := listBy[delivered](ctx, &c.client, endpointPath(c.ID, "/deliveries"), q, c.Limit, 200)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no such deliveries.")
		return err
	}
	w := t.table("CREATED", "STATUS", "ATTEMPTS", "LAST", "NEXT", "SUBJECT", "DELIVERY")
	for _, d := range items {
		w.row(d.CreatedAt, d.Status, d.Attempts, d.last(), d.NextAttemptAt, orDash(d.Subject), d.ID)
	}
	return w.print()
}

type endpointDelivery struct {
	client
	ID   string `arg:"" help:"The delivery's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointDelivery) Run(ctx context.Context, t *terminal) error {
	var d delivered
	if err := c.do(ctx, http.MethodGet, "/v1/deliveries/"+url.PathEscape(c.ID), nil, nil, &d); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, d)
	}
	after := "after 1 attempt"
	if d.Attempts != 1 {
		after = fmt.Sprintf("after %d attempts", d.Attempts)
	}
	fmt.Fprintf(t.out, "%s is %s %s.\n", printable(d.Subject), printable(d.Status), after)
	w := t.table("N", "AT", "TOOK", "OUTCOME", "ANSWER")
	for _, a := range d.Tried {
		took := time.Duration(a.TookMS) * time.Millisecond
		w.row(a.N, a.At, took, a.String(), orDash(a.Answer))
	}
	return w.print()
}

type endpointRetry struct {
	client
	IDs  []string `arg:"" name:"delivery" help:"The deliveries' ids."`
	JSON bool     `env:"-" help:"Print each delivery as one line of JSON."`
}

func (c *endpointRetry) Run(ctx context.Context, t *terminal) error {
	for _, id := range c.IDs {
		var d delivered
		if err := c.do(ctx, http.MethodPost, "/v1/deliveries/"+url.PathEscape(id)+"/retry", nil, nil, &d); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		var err error
		if c.JSON {
			err = writeJSONLine(t.out, d)
		} else {
			_, err = fmt.Fprintf(t.out, "%s is sent again.\n", printable(d.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type endpointReplay struct {
	client
	ID       string   `arg:"" help:"The endpoint's id."`
	Since    string   `env:"-" required:"" placeholder:"WHEN" help:"From when on: a time (RFC 3339) or an age such as 24h."`
	Until    string   `env:"-" placeholder:"WHEN" help:"Until when, not included. Default: now."`
	Subjects []string `env:"-" name:"subject" placeholder:"PATTERN" help:"Only what matches, of what the endpoint wants."`
	JSON     bool     `env:"-" help:"Print JSON."`
}

// replayRequest asks for a part of a replay.
type replayRequest struct {
	Since    string   `json:"since"`
	Until    string   `json:"until"`
	Subjects []string `json:"subjects,omitempty"`
	After    string   `json:"after,omitempty"`
}

// replayed is what a replay came to.
type replayed struct {
	Deliveries int64 `json:"deliveries"`
	Gone       int64 `json:"gone,omitzero"`
}

func (c *endpointReplay) Run(ctx context.Context, t *terminal) error {
	since, err := parseSince(c.Since)
	if err != nil {
		return err
	}
	until := time.Now()
	if c.Until != "" {
		if until, err = parseAgo("--until", c.Until); err != nil {
			return err
		}
	}
	q := replayRequest{Since: since.UTC().Format(time.RFC3339Nano), Until: until.UTC().Format(time.RFC3339Nano), Subjects: c.Subjects}
	var all replayed
	for {
		var done struct {
			replayed
			Next string `json:"next"`
		}
		if err := c.do(ctx, http.MethodPost, endpointPath(c.ID, "/replay"), nil, q, &done); err != nil {
			if all.Deliveries > 0 {
				return fmt.Errorf("after %d deliveries: %w", all.Deliveries, err)
			}
			return err
		}
		all.Deliveries += done.Deliveries
		all.Gone += done.Gone
		if q.After = done.Next; q.After == "" {
			break
		}
	}
	if c.JSON {
		return writeJSON(t.out, all)
	}
	if all.Gone > 0 {
		_, _ = fmt.Fprintf(t.err, "%d more were removed by the retention before they could be.\n", all.Gone)
	}
	_, err = fmt.Fprintf(t.out, "%d messages are delivered again.\n", all.Deliveries)
	return err
}
