package main

import (
	"context"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
	"gatehouse/webhooks"
)

// openEndpoints opens the endpoints that deliveries go to.
func (a *App) openEndpoints(context.Context) error {
	a.endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: a.db, Log: a.events, Vault: a.vault, Judge: a.egress.CheckURL, Logger: a.log,
	})
	return nil
}

// limitsOf is what a request's caller is held to.
func limitsOf(c echo.Context) webhooks.Limits {
	return webhooks.Limits{Accounts: web.Accounts(c), Identities: web.Identities(c)}
}
