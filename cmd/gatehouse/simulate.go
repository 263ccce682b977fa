package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/vault"
)

type simulateCommands struct {
	Doorflow simulateDoorflow `cmd:"" help:"A stand-in for DoorFlow: OAuth, API, signed webhooks. All its data is invented."`
	Doordeck simulateDoordeck `cmd:"" help:"A stand-in for Doordeck: keys and certificates, directory, locks, signed operations. All its data is invented."`
}

type simulateDoorflow struct {
	Addr         string        `env:"-" default:"127.0.0.1:8090" placeholder:"HOST:PORT" help:"Where it listens. Default: ${default}."`
	ClientID     string        `env:"-" default:"demo-client" placeholder:"ID" help:"The OAuth application it knows. Default: ${default}."`
	ClientSecret vault.Secret  `env:"-" default:"demo-secret" placeholder:"SECRET" help:"Its secret, which also signs webhooks. Default: demo-secret."`
	Gateway      *url.URL      `env:"-" default:"http://localhost:8080" placeholder:"URL" help:"The gateway that gets the webhooks. Default: ${default}."`
	Every        time.Duration `env:"-" default:"1s" help:"A door event in each account this often; 0 for none."`
	Grace        bool          `env:"-" help:"Old tokens live until the new access token is first used."`
}

func (c *simulateDoorflow) Run(ctx context.Context, t *terminal) error {
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.Addr, err)
	}
	origin := "http://" + listener.Addr().String()
	o := doorflowsim.Options{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), PublicURL: origin,
		WebhookURL:   c.Gateway.JoinPath("webhooks/doorflow").String(),
		RedirectURIs: []string{c.Gateway.JoinPath("oauth/callback").String()},
		Log:          slog.New(slog.NewTextHandler(t.err, nil)),
	}
	if c.Grace {
		o.Rotation = doorflowsim.RotateGrace
	}
	sim := doorflowsim.New(o)
	fmt.Fprintf(t.out, "DoorFlow stand-in on %s. Run the gateway with:\n\n", origin)
	fmt.Fprintf(t.out, "  export GATEHOUSE_DOORFLOW_API_URL=%s\n  export GATEHOUSE_DOORFLOW_AUTHORIZE_URL=%s/oauth/authorize\n", origin, origin)
	fmt.Fprintf(t.out, "  export GATEHOUSE_DOORFLOW_CLIENT_ID=%s\n  export GATEHOUSE_DOORFLOW_CLIENT_SECRET=%s\n  gatehouse serve\n", c.ClientID, c.shownSecret())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sim.Run(ctx) })
	group.Go(func() error { return serveSimulator(ctx, listener, sim) })
	group.Go(func() error { return emit(ctx, sim, c.Every) })
	return group.Wait()
}

// shownSecret is the one that everybody knows, or a place for the user's own.
func (c *simulateDoorflow) shownSecret() string {
	if c.ClientSecret == vault.NewSecret("demo-secret") {
		return "demo-secret"
	}
	return "…"
}

// serveSimulator serves until ctx ends.
func serveSimulator(ctx context.Context, listener net.Listener, sim http.Handler) error {
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// emit makes plausible door events in both accounts. They reach the gateway once it is connected to them.
func emit(ctx context.Context, sim *doorflowsim.Sim, every time.Duration) error {
	if every <= 0 {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, account := range []string{doorflowsim.AccountA, doorflowsim.AccountB} {
				sim.Emit(account, sim.Random(account))
			}
		}
	}
}
