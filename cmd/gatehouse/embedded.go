package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
)

// openNATS starts the embedded server or reaches an external one, and declares the streams.
func (a *App) openNATS(ctx context.Context) (err error) {
	c := events.BusConfig{
		URL: a.config.NATSURL, CredsFile: a.config.NATSCredsFile, CAFile: a.config.NATSCAFile,
		Replicas: a.config.NATSReplicas, Retention: a.config.Retention, Log: a.log,
	}
	var authority *natsauth.Authority
	if c.URL == "" {
		if authority, err = a.startEmbedded(ctx, &c); err != nil {
			return err
		}
	}
	if a.bus, err = events.Connect(ctx, c); err != nil {
		return err
	}
	a.closeLater(func() error { a.bus.Close(); return nil })
	if authority == nil {
		return nil
	}
	a.nats = natsauth.New(natsauth.Config{DB: a.db, Authority: authority, Server: a.embedded, JetStream: a.bus.JS, Log: a.log})
	if err := a.nats.Settle(ctx); err != nil {
		// Webhooks are not turned away for that; it is tried again while the gateway runs.
		a.log.Warn("the consumers of NATS credentials could not be looked at", "error", err)
	}
	return nil
}

// startEmbedded starts the server, which knows the credentials from its first moment.
func (a *App) startEmbedded(ctx context.Context, c *events.BusConfig) (*natsauth.Authority, error) {
	authority, err := natsauth.NewAuthority()
	if err != nil {
		return nil, err
	}
	credentials, err := natsauth.Load(ctx, a.db, time.Now())
	if err != nil {
		return nil, err
	}
	trust, err := authority.Trust(credentials)
	if err != nil {
		return nil, err
	}
	e := events.EmbeddedConfig{Dir: filepath.Join(a.config.DataDir, "jetstream"), Log: a.log, Trust: trust, Listen: a.config.NATSListen}
	if !a.config.natsOnLoopback() {
		if e.TLS, err = a.tls(); err != nil {
			return nil, err
		}
	}
	if a.embedded, err = events.StartEmbedded(e); err != nil {
		if errors.Is(err, events.ErrListening) {
			err = fmt.Errorf("GATEHOUSE_NATS_LISTEN: %w", err)
		}
		return nil, err
	}
	a.closeLater(func() error { a.embedded.Stop(); return nil })
	c.Embedded = a.embedded
	c.User, err = authority.User()
	return authority, err
}

// natsAddr is where the embedded server listens, "" when it does not or there is none.
func (a *App) natsAddr() string {
	if a.embedded == nil {
		return ""
	}
	return a.embedded.Addr()
}
