package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gatehouse/internal/vault"
	"gatehouse/sharing"
)

type identityCommands struct {
	Create   identityCreate   `cmd:"" help:"Make an identity and register it with Doordeck."`
	List     identityList     `cmd:"" default:"withargs" help:"List the identities."`
	Show     identityShow     `cmd:"" help:"Show one identity."`
	Register identityRegister `cmd:"" help:"Register its key now, or a new one."`
	Verify   identityVerify   `cmd:"" help:"Have Doordeck send a code to its person."`
	Check    identityCheck    `cmd:"" help:"Prove its key with the code."`
	Delete   identityDelete   `cmd:"" help:"Delete an identity for good."`
}

func identityPath(name string, more ...string) string {
	return "/v1/identities/" + url.PathEscape(name) + strings.Join(more, "")
}

type identityCreate struct {
	client
	Name              string `arg:"" help:"What the gateway calls it: letters, digits, - and _."`
	Subject           string `env:"-" required:"" placeholder:"ID" help:"Its OpenID subject: what your application calls this administrator."`
	Email             string `env:"-" placeholder:"ADDRESS" help:"Its e-mail address. It or a telephone is needed."`
	EmailVerified     bool   `env:"-" help:"The e-mail address was proven to be the administrator's. Doordeck sends codes there."`
	Telephone         string `env:"-" placeholder:"NUMBER" help:"Its telephone, such as +442034341020."`
	TelephoneVerified bool   `env:"-" help:"The telephone was proven to be the administrator's."`
	DisplayName       string `env:"-" placeholder:"TEXT" help:"What people at Doordeck see."`
	JSON              bool   `env:"-" help:"Print JSON."`
}

func (c *identityCreate) Run(ctx context.Context, t *terminal) error {
	var made sharing.Identity
	in := sharing.IdentityRequest{
		Name: c.Name, Subject: c.Subject, Email: c.Email, EmailVerified: c.EmailVerified,
		Telephone: c.Telephone, TelephoneVerified: c.TelephoneVerified, DisplayName: c.DisplayName,
	}
	if err := c.do(ctx, http.MethodPost, "/v1/identities", nil, in, &made); err != nil {
		return err
	}
	if err := c.do(ctx, http.MethodPost, identityPath(c.Name, "/register"), nil, struct{}{}, &made); err != nil {
		fmt.Fprintf(t.err, "%s is made, and not registered yet; the gateway keeps trying.\n", printable(c.Name))
		return err
	}
	return told(t.out, made, c.JSON)
}

