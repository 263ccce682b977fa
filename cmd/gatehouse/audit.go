package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse/internal/audit"
)

type auditCommands struct {
	List   auditList   `cmd:"" default:"withargs" help:"Show who did what, newest first."`
	Verify auditVerify `cmd:"" help:"Look whether entries were changed, removed or cut off."`
}

type auditList struct {
	client
	Actor  string `env:"-" help:"Only what this actor did, such as the name of an API key." placeholder:"NAME"`
	Action string `env:"-" help:"Only this action, such as connection.disconnect." placeholder:"ACTION"`
	Since  string `env:"-" help:"Not older than this: a time (RFC 3339) or an age such as 24h." placeholder:"WHEN"`
	Limit  int    `env:"-" default:"50" help:"At most so many."`
	JSON   bool   `env:"-" help:"Print JSON."`
}

func (c *auditList) Run(ctx context.Context, t *terminal) error {
	q := url.Values{}
	for name, value := range map[string]string{"actor": c.Actor, "action": c.Action} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Since != "" {
		since, err := parseSince(c.Since)
		if err != nil {
			return err
		}
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	items, err := list[audit.Stored](ctx, &c.client, "/v1/audit", q, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no such entries.")
		return err
	}
	w := t.table("WHEN", "WHO", "FROM", "ACTION", "OUTCOME", "ACCOUNT", "TARGET")
	for _, i := range items {
		outcome := i.Outcome
		if i.Status != 0 {
			outcome += " " + strconv.Itoa(i.Status)
		}
		w.row(i.At, who(i), orDash(i.Remote), i.Action, outcome, orDash(i.Account), orDash(target(i)))
	}
	return w.print()
}

// who names an actor so that none can pass for one of another kind.
func who(i audit.Stored) string {
	if i.Actor == "" {
		return i.ActorKind
	}
	return i.ActorKind + " " + i.Actor
}

// target is what it was done to, by its name first where it has an id and a name: an id tells people nothing.
func target(i audit.Stored) string {
	id, name, both := strings.Cut(i.Target, " ")
	if both && uuid.Validate(id) == nil {
		return name + " (" + id + ")"
	}
	return i.Target
}
