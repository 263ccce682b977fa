package main

import (
	"context"

	"gatehouse/webhooks"
)

// openEndpoints opens the endpoints that deliveries go to.
func (a *App) openEndpoints(context.Context) error {
	a.endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: a.db, Log: a.events, Vault: a.vault, Judge: a.egress.CheckURL, Audit: a.audit, Logger: a.log,
	})
	return nil
}

// openDeliveries opens what brings messages to endpoints. It reads the log, so the log must not run yet.
func (a *App) openDeliveries(ctx context.Context) (err error) {
	a.deliveries, err = webhooks.NewDeliveries(ctx, webhooks.DeliveriesConfig{
		DB: a.db, Log: a.events, Endpoints: a.endpoints, Post: a.egress.Post, Registerer: a.registry, Logger: a.log,
	})
	return err
}
