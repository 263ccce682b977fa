package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gatehouse/sharing"
)

// request is what share, revoke and unlock have in common.
type request struct {
	client
	Identity string        `arg:"" help:"The identity to act as."`
	Lock     string        `arg:"" help:"The lock's id; gatehouse doors lists them."`
	ID       string        `env:"-" placeholder:"ID" help:"Your own id for it: asked again with the same id, it is not done again."`
	Wait     time.Duration `env:"-" placeholder:"TIME" help:"Wait so long for the outcome, at most a minute. Default: 30s for an unlock, else not at all."`
	JSON     bool          `env:"-" help:"Print JSON."`
}

// people are whom a share or revoke concerns.
type people struct {
	Email             []string `env:"-" sep:"none" placeholder:"ADDRESS" help:"A person's e-mail address. These may be given more than once."`
	Telephone         []string `env:"-" sep:"none" placeholder:"NUMBER" help:"A person's telephone, such as +442034341020."`
	ForeignKey        []string `env:"-" sep:"none" placeholder:"ID" help:"What your application calls a person."`
	User              []string `env:"-" sep:"none" placeholder:"ID" help:"A person's Doordeck user id."`
	IdentityTokenFile []string `env:"-" sep:"none" placeholder:"FILE" help:"A file with a person's encrypted identity token."`
}

func (p people) invitees() ([]map[string]any, error) {
	all := []map[string]any{}
	for _, named := range []struct {
		by     string
		values []string
	}{{"email", p.Email}, {"telephone", p.Telephone}, {"foreign_key", p.ForeignKey}, {"user", p.User}} {
		for _, value := range named.values {
			all = append(all, map[string]any{named.by: value})
		}
	}
	for _, path := range p.IdentityTokenFile {
		token, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError("--identity-token-file: " + err.Error())
		}
		all = append(all, map[string]any{"identity_token": strings.TrimSpace(string(token))})
	}
	if len(all) == 0 {
		return nil, usageError("want at least one person: --email, --telephone, --foreign-key, --user or --identity-token-file")
	}
	return all, nil
}

type shareCommand struct {
	request
	people
	Role              string `env:"-" enum:"USER,ADMIN" default:"USER" help:"USER or ADMIN. Default: USER."`
	Start             string `env:"-" placeholder:"WHEN" help:"From when: a time (RFC 3339) or a time from now such as 2h. Default: at once."`
	End               string `env:"-" placeholder:"WHEN" help:"Until when, likewise. Default: for ever."`
	ValidFor          string `env:"-" placeholder:"TIME" help:"How long it may wait for an offline door, at most 336h. Default: now or not at all."`
	Provision         bool   `env:"-" help:"Make the person known to Doordeck who is not. Needs one --foreign-key, and an --email or --telephone for it."`
	EmailVerified     bool   `env:"-" help:"With --provision: the e-mail address was proven to be the person's."`
	TelephoneVerified bool   `env:"-" help:"With --provision: the telephone was proven to be the person's."`
	DisplayName       string `env:"-" placeholder:"TEXT" help:"With --provision: the person's name."`
}

func (c *shareCommand) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"type": sharing.Share, "role": c.Role}
	for name, value := range map[string]string{"start": c.Start, "end": c.End} {
		if value == "" {
			continue
		}
		at, err := parseWhen("--"+name, value)
		if err != nil {
			return err
		}
		body[name] = at.UTC().Format(time.RFC3339)
	}
	if c.ValidFor != "" {
		body["valid_for"] = c.ValidFor
	}
	invitees, err := c.whom()
	if err != nil {
		return err
	}
	body["invitees"] = invitees
	return c.ask(ctx, t, body)
}

func (c *shareCommand) whom() ([]map[string]any, error) {
	if !c.Provision {
		if c.EmailVerified || c.TelephoneVerified || c.DisplayName != "" {
			return nil, usageError("--email-verified, --telephone-verified and --display-name: are for --provision")
		}
		return c.invitees()
	}
	if len(c.ForeignKey) != 1 || len(c.Email) > 1 || len(c.Telephone) > 1 || len(c.Email)+len(c.Telephone) == 0 || len(c.User)+len(c.IdentityTokenFile) > 0 {
		return nil, usageError("--provision: want one --foreign-key and an --email, a --telephone or both")
	}
	person := map[string]any{
		"foreign_key": c.ForeignKey[0], "provision": true, "email_verified": c.EmailVerified, "telephone_verified": c.TelephoneVerified, "display_name": c.DisplayName,
	}
	for _, email := range c.Email {
		person["email"] = email
	}
	for _, telephone := range c.Telephone {
		person["telephone"] = telephone
	}
	return []map[string]any{person}, nil
}

func parseWhen(flag, s string) (time.Time, error) {
	if after, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(after), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usageError(flag + ": want a time such as 2026-12-01T09:00:00Z or a time from now such as 2h")
	}
	return at, nil
}

type revokeCommand struct {
	request
	people
	ValidFor string `env:"-" placeholder:"TIME" help:"How long it may wait for an offline door, at most 336h. Default: now or not at all."`
}

func (c *revokeCommand) Run(ctx context.Context, t *terminal) error {
	invitees, err := c.invitees()
	if err != nil {
		return err
	}
	body := map[string]any{"type": sharing.Revoke, "invitees": invitees}
	if c.ValidFor != "" {
		body["valid_for"] = c.ValidFor
	}
	return c.ask(ctx, t, body)
}

type unlockCommand struct{ request }

// unlockWait is how long an unlock is waited for that no time was given for: it tells whether the door was opened.
const unlockWait = 30 * time.Second

func (c *unlockCommand) Run(ctx context.Context, t *terminal) error {
	if c.Wait == 0 {
		c.Wait = unlockWait
	}
	return c.ask(ctx, t, map[string]any{"type": sharing.Unlock})
}

// unheard adds to an error that the operation may have been taken all the same.
func unheard(err error) error {
	_, answered := errors.AsType[problem](err)
	if way, is := errors.AsType[*net.OpError](err); answered || is && way.Op == "dial" || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w; whether it was taken is not known, and gatehouse operations tells", err)
}

// ask sends an operation and prints what has become of it. One that has ended otherwise than it should is a
// failure.
func (r *request) ask(ctx context.Context, t *terminal, body map[string]any) error {
	if body["lock"] = r.Lock; r.ID != "" {
		body["id"] = r.ID
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if r.Wait < 0 || r.Wait > time.Minute || r.Wait > 0 && r.Wait < time.Second {
		return usageError("--wait: want a time from 1s to 1m")
	}
	header := http.Header{}
	if seconds := int(r.Wait.Seconds()); seconds > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(seconds))
	}
	resp, err := r.send(ctx, http.MethodPost, identityPath(r.Identity, "/operations"), nil, strings.NewReader(string(data)), header)
	if err != nil {
		return unheard(err)
	}
	defer resp.Body.Close()
	var a sharing.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", err)
	}
	if err := showOperation(t, a, r.JSON); err != nil {
		return err
	}
	switch {
	case !a.Status.Final() || a.Status == sharing.Applied || a.Status == sharing.Confirmed:
		return nil
	case r.JSON:
		return errReported
	}
	why := ""
	if a.Error != "" {
		why = " (" + strings.ReplaceAll(a.Error, "_", " ") + ")"
	}
	return fmt.Errorf("it ended as %s%s", a.Status, why)
}
