package main

import (
	"context"
	"errors"
	"gatehouse/events"
	"gatehouse/oauth"
	"gatehouse/tokens"
	"github.com/labstack/echo/v4"
	"net"
	"net/http"
	"time"
)

func (a *App) openListeners(ctx context.Context) error {
	l, err := a.listen("ADDR", a.config.Addr)
	if err != nil {
		return err
	}
	a.listeners = append(a.listeners, listener{Listener: l})
	return nil
}
func (a *App) addr() string { return a.listeners[0].Addr().String() }

func (a *App) openTokens() error {
	oc, err := oauth.NewClient(oauth.Config{ClientID: a.config.DoorflowClientID, ClientSecret: a.config.DoorflowClientSecret,
		AuthorizeURL: a.config.DoorflowAuthorizeURL.String(), APIURL: a.config.DoorflowAPIURL.String(), RedirectURL: a.config.PublicURL.JoinPath("oauth/callback").String()})
	if err != nil {
		return err
	}
	a.keeper = tokens.New(tokens.Config{DB: a.db, Events: a.events, Vault: a.vault, OAuth: oc, APIURL: a.config.DoorflowAPIURL.String(), WantedScopes: a.config.DoorflowScopes, Registerer: a.registry, Log: a.log})
	a.connect, err = oauth.NewConnect(oauth.ConnectConfig{Client: oc, Connections: a.keeper, DB: a.db, Events: a.events, Vault: a.vault, PublicURL: a.config.PublicURL.String(), ReturnURLs: a.config.ReturnURLs, Scopes: a.config.DoorflowScopes, Log: a.log})
	return err
}

func (a *App) openWeb(ctx context.Context) error {
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		a.log.Error("http", "error", err)
		_ = c.JSON(500, map[string]string{"title": err.Error()})
	}
	e.GET("/readyz", func(c echo.Context) error { return c.String(200, "ok") })
	if a.receiver != nil {
		e.POST("/webhooks/doorflow", a.receiver.Handle)
		e.GET("/oauth/start/:link", a.connect.StartPage)
		e.POST("/oauth/start/:link", a.connect.Start)
		e.GET("/oauth/callback", a.connect.Callback)
		e.POST("/v1/connect-links", a.connect.CreateLink)
		e.GET("/v1/connect-links/:link", a.connect.GetLink)
		h := tokens.Handlers{Keeper: a.keeper}
		e.GET("/v1/connections", h.List)
	}
	m := events.NewHandlers(a.history)
	e.GET("/v1/messages", m.List)
	l := a.listeners[0].Listener
	a.listeners[0].serve = func(ctx context.Context) error {
		s := &http.Server{Handler: e, BaseContext: func(net.Listener) context.Context { return context.Background() }}
		go func() {
			<-ctx.Done()
			c, f := context.WithTimeout(context.Background(), 5*time.Second)
			defer f()
			s.Shutdown(c)
		}()
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return nil
}
