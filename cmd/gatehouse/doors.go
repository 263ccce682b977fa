package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse/sharing"
)

type doorsCommand struct {
	client
	Identity string `arg:"" help:"The identity whose doors to show."`
	Lock     string `arg:"" optional:"" help:"One door, by its id. Default: list them."`
	Users    bool   `env:"-" help:"Who has the door."`
	Limit    int    `env:"-" default:"1000" help:"At most so many."`
	JSON     bool   `env:"-" help:"Print JSON."`
}

func (c *doorsCommand) Run(ctx context.Context, t *terminal) error {
	switch {
	case c.Users && c.Lock == "":
		return usageError("--users: want the id of a door")
	case c.Users:
		return c.users(ctx, t)
	case c.Lock != "":
		return c.one(ctx, t)
	}
	return c.all(ctx, t)
}

func (c *doorsCommand) all(ctx context.Context, t *terminal) error {
	// The gateway asks for each door by itself, so pages are small.
	doors, err := listBy[sharing.Door](ctx, &c.client, identityPath(c.Identity, "/doors"), url.Values{}, c.Limit, 100)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, doors)
	}
	if len(doors) == 0 {
		_, err := fmt.Fprintln(t.out, "There is no door that this identity may share.")
		return err
	}
	w := t.table("DOOR", "NAME", "ONLINE", "ROLE", "BATCHES")
	for _, d := range doors {
		w.row(d.ID, d.Name, online(d), orDash(string(d.Role)), yes(d.BatchSharing))
	}
	return w.print()
}

func (c *doorsCommand) one(ctx context.Context, t *terminal) error {
	var d sharing.Door
	if err := c.do(ctx, http.MethodGet, c.path(), nil, nil, &d); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, d)
	}
	lines := [][2]string{
		{"door", string(d.ID)},
		{"name", d.Name},
		{"online", online(d)},
		{"role", orDash(string(d.Role))},
		{"from", local(d.Start)},
		{"until", local(d.End)},
	}
	for name, value := range d.Capabilities {
		lines = append(lines, [2]string{name, value})
	}
	slices.SortFunc(lines[6:], func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return t.fields(lines)
}

func (c *doorsCommand) users(ctx context.Context, t *terminal) error {
	users, err := list[sharing.DoorUser](ctx, &c.client, c.path()+"/users", url.Values{}, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, users)
	}
	if len(users) == 0 {
		_, err := fmt.Fprintln(t.out, "Nobody has this door.")
		return err
	}
	w := t.table("USER", "ROLE", "UNTIL", "NAME", "EMAIL", "FROM")
	for _, u := range users {
		w.row(u.User, u.Role, forEver(t, u.End), orDash(u.DisplayName), orDash(u.Email), u.Start)
	}
	return w.print()
}

func (c *doorsCommand) path() string {
	return identityPath(c.Identity, "/doors/", url.PathEscape(c.Lock))
}

func online(d sharing.Door) string {
	if d.Connected == nil {
		return "?"
	}
	return yes(*d.Connected)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func forEver(t *terminal, until time.Time) string {
	if until.IsZero() {
		return "for ever"
	}
	return t.when(until)
}
