package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"time"

	"gatehouse/oauth"
)

// customer connects an account of DoorFlow.
func (d *demo) customer(ctx context.Context) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	d.tell("%s allows the gateway to read its doors, on DoorFlow's consent page.", customerName)
	d.tell("The gateway keeps the account's tokens, sealed. No other program ever sees them.")
	return nil
}

// connect makes a connect link and goes through it as a customer's browser does: the gateway's page, its
// button, DoorFlow's consent page, Allow, and back.
func (d *demo) connect(ctx context.Context) error {
	var link oauth.Link
	in := map[string]string{"reference": "Gatehouse demo"}
	if err := d.api.do(ctx, http.MethodPost, "/v1/connect-links", nil, in, &link); err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	customer := browser{&http.Client{Jar: jar, Timeout: 10 * time.Second}}
	start, err := customer.get(ctx, link.URL)
	if err != nil {
		return err
	}
	consent, err := customer.submit(ctx, start, nil)
	if err != nil {
		return err
	}
	done, err := customer.submit(ctx, consent, url.Values{"decision": {"allow"}})
	if err != nil {
		return err
	}
	if done.status != http.StatusOK {
		return fmt.Errorf("DoorFlow's consent page was left with Allow, and the gateway answered %d", done.status)
	}
	var state oauth.Link
	if err := d.api.do(ctx, http.MethodGet, "/v1/connect-links/"+link.ID, nil, nil, &state); err != nil {
		return err
	}
	if state.Status != "connected" {
		return fmt.Errorf("the connect link is %q, not connected", state.Status)
	}
	// The fetcher sees the connection at once, so that the first webhook finds it.
	_, err = d.app.fetcher.Look(ctx)
	return err
}
