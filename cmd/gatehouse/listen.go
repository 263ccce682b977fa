package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/natsauth"
	"gatehouse/keys"
	"gatehouse/oauth"
	"gatehouse/passthrough"
	"gatehouse/sessions"
	"gatehouse/sharing"
	"gatehouse/tokens"
	"gatehouse/web"
	"gatehouse/web/dashboard"
	"gatehouse/webhooks"
)

// openListeners takes the addresses first of all: a port that is taken is the likeliest reason not to start.
func (a *App) openListeners(context.Context) (err error) {
	for _, l := range []struct {
		variable, addr string
		to             *net.Listener
	}{{"ADDR", a.config.Addr, &a.public}, {"ADMIN_ADDR", a.config.AdminAddr, &a.private}, {"OPS_ADDR", a.config.OpsAddr, &a.ops}} {
		if l.addr == "" {
			continue
		}
		if taken := a.config.public; taken != nil && l.to == &a.public {
			a.own(taken)
			a.public = taken
			continue
		}
		if *l.to, err = a.listen(l.variable, l.addr); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) listen(variable, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_%s: listening on %s: %w", variable, addr, err)
	}
	a.own(l)
	return l, nil
}

func (a *App) own(l net.Listener) { a.closeLater(func() error { _ = l.Close(); return nil }) }

// openTokens puts together the OAuth flow and what it gets: the tokens.
func (a *App) openTokens() error {
	client, err := oauth.NewClient(oauth.Config{
		ClientID: a.config.DoorflowClientID, ClientSecret: a.config.DoorflowClientSecret,
		AuthorizeURL: a.config.DoorflowAuthorizeURL.String(), APIURL: a.config.DoorflowAPIURL.String(),
		RedirectURL: a.config.PublicURL.JoinPath("oauth/callback").String(), Transport: a.outbound,
	})
	if err != nil {
		return err
	}
	a.keeper = tokens.New(tokens.Config{
		DB: a.db, Events: a.events, Vault: a.vault, OAuth: client, APIURL: a.config.DoorflowAPIURL.String(),
		WantedScopes: a.config.DoorflowScopes, Registerer: a.registry, Log: a.log,
	})
	a.connect, err = oauth.NewConnect(oauth.ConnectConfig{
		Client: client, Connections: a.keeper, DB: a.db, Events: a.events, Vault: a.vault,
		PublicURL: a.config.PublicURL.String(), ReturnURLs: a.config.ReturnURLs, Scopes: a.config.DoorflowScopes,
		Accounts: web.Accounts, Log: a.log,
	})
	if err != nil {
		return err
	}
	return nil
}

// webConfig brings the routes together, and holds each of them to what its caller may see.
func (a *App) webConfig() (web.Config, error) {
	messages := events.NewHandlers(a.history, a.vault.Cover("cursors"))
	messages.Accounts, messages.Identities = web.Accounts, web.Identities
	c := web.Config{
		PublicURL: a.config.PublicURL, TrustedProxies: a.config.TrustedProxies, Authenticate: a.authenticate,
		Checks: a.checks(), Registry: a.registry, Log: a.log, Wrap: a.tracing.Handler,
		Messages: messages, Ring: &keys.Handlers{Ring: a.ring},
	}
	d := dashboard.Config{
		Messages: messages, Audit: &audit.Handlers{Log: a.audit, Accounts: web.Accounts, Identities: web.Identities}, Keys: &apikeys.Handlers{Keys: a.keys},
		NATS:       &natsauth.Handlers{Credentials: a.nats, Accounts: web.Accounts, Identities: web.Identities},
		Endpoints:  &webhooks.EndpointHandlers{Endpoints: a.endpoints, Health: a.deliveries.Health, Try: a.deliveries.Try, Accounts: web.Accounts, Identities: web.Identities},
		Deliveries: &webhooks.DeliveryHandlers{Deliveries: a.deliveries, Accounts: web.Accounts, Identities: web.Identities},
		Identities: &sharing.IdentityHandlers{Of: a.identities, Allowed: web.Identities},
		Operations: &sharing.OperationHandlers{Of: a.operations, Authority: authority},
	}
	c.Audit, c.Keys, c.NATSCredentials, c.Endpoints, c.Deliveries = d.Audit, d.Keys, d.NATS, d.Endpoints, d.Deliveries
	c.Identities, c.Operations = d.Identities, d.Operations
	if a.keeper != nil {
		d.Connections, d.Connect = &tokens.Handlers{Keeper: a.keeper, Accounts: web.Accounts}, a.connect
		c.Webhooks, c.Connect, c.Connections = a.receiver, a.connect, d.Connections
		c.DoorFlow = &passthrough.Handlers{
			Base: a.config.DoorflowAPIURL, Client: a.client, Connection: a.keeper.Get, Audit: a.audit, Accounts: web.Accounts, Log: a.log,
		}
	}
	err := a.addDashboard(&c, d)
	return c, err
}