// told prints what has become of an identity, and what is to be done next.
func told(out io.Writer, i sharing.Identity, asJSON bool) error {
	if asJSON {
		return writeJSON(out, i)
	}
	name := printable(i.Name)
	var text string
	switch {
	case i.Status == sharing.StatusReady:
		text = fmt.Sprintf("%s is ready, until %s, and is renewed before.", name, local(i.ServesUntil))
	case i.Status == sharing.StatusVerification && i.Verification == nil:
		text = fmt.Sprintf("%s needs a code: gatehouse identities verify %s", name, name)
	case i.Status == sharing.StatusVerification:
		text = fmt.Sprintf("A code is on its way%s. Within five minutes: gatehouse identities check %s CODE", by(i.Verification.Method), name)
	default:
		text = fmt.Sprintf("%s is %s: %s", name, printable(i.Status), printable(orDash(i.Detail)))
	}
	if i.Status != sharing.StatusReady && i.ServesUntil.After(time.Now()) {
		text += fmt.Sprintf("\nIts old key serves until %s.", local(i.ServesUntil))
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func by(method string) string {
	if method == "" {
		return ""
	}
	return " by " + printable(method)
}

type identityList struct {
	client
	Limit int  `env:"-" default:"1000" help:"At most so many."`
	JSON  bool `env:"-" help:"Print JSON."`
}

func (c *identityList) Run(ctx context.Context, t *terminal) error {
	items, err := list[sharing.Identity](ctx, &c.client, "/v1/identities", url.Values{}, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no identities. Make one with: gatehouse identities create")
		return err
	}
	w := t.table("NAME", "STATUS", "SERVES UNTIL", "CHECKED", "SUBJECT", "DETAIL")
	for _, i := range items {
		w.row(i.Name, i.Status, i.ServesUntil, i.CheckedAt, i.Subject, orDash(i.Detail))
	}
	return w.print()
}

type identityShow struct {
	client
	Name string `arg:"" help:"The identity."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *identityShow) Run(ctx context.Context, t *terminal) error {
	var i sharing.Identity
	if err := c.do(ctx, http.MethodGet, identityPath(c.Name), nil, nil, &i); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, i)
	}
	code := "-"
	if v := i.Verification; v != nil {
		code = fmt.Sprintf("sent%s at %s, %d wrong", by(v.Method), local(v.SentAt), v.WrongCodes)
	}
	key := "-"
	if i.NewKey {
		key = "waits to take over"
	}
	return t.fields([][2]string{
		{"name", i.Name},
		{"status", i.Status},
		{"reason", orDash(i.Reason)},
		{"detail", orDash(i.Detail)},
		{"subject", i.Subject},
		{"email", address(i.Email, i.EmailVerified)},
		{"telephone", address(i.Telephone, i.TelephoneVerified)},
		{"display name", orDash(i.DisplayName)},
		{"user at Doordeck", orDash(i.User)},
		{"serves until", local(i.ServesUntil)},
		{"renews", local(i.RenewsAt)},
		{"new key", key},
		{"code", code},
		{"created", local(i.CreatedAt)},
		{"registered", local(i.RegisteredAt)},
		{"checked", local(i.CheckedAt)},
		{"next look", local(i.NextLookAt)},
	})
}

func address(s string, verified bool) string {
	if s != "" && !verified {
		return s + " (not verified)"
	}
	return orDash(s)
}

type identityRegister struct {
	client
	Name    string `arg:"" help:"The identity."`
	NewKey  bool   `env:"-" xor:"key" help:"Make a new key. The old one serves until Doordeck has taken the new."`
	KeepKey bool   `env:"-" xor:"key" help:"Give up a new key that still waits, and keep the old."`
	JSON    bool   `env:"-" help:"Print JSON."`
}

func (c *identityRegister) Run(ctx context.Context, t *terminal) error {
	in := map[string]bool{}
	if c.NewKey || c.KeepKey {
		in["new_key"] = c.NewKey
	}
	return c.act(ctx, t, identityPath(c.Name, "/register"), in, c.JSON)
}

// act asks for something to be done with an identity and tells what came of it.
func (c *client) act(ctx context.Context, t *terminal, path string, in any, asJSON bool) error {
	var i sharing.Identity
	if err := c.do(ctx, http.MethodPost, path, nil, in, &i); err != nil {
		return err
	}
	return told(t.out, i, asJSON)
}

type identityVerify struct {
	client
	Name   string `arg:"" help:"The identity."`
	Method string `env:"-" enum:"EMAIL,SMS,TELEPHONE," default:"" placeholder:"METHOD" help:"EMAIL, SMS or TELEPHONE. Default: Doordeck chooses."`
	JSON   bool   `env:"-" help:"Print JSON."`
}

func (c *identityVerify) Run(ctx context.Context, t *terminal) error {
	in := map[string]string{}
	if c.Method != "" {
		in["method"] = c.Method
	}
	return c.act(ctx, t, identityPath(c.Name, "/verify"), in, c.JSON)
}

type identityCheck struct {
	client
	Name string       `arg:"" help:"The identity."`
	Code vault.Secret `arg:"" optional:"" help:"The code, as it was sent. Default: it is read from standard input."`
	JSON bool         `env:"-" help:"Print JSON."`
}

func (c *identityCheck) Run(ctx context.Context, t *terminal) error {
	code := c.Code.Reveal()
	if code == "" {
		fmt.Fprint(t.err, "Code: ")
		line, _ := bufio.NewReader(io.LimitReader(os.Stdin, 1<<10)).ReadString('\n')
		if code = strings.TrimSpace(line); code == "" {
			return usageError("want the code, on the command line or on standard input")
		}
	}
	return c.act(ctx, t, identityPath(c.Name, "/check"), map[string]string{"code": code}, c.JSON)
}

type identityDelete struct {
	client
	Name string `arg:"" help:"The identity."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *identityDelete) Run(ctx context.Context, t *terminal) error {
	if err := c.do(ctx, http.MethodDelete, identityPath(c.Name), nil, nil, nil); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, map[string]string{"name": c.Name, "status": "deleted"})
	}
	_, err := fmt.Fprintf(t.out, "%s is deleted; its keys are gone. Its name, subject, email and telephone stay taken.\n", printable(c.Name))
	return err
}
