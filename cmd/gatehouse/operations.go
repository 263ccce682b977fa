package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"gatehouse/sharing"
)

type operationCommands struct {
	List operationList `cmd:"" default:"withargs" help:"List operations, newest first."`
	Show operationShow `cmd:"" help:"Show one operation, and what became of each of its people."`
}

type operationList struct {
	client
	Identity string `env:"-" placeholder:"NAME" help:"Of one identity only."`
	Lock     string `env:"-" placeholder:"ID" help:"On one lock only."`
	Caller   string `env:"-" placeholder:"NAME" help:"Of one caller only."`
	ID       string `env:"-" placeholder:"ID" help:"With this id of the caller's."`
	Type     string `env:"-" words:"share,revoke,unlock" placeholder:"TYPE" help:"share, revoke or unlock."`
	Status   string `env:"-" words:"accepted,running,queued,applied,confirmed,partial,failed,expired,cancelled,unknown" placeholder:"STATUS" help:"With this status."`
	Limit    int    `env:"-" default:"50" help:"At most so many."`
	JSON     bool   `env:"-" help:"Print JSON."`
}

func (c *operationList) Run(ctx context.Context, t *terminal) error {
	q := url.Values{}
	for name, value := range map[string]string{
		"identity": c.Identity, "lock": c.Lock, "caller": c.Caller, "id": c.ID, "type": c.Type, "status": c.Status,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	items, err := listBy[sharing.Answer](ctx, &c.client, "/v1/operations", q, c.Limit, 100)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no such operations.")
		return err
	}
	w := t.table("OPERATION", "STATUS", "TYPE", "RECEIVED", "ID", "LOCK", "PEOPLE", "ERROR", "IDENTITY")
	for _, a := range items {
		w.row(a.Operation, a.Status, a.Type, a.ReceivedAt, a.ID, a.Lock, len(a.Results), orDash(a.Error), a.Identity)
	}
	return w.print()
}

type operationShow struct {
	client
	Operation string `arg:"" help:"The operation's id, as the gateway gave it."`
	JSON      bool   `env:"-" help:"Print JSON."`
}

func (c *operationShow) Run(ctx context.Context, t *terminal) error {
	var a sharing.Answer
	if err := c.do(ctx, http.MethodGet, "/v1/operations/"+url.PathEscape(c.Operation), nil, nil, &a); err != nil {
		return err
	}
	return showOperation(t, a, c.JSON)
}

// showOperation prints what has become of an operation.
func showOperation(t *terminal, a sharing.Answer, asJSON bool) error {
	if asJSON {
		return writeJSON(t.out, a)
	}
	fields := [][2]string{
		{"operation", a.Operation},
		{"id", a.ID},
		{"type", a.Type},
		{"identity", a.Identity},
		{"lock", a.Lock},
		{"caller", a.Caller},
		{"received", local(a.ReceivedAt)},
		{"ended", local(a.FinishedAt)},
		{"status", string(a.Status)},
	}
	for _, f := range [][2]string{{"error", a.Error}, {"detail", a.Detail}} {
		if f[1] != "" {
			fields = append(fields, f)
		}
	}
	if err := t.fields(fields); err != nil || len(a.Results) == 0 {
		return err
	}
	fmt.Fprintln(t.out)
	w := t.table("PERSON", "STATUS", "ERROR", "USER")
	for _, r := range a.Results {
		w.row(r.Invitee.String(), r.Status, orDash(r.Error), orDash(r.User))
	}
	return w.print()
}
