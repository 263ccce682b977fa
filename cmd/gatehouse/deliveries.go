package main

import (
	"context"
	"errors"
	"net/url"

	"gatehouse/webhooks"
)

// openEndpoints opens the endpoints that deliveries go to.
func (a *App) openEndpoints(context.Context) error {
	a.endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: a.db, Log: a.events, Vault: a.vault, Judge: httpsOnly, Logger: a.log,
	})
	return nil
}

func httpsOnly(u *url.URL) error {
	if u.Scheme != "https" {
		return errors.New("must be https")
	}
	return nil
}
