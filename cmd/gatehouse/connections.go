package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/oauth"
	"gatehouse/tokens"
)

type connectCommand struct {
	client
	Reference string `env:"-" help:"What the customer sees: who asks." placeholder:"TEXT"`
	Account   string `env:"-" help:"The account that must connect, where it is known." placeholder:"ID"`
	ReturnURL string `env:"-" help:"Where the customer's browser goes afterwards; the app there completes the link." placeholder:"URL"`
	JSON      bool   `env:"-" help:"Print JSON."`
}

func (c *connectCommand) Run(ctx context.Context, t *terminal) error {
	in := map[string]string{}
	for name, value := range map[string]string{"reference": c.Reference, "account": c.Account, "return_url": c.ReturnURL} {
		if value != "" {
			in[name] = value
		}
	}
	var link oauth.Link
	if err := c.do(ctx, http.MethodPost, "/v1/connect-links", nil, in, &link); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, link)
	}
	_, err := fmt.Fprintf(t.out, "Open this link in the browser of somebody who may administer the DoorFlow account:\n\n  %s\n\nIt works until %s, or until it has been used.\n", printable(link.URL), local(link.ExpiresAt))
	return err
}

type connectionCommands struct {
	List       connectionList       `cmd:"" default:"withargs" help:"List the accounts."`
	Show       connectionShow       `cmd:"" help:"Show one account."`
	Disconnect connectionDisconnect `cmd:"" help:"Revoke an account's tokens at DoorFlow and wipe them."`
}

type connectionList struct {
	client
	Limit int  `env:"-" default:"1000" help:"At most so many."`
	JSON  bool `env:"-" help:"Print JSON."`
}

func (c *connectionList) Run(ctx context.Context, t *terminal) error {
	items, err := list[tokens.Connection](ctx, &c.client, "/v1/connections", url.Values{}, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "No account is connected. Make a link with: gatehouse connect")
		return err
	}
	w := t.table("ACCOUNT", "STATUS", "LAST WEBHOOK", "REFRESHED", "MISSING SCOPES")
	for _, i := range items {
		w.row(i.Account, i.Status, i.LastWebhookAt, i.RefreshedAt, orDash(strings.Join(i.MissingScopes, " ")))
	}
	return w.print()
}

type connectionShow struct {
	client
	Account string `arg:"" help:"The account's id."`
	JSON    bool   `env:"-" help:"Print JSON."`
}

func (c *connectionShow) Run(ctx context.Context, t *terminal) error {
	var i tokens.Connection
	if err := c.do(ctx, http.MethodGet, "/v1/connections/"+url.PathEscape(c.Account), nil, nil, &i); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, i)
	}
	return t.fields([][2]string{
		{"account", i.Account},
		{"status", i.Status},
		{"reason", orDash(i.Reason)},
		{"scopes", orDash(strings.Join(i.Scopes, " "))},
		{"missing scopes", orDash(strings.Join(i.MissingScopes, " "))},
		{"refused by DoorFlow", orDash(strings.Join(i.Forbidden, " "))},
		{"connected", local(i.ConnectedAt)},
		{"refreshed", local(i.RefreshedAt)},
		{"access token expires", local(i.AccessExpiresAt)},
		{"last webhook", local(i.LastWebhookAt)},
		{"silent since", local(i.SilentSince)},
		{"caught up", local(i.CaughtUpAt)},
	})
}

type connectionDisconnect struct {
	client
	Account string `arg:"" help:"The account's id."`
	JSON    bool   `env:"-" help:"Print JSON."`
}

func (c *connectionDisconnect) Run(ctx context.Context, t *terminal) error {
	var answer struct {
		Account string `json:"account"`
		Status  string `json:"status"`
		Revoked bool   `json:"revoked"`
	}
	if err := c.do(ctx, http.MethodDelete, "/v1/connections/"+url.PathEscape(c.Account), nil, nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, answer)
	}
	told := "its tokens are revoked and wiped"
	if !answer.Revoked {
		told = "DoorFlow could not be asked to revoke its tokens yet; the gateway keeps trying"
	}
	_, err := fmt.Fprintf(t.out, "%s is disconnected; %s.\n", printable(answer.Account), told)
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
