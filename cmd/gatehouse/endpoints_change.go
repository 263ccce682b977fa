package main

import (
	"context"
	"fmt"
	"net/http"

	"gatehouse/webhooks"
)

type endpointCreate struct {
	client
	Address     string   `arg:"" name:"endpoint-url" help:"Where to send, such as https://bms.example.com/hooks."`
	Subjects    []string `env:"-" name:"subject" sep:"none" required:"" placeholder:"PATTERN,…" help:"What it wants: patterns of NATS subjects, such as gatehouse.event.*.access.>."`
	Description string   `env:"-" placeholder:"TEXT" help:"What to call it."`
	Disabled    bool     `env:"-" help:"Make it disabled."`
	Ordered     bool     `env:"-" help:"Deliver one message at a time, in the order in which they were said."`
	Concurrency *int     `env:"-" placeholder:"N" help:"How many deliveries may be under way at once, 1 to 64. Default: 8."`
	JSON        bool     `env:"-" help:"Print JSON."`
}

// endpointSecret is an answer that shows a secret.
type endpointSecret struct {
	webhooks.Endpoint
	Secret string `json:"secret"`
}

func (c *endpointCreate) Run(ctx context.Context, t *terminal) error {
	in := map[string]any{"url": c.Address, "subjects": values(c.Subjects), "enabled": !c.Disabled, "ordered": c.Ordered}
	if c.Description != "" {
		in["description"] = c.Description
	}
	if c.Concurrency != nil {
		in["concurrency"] = *c.Concurrency
	}
	var made endpointSecret
	if err := c.do(ctx, http.MethodPost, "/v1/endpoints", nil, in, &made); err != nil {
		return err
	}
	return made.tell(t, c.JSON, "Test it: gatehouse endpoints test "+printable(made.ID))
}

// tell prints the secret alone on stdout, so that a script can take it.
func (s endpointSecret) tell(t *terminal, asJSON bool, next string) error {
	if asJSON {
		return writeJSON(t.out, s)
	}
	if _, err := fmt.Fprintln(t.out, printable(s.Secret)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.err, "This is the only time the secret is shown. %s\n", next)
	return err
}

type endpointRotateSecret struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointRotateSecret) Run(ctx context.Context, t *terminal) error {
	var changed endpointSecret
	if err := c.do(ctx, http.MethodPost, endpointPath(c.ID, "/rotate-secret"), nil, nil, &changed); err != nil {
		return err
	}
	return changed.tell(t, c.JSON, "The old one signs too until "+local(changed.OldSecretUntil)+".")
}

type endpointUpdate struct {
	client
	ID          string   `arg:"" help:"The endpoint's id."`
	To          string   `env:"-" placeholder:"URL" help:"Where to send from now on."`
	Subjects    []string `env:"-" name:"subject" sep:"none" placeholder:"PATTERN,…" help:"What it wants from now on, instead of what it wanted."`
	Description *string  `env:"-" placeholder:"TEXT" help:"What to call it."`
	Ordered     bool     `env:"-" xor:"order" help:"Deliver one message at a time, in order."`
	Unordered   bool     `env:"-" xor:"order" help:"Deliver several at once, in any order."`
	Concurrency *int     `env:"-" placeholder:"N" help:"How many deliveries may be under way at once, 1 to 64."`
	JSON        bool     `env:"-" help:"Print JSON."`
}

func (c *endpointUpdate) Run(ctx context.Context, t *terminal) error {
	in := map[string]any{}
	if c.To != "" {
		in["url"] = c.To
	}
	if c.Subjects != nil {
		in["subjects"] = values(c.Subjects)
	}
	if c.Description != nil {
		in["description"] = *c.Description
	}
	if c.Ordered || c.Unordered {
		in["ordered"] = c.Ordered
	}
	if c.Concurrency != nil {
		in["concurrency"] = *c.Concurrency
	}
	if len(in) == 0 {
		return usageError("want at least one of --to, --subject, --description, --ordered, --unordered, --concurrency")
	}
	return c.change(ctx, t, c.ID, in, c.JSON, "is changed")
}

type endpointEnable struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointEnable) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, c.ID, map[string]any{"enabled": true}, c.JSON, "is enabled. It gets what is said from now on")
}

type endpointDisable struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointDisable) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, c.ID, map[string]any{"enabled": false}, c.JSON, "is disabled. What is said from now on is not for it")
}

// change changes an endpoint and says what it is then.
func (c *client) change(ctx context.Context, t *terminal, id string, in map[string]any, asJSON bool, what string) error {
	var e endpoint
	if err := c.do(ctx, http.MethodPatch, endpointPath(id), nil, in, &e); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(t.out, e)
	}
	_, err := fmt.Fprintf(t.out, "%s %s.\n", printable(e.ID), what)
	return err
}

type endpointDelete struct {
	client
	ID   string `arg:"" help:"The endpoint's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *endpointDelete) Run(ctx context.Context, t *terminal) error {
	if err := c.do(ctx, http.MethodDelete, endpointPath(c.ID), nil, nil, nil); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, map[string]string{"id": c.ID, "status": "deleted"})
	}
	_, err := fmt.Fprintf(t.out, "%s is deleted. Nothing is sent to it any more.\n", printable(c.ID))
	return err
}
