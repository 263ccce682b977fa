package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/apikeys"
)

type apiKeyCommands struct {
	Create apiKeyCreate `cmd:"" help:"Make a key and print it, this one time."`
	List   apiKeyList   `cmd:"" default:"withargs" help:"List the keys."`
	Revoke apiKeyRevoke `cmd:"" help:"End a key for good."`
}

type apiKeyCreate struct {
	client
	Name         string   `arg:"" help:"What to call it, such as the program that will use it."`
	Scopes       []string `env:"-" words:"scopes" name:"scope" sep:"none" required:"" placeholder:"SCOPE,…" help:"What it may do: ${scopes}."`
	Accounts     []string `env:"-" name:"account" sep:"none" xor:"accounts" placeholder:"ID,…" help:"Hold it to these DoorFlow accounts."`
	NoAccounts   bool     `env:"-" xor:"accounts" help:"Hold it to no account at all."`
	Identities   []string `env:"-" name:"identity" sep:"none" xor:"identities" placeholder:"NAME,…" help:"Hold it to these identities."`
	NoIdentities bool     `env:"-" xor:"identities" help:"Hold it to no identity at all."`
	Expires      string   `env:"-" placeholder:"WHEN" help:"When it ends: a time (RFC 3339) or an age such as 720h. Default: never."`
	JSON         bool     `env:"-" help:"Print JSON."`
}

type createdKey struct {
	apikeys.Key
	Secret string `json:"key"`
}

func (c *apiKeyCreate) Run(ctx context.Context, t *terminal) error {
	in := map[string]any{"name": c.Name, "scopes": values(c.Scopes)}
	if c.NoAccounts || c.Accounts != nil {
		in["accounts"] = values(c.Accounts)
	}
	if c.NoIdentities || c.Identities != nil {
		in["identities"] = values(c.Identities)
	}
	if c.Expires != "" {
		at, err := parseExpiry(c.Expires)
		if err != nil {
			return err
		}
		in["expires_at"] = at.UTC().Format(time.RFC3339)
	}
	var made createdKey
	if err := c.do(ctx, http.MethodPost, "/v1/api-keys", nil, in, &made); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, made)
	}
	if _, err := fmt.Fprintln(t.out, printable(made.Secret)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.err, "This is the only time the key is shown. To end it: gatehouse api-keys revoke %s\n", printable(made.ID))
	return err
}

// values splits what was given with commas. A flag that is given empty, as by a script whose variable is
// not set, stays an empty value, which the gateway refuses; kong would take it for a flag that is absent,
// and the key would be held to nothing.
func values(given []string) []string {
	all := []string{}
	for _, g := range given {
		all = append(all, strings.Split(g, ",")...)
	}
	return all
}

func parseExpiry(s string) (time.Time, error) {
	if age, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(age), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usageError("--expires: want a time such as 2030-01-01T09:00:00Z or an age such as 720h")
	}
	return at, nil
}

type apiKeyList struct {
	client
	Limit int  `env:"-" default:"1000" help:"At most so many."`
	JSON  bool `env:"-" help:"Print JSON."`
}

func (c *apiKeyList) Run(ctx context.Context, t *terminal) error {
	items, err := list[apikeys.Key](ctx, &c.client, "/v1/api-keys", url.Values{}, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no keys but the admin token. Make one with: gatehouse api-keys create")
		return err
	}
	w := t.table("ID", "NAME", "SCOPES", "ACCOUNTS", "IDENTITIES", "CREATED", "USED", "EXPIRES")
	for _, i := range items {
		expires := "never"
		if !i.ExpiresAt.IsZero() {
			expires = t.when(i.ExpiresAt)
			if !i.ExpiresAt.After(time.Now()) {
				expires += " (expired)"
			}
		}
		used := "never"
		if !i.UsedAt.IsZero() {
			used = t.when(i.UsedAt)
		}
		w.row(i.ID, i.Name, strings.Join(i.Scopes, " "), limits(i.Accounts), limits(i.Identities), i.CreatedAt, used, expires)
	}
	return w.print()
}

// limits shows what a key is held to.
func limits(list []string) string {
	switch {
	case list == nil:
		return "all"
	case len(list) == 0:
		return "none"
	}
	return strings.Join(list, " ")
}

type apiKeyRevoke struct {
	client
	ID   string `arg:"" help:"The key's id, as api-keys list shows it."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *apiKeyRevoke) Run(ctx context.Context, t *terminal) error {
	if err := c.do(ctx, http.MethodDelete, "/v1/api-keys/"+url.PathEscape(c.ID), nil, nil, nil); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, map[string]string{"id": c.ID, "status": "revoked"})
	}
	_, err := fmt.Fprintf(t.out, "%s is revoked. It works nowhere any more, and what it had open ends within two seconds.\n", printable(c.ID))
	return err
}
