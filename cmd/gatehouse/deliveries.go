package main

import (
	"context"

	"gatehouse/webhooks"
)

// openEndpoints opens the endpoints that deliveries go to.
func (a *App) openEndpoints(context.Context) error {
	a.endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: a.db, Log: a.events, Vault: a.vault, Judge: a.egress.CheckURL, Logger: a.log,
	})
	return nil
}
