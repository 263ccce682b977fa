package main

import (
	"context"
	"log/slog"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

// Routes opens a gateway with these flags, as serve does, and returns what its router answers to, as
// method and path.
func Routes(ctx context.Context, flags map[string]string) ([]string, error) {
	config, err := newConfig(flags)
	if err != nil {
		return nil, err
	}
	app, err := Open(ctx, config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer app.Close()
	c := app.webConfig()
	c.Registry, c.Wrap = web.NewRegistry(), nil // of the router alone
	server, err := web.New(c)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, r := range server.Public(true).(*echo.Echo).Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes, nil
}
