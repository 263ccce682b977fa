package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/natsauth"
)

type natsCommands struct {
	Creds natsCreds `cmd:"" help:"Mint, list or revoke credentials of the embedded NATS server. For an external server its own operator mints."`
}

type natsCreds struct {
	Mint   natsMint   `cmd:"" default:"withargs" help:"Mint credentials for a program and print the .creds file: nats creds NAME … > app.creds"`
	List   natsList   `cmd:"" help:"List the credentials and what they may do."`
	Revoke natsRevoke `cmd:"" help:"End credentials and close their connections."`
}

const natsPath = "/v1/nats-credentials"

// natsAdmin is embedded in the commands below.
type natsAdmin struct {
	besideOrAlone
	NATSURL string `group:"Which gateway:" name:"nats-url" placeholder:"URL,…" help:"The gateway's external NATS, where it has one; then its own operator mints."`
}

// run asks the gateway, or does it on the data directory.
func (c *natsAdmin) run(ctx context.Context, ask func() error, do func(context.Context, *alone) error) error {
	if c.NATSURL != "" {
		return natsauth.ErrExternal
	}
	a, err := c.open(ctx)
	if err != nil {
		return err
	}
	if a == nil {
		return ask()
	}
	err = do(audit.WithActor(ctx, audit.Actor{Kind: audit.KindLocal, Name: "gatehouse nats creds"}), a)
	return errors.Join(err, a.Close())
}

// credentials are for a gateway that does not run: its next start does the rest.
func (a *alone) credentials() *natsauth.Credentials {
	return natsauth.New(natsauth.Config{DB: a.db, Log: slog.New(slog.DiscardHandler)})
}

type natsMint struct {
	natsAdmin
	Name    string        `arg:"" help:"The program's name: 1 to 64 letters, digits, - or _."`
	Events  []string      `env:"-" placeholder:"ACCOUNT" help:"Accounts whose notifications, events and connections it may hear; * for all."`
	Ask     []string      `env:"-" sep:"none" placeholder:"IDENTITY:OP,…" help:"What it may ask for: share, revoke, unlock, lookup, doors, door. Once for each identity."`
	Command []string      `env:"-" sep:"none" placeholder:"IDENTITY:OP,…" help:"What it may command: share, revoke, unlock. Once for each identity."`
	Durable bool          `env:"-" help:"Make a consumer that keeps the program's place while it is away."`
	Expires time.Duration `env:"-" default:"2160h" help:"How long the credentials live. Default: 90 days."`
}

func (c *natsMint) Run(ctx context.Context, t *terminal) error {
	in := natsauth.Request{Grant: natsauth.Grant{Name: c.Name, Events: c.Events, Durable: c.Durable}}
	var err error
	if in.Ask, err = operations("--ask", c.Ask); err != nil {
		return err
	}
	if in.Command, err = operations("--command", c.Command); err != nil {
		return err
	}
	if c.Expires < time.Second {
		return usageError("--expires: want at least 1s")
	}
	expires := time.Now().Add(c.Expires)
	in.ExpiresAt = &expires
	var minted natsauth.Minted
	err = c.run(ctx, func() error {
		return c.do(ctx, http.MethodPost, natsPath, nil, in, &minted)
	}, func(ctx context.Context, a *alone) error {
		credential, file, err := a.credentials().Mint(ctx, in.Grant, expires)
		minted = natsauth.Minted{Credential: credential, Creds: file.Reveal()}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(t.out, minted.Creds); err != nil {
		return err
	}
	said := fmt.Sprintf("%s may connect until %s, with the inbox prefix _INBOX.%s", minted.Name, local(minted.ExpiresAt), minted.Name)
	if minted.Durable {
		said += fmt.Sprintf(" and, for its consumer %s on stream GATEHOUSE, the JetStream API prefix %s", minted.Name, natsauth.APIPrefix)
	}
	_, err = fmt.Fprintln(t.err, printable(said+". The file cannot be printed again; keep it from others."))
	return err
}

// operations reads IDENTITY:OP,OP… once for each identity.
func operations(flag string, args []string) (map[string][]string, error) {
	granted := map[string][]string{}
	for _, arg := range args {
		i := strings.LastIndex(arg, ":") // an identity may hold one
		if i < 1 || i == len(arg)-1 {
			return nil, usageError(flag + ": want IDENTITY:OPERATION, several operations with commas")
		}
		granted[arg[:i]] = append(granted[arg[:i]], strings.Split(arg[i+1:], ",")...)
	}
	return granted, nil
}

type natsList struct {
	natsAdmin
	Limit int  `env:"-" default:"1000" help:"At most so many."`
	JSON  bool `env:"-" help:"Print JSON."`
}

func (c *natsList) Run(ctx context.Context, t *terminal) error {
	var items []natsauth.Credential
	err := c.run(ctx, func() (err error) {
		items, err = list[natsauth.Credential](ctx, &c.client, natsPath, url.Values{}, c.Limit)
		return err
	}, func(ctx context.Context, a *alone) (err error) {
		items, _, err = a.credentials().List(ctx, "", c.Limit, natsauth.All)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no credentials. Mint some with: gatehouse nats creds NAME --events ACCOUNT")
		return err
	}
	w := t.table("NAME", "STATUS", "EXPIRES", "EVENTS", "ASK", "COMMAND", "DURABLE")
	for _, i := range items {
		durable := "-"
		if i.Durable {
			durable = "yes"
		}
		w.row(i.Name, i.Status, i.ExpiresAt, orDash(strings.Join(i.Events, ",")), shown(i.Ask), shown(i.Command), durable)
	}
	return w.print()
}

func shown(granted map[string][]string) string {
	var parts []string
	for _, identity := range slices.Sorted(maps.Keys(granted)) {
		parts = append(parts, identity+":"+strings.Join(granted[identity], ","))
	}
	return orDash(strings.Join(parts, " "))
}

type natsRevoke struct {
	natsAdmin
	Name string `arg:"" help:"The program's name."`
}

func (c *natsRevoke) Run(ctx context.Context, t *terminal) error {
	err := c.run(ctx, func() error {
		return c.do(ctx, http.MethodDelete, natsPath+"/"+url.PathEscape(c.Name), nil, nil, nil)
	}, func(ctx context.Context, a *alone) error {
		return a.credentials().Revoke(ctx, c.Name, natsauth.All)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s is revoked: its file opens nothing any more, and its connections are closed.\n", printable(c.Name))
	return err
}