// addDashboard puts the pages on top of what programs have.
func (a *App) addDashboard(c *web.Config, d dashboard.Config) (err error) {
	c.Sessions = sessions.New(sessions.Config{DB: a.db, Events: a.events, Keys: a.keys})
	links := &sessions.Handlers{Sessions: c.Sessions, Key: web.KeyID}
	if a.private == nil {
		links.Base = strings.TrimSuffix(a.config.PublicURL.String(), "/")
	}
	c.SignInLinks = links
	a.pulse = &dashboard.Pulse{Registry: a.registry, DB: a.db, Checks: a.checks(), Log: a.log}
	c.Record = func(ctx context.Context, e audit.Entry) error { _, err := a.audit.Write(ctx, e); return err }
	d.DB, d.Pulse, d.Sessions, d.WantedScopes, d.Log = a.db, a.pulse, c.Sessions, a.config.DoorflowScopes, a.log
	a.pages, err = dashboard.New(d)
	c.Dashboard = a.pages
	return err
}

// openWeb gives each listener its handler.
func (a *App) openWeb(ctx context.Context) error {
	if a.keeper != nil {
		if _, err := a.fetcher.Look(ctx); err != nil {
			return err
		}
	}
	config, err := a.webConfig()
	if err != nil {
		return err
	}
	server, err := web.New(config)
	if err != nil {
		return err
	}
	tlsConfig, err := a.tls()
	if err != nil {
		return err
	}
	a.serve(server.Bounded(a.public), server.Public(a.private == nil), tlsConfig)
	if a.private != nil {
		a.serve(server.Bounded(a.private), server.Admin(), tlsConfig)
	}
	if a.ops != nil {
		a.serve(server.Bounded(a.ops), server.Ops(), nil)
	}
	return nil
}

func (a *App) serve(l net.Listener, h http.Handler, tlsConfig *tls.Config) {
	a.servers = append(a.servers, func(ctx context.Context) error { return web.Serve(ctx, l, h, tlsConfig, a.log) })
}

// tls is nil when the gateway does not speak https itself.
func (a *App) tls() (*tls.Config, error) {
	if a.config.TLSCertFile == "" {
		return nil, nil
	}
	certificate, err := web.LoadCertificate(a.config.TLSCertFile, a.config.TLSKeyFile, a.log)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE: %w", err)
	}
	return certificate.TLS(), nil
}

// checks are what readiness looks at. Without NATS webhooks are still accepted, so that it alone does not
// keep them away.
func (a *App) checks() []web.Check {
	checks := []web.Check{
		{Name: "database", Critical: true, Run: a.canStore},
		{Name: "keys", Critical: true, Run: a.ring.Healthy},
		{Name: "nats", Run: a.bus.Healthy},
	}
	if a.service != nil {
		checks = append(checks, web.Check{Name: "requests", Critical: true, Run: a.service.Healthy})
	}
	return checks
}

// canStore commits, so that a disk that is full or gone shows, and shows as well when it is back.
func (a *App) canStore(ctx context.Context) error {
	err := a.events.Do(ctx, func(context.Context, *events.Tx) error { return nil })
	if errors.Is(err, events.ErrOverloaded) {
		return nil // it stores as fast as it can; to be taken out of service would only move the load on
	}
	return err
}
