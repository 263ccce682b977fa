package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

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
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OPERATION\tID\tRECEIVED\tTYPE\tIDENTITY\tLOCK\tPEOPLE\tSTATUS\tERROR")
	for _, a := range items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", printable(a.Operation), printable(a.ID), local(a.ReceivedAt), printable(a.Type),
			printable(a.Identity), printable(a.Lock), len(a.Results), printable(string(a.Status)), printable(orDash(a.Error)))
	}
	return w.Flush()
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
	if err := printFields(t.out, fields); err != nil || len(a.Results) == 0 {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t.out)
	fmt.Fprintln(w, "PERSON\tSTATUS\tERROR\tUSER")
	for _, r := range a.Results {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(r.Invitee.String()), printable(string(r.Status)), printable(orDash(r.Error)), printable(orDash(r.User)))
	}
	return w.Flush()
}
