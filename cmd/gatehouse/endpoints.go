package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/webhooks"
)

type endpointCommands struct {
	Create       endpointCreate       `cmd:"" help:"Make an endpoint and print its secret, this one time."`
	List         endpointList         `cmd:"" default:"withargs" help:"List the endpoints."`
	Show         endpointShow         `cmd:"" help:"Show one endpoint."`
	Update       endpointUpdate       `cmd:"" help:"Change where an endpoint is, what it wants, or how."`
	Enable       endpointEnable       `cmd:"" help:"Enable an endpoint: it gets what is said from now on."`
	Disable      endpointDisable      `cmd:"" help:"Disable an endpoint: nothing is sent to it."`
	Test         endpointTest         `cmd:"" help:"Send a test message to an endpoint, now, and tell what it answers."`
	RotateSecret endpointRotateSecret `cmd:"" help:"Make a new secret and print it, this one time. The old one signs too for 24 hours."`
	Delete       endpointDelete       `cmd:"" help:"Delete an endpoint with its deliveries."`

	Deliveries endpointDeliveries `cmd:"" help:"List an endpoint's deliveries, those of the newest messages first."`
	Delivery   endpointDelivery   `cmd:"" help:"Show one delivery with its attempts."`
	Retry      endpointRetry      `cmd:"" help:"Send deliveries again, now: parked ones, or any."`
	Replay     endpointReplay     `cmd:"" help:"Deliver to an endpoint again what was said in a span of time."`
}

// endpoint is an endpoint as the gateway answers it.
type endpoint struct {
	webhooks.Endpoint
	Health webhooks.Health `json:"health"`
}

func endpointPath(id string, more ...string) string {
	return "/v1/endpoints/" + url.PathEscape(id) + strings.Join(more, "")
}

type endpointList struct {
	client
	Limit int  `env:"-" default:"1000" help:"At most so many."`
	JSON  bool `env:"-" help:"Print JSON."`
}

func (c *endpointList) Run(ctx context.Context, t *terminal) error {
	items, err := list[endpoint](ctx, &c.client, "/v1/endpoints", url.Values{}, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no endpoints. Make one with: gatehouse endpoints create")
		return err
	}
	w := t.table("ID", "STATE", "URL", "WAITING", "PARKED", "SUCCESS", "OLDEST", "SUBJECTS")
	for _, i := range items {
		w.row(i.ID, i.state(), i.URL, counted(i.Health.Waiting), counted(i.Health.Parked), success(i.Health), age(i.Health.OldestWaiting), strings.Join(i.Subjects, " "))
	}
	return w.print()
}

// counted is how many deliveries there are; the gateway counts to a bound.
func counted(n int64) string {
	if n >= webhooks.CountUpTo {
		return fmt.Sprint(n, "+")
	}
	return fmt.Sprint(n)
}

// state is what is to be known of an endpoint first.
func (e *endpoint) state() string {
	switch {
	case !e.Enabled:
		return "disabled (" + strings.ReplaceAll(e.DisabledReason, "_", " ") + ")"
	case e.Failures > 0:
		return fmt.Sprintf("failing (%d in a row)", e.Failures)
	}
	return "enabled"
}

// success is how many attempts of the last 24 hours went well.
func success(h webhooks.Health) string {
	all := h.Delivered + h.Failed
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g%%", 100*float64(h.Delivered)/float64(all))
}

func age(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return max(time.Since(at), 0).Round(time.Second).String()
}

type endpointShow struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointShow) Run(ctx context.Context, t *terminal) error {
	var e endpoint
	if err := c.do(ctx, http.MethodGet, endpointPath(c.ID), nil, nil, &e); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, e)
	}
	order := fmt.Sprintf("any, %d at once", e.Concurrency)
	if e.Ordered {
		order = "as it was said, one at a time"
	}
	return t.fields([][2]string{
		{"id", e.ID},
		{"url", e.URL},
		{"description", orDash(e.Description)},
		{"subjects", strings.Join(e.Subjects, " ")},
		{"state", e.state()},
		{"order", order},
		{"accounts", limits(e.Accounts)},
		{"identities", limits(e.Identities)},
		{"made by", e.MadeBy},
		{"created", local(e.CreatedAt)},
		{"changed", local(e.ChangedAt)},
		{"old secret signs until", local(e.OldSecretUntil)},
		{"success in 24 h", success(e.Health)},
		{"waiting", counted(e.Health.Waiting)},
		{"oldest waits for", age(e.Health.OldestWaiting)},
		{"parked", counted(e.Health.Parked)},
		{"failing since", local(e.FailingSince)},
		{"last error", orDash(e.LastError)},
		{"last success", local(e.LastSuccessAt)},
		{"last failure", local(e.LastFailureAt)},
	})
}

type endpointTest struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointTest) Run(ctx context.Context, t *terminal) error {
	var done tried
	if err := c.do(ctx, http.MethodPost, endpointPath(c.ID, "/test"), nil, nil, &done); err != nil {
		return err
	}
	delivered := done.Outcome == "delivered"
	if c.JSON {
		if err := writeJSON(t.out, done); err != nil || delivered {
			return err
		}
		return errReported
	}
	if _, err := fmt.Fprintf(t.out, "%s after %d ms\n", printable(done.String()), done.TookMS); err != nil {
		return err
	}
	if done.Answer != "" {
		if _, err := fmt.Fprintln(t.out, printable(done.Answer)); err != nil {
			return err
		}
	}
	if !delivered {
		return errors.New("the endpoint did not take the test message")
	}
	return nil
}
