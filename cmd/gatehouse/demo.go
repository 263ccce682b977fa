package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/vault"
)

type demoCommand struct {
	Once bool `env:"-" help:"Play twenty events, check every one on NATS, and exit 0 or 1."`
}

const (
	demoEvents  = 20
	demoTimeout = 60 * time.Second
)

// demo is a simulated DoorFlow, the real gateway in a directory of its own, and a subscriber.
type demo struct {
	out   io.Writer
	sim   *doorflowsim.Sim
	app   *App
	token vault.Secret
	url   *url.URL
}

func (c *demoCommand) Run(ctx context.Context, t *terminal) error {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{out: t.out, token: vault.NewSecret(randomToken())}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	// The story's end, whichever way, ends everything else.
	if err := d.start(ctx, group, dir, t.err); err != nil {
		stop()
		return errors.Join(err, group.Wait())
	}
	defer d.app.Close()
	err = d.play(ctx, c.Once)
	stop()
	if ended := group.Wait(); err == nil {
		err = ended
	}
	return err
}

// start brings up the simulator and the gateway, each on a free port of the loopback address.
func (d *demo) start(ctx context.Context, group *errgroup.Group, dir string, logs io.Writer) error {
	simListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sim := "http://" + simListener.Addr().String()
	addr := freeAddr("127.0.0.1:8080")
	public := "http://" + addr
	d.sim = doorflowsim.New(doorflowsim.Options{
		ClientID: "demo-client", ClientSecret: "demo-secret", AppName: "Gatehouse demo", PublicURL: sim,
		WebhookURL: public + "/webhooks/doorflow", RedirectURIs: []string{public + "/oauth/callback"},
	})
	config, err := newConfig(map[string]string{
		"addr": addr, "ops-addr": "", "nats-listen": freeAddr("127.0.0.1:4222"), "public-url": public, "data-dir": dir, "admin-token": d.token.Reveal(),
		"doorflow-client-id": "demo-client", "doorflow-client-secret": "demo-secret",
		"doorflow-api-url": sim, "doorflow-authorize-url": sim + "/oauth/authorize",
	})
	if err != nil {
		return err
	}
	d.url = config.PublicURL
	// What goes wrong is shown; the rest would drown the story.
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	group.Go(func() error { return d.sim.Run(ctx) })
	group.Go(func() error { return serveSimulator(ctx, simListener, d.sim) })
	if d.app, err = Open(ctx, config, log); err != nil {
		return err
	}
	group.Go(func() error { return d.app.Run(ctx) })
	d.say("A simulated DoorFlow runs on %s, the gateway on %s.", sim, public)
	return nil
}

// freeAddr is the wanted address, or one with another port where that is taken.
func freeAddr(want string) string {
	for _, addr := range []string{want, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return want
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// play is the story.
func (d *demo) play(ctx context.Context, once bool) error {
	d.say("Connecting the account %q through DoorFlow's consent page, as a customer's browser would …", "Harbour Makers")
	if err := d.connect(ctx); err != nil {
		return fmt.Errorf("connecting the account: %w", err)
	}
	d.say("Connected. The tokens are sealed in the database; nobody sees them.")
	seen, err := d.subscribe(ctx)
	if err != nil {
		return err
	}
	if once {
		return d.once(ctx, seen)
	}
	d.say("\nA subscriber on NATS prints what the gateway says, about one door event a second. Look around meanwhile, in another terminal:\n")
	d.say("  export GATEHOUSE_URL=%s GATEHOUSE_TOKEN=%s", d.url, d.token.Reveal())
	d.say("  gatehouse connections      (from a checkout: go run ./cmd/gatehouse connections)")
	d.say("  gatehouse messages tail --subject 'gatehouse.event.*.access.denied'\n")
	d.say("Stop with Ctrl-C.\n")
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return emit(ctx, d.sim, time.Second) })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case m := <-seen:
				d.print(m)
			}
		}
	})
	return group.Wait()
}

func (d *demo) print(m heard) {
	s := stored{Subject: m.subject, Message: m.body}
	_ = s.print(d.out)
}

// once plays twenty events and checks that each was said on NATS exactly once, as a notification and as
// an event, and acknowledged at DoorFlow.
func (d *demo) once(ctx context.Context, seen <-chan heard) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, errors.New("not everything arrived within a minute"))
	defer cancel()
	want := map[string]int{}
	for range demoEvents {
		e := d.sim.Emit(doorflowsim.AccountA, d.sim.Random(doorflowsim.AccountA))
		want[fmt.Sprintf("events/%d", e.ID)] = 0
	}
	for missing := 2 * demoEvents; missing > 0; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages are missing: %w", missing, 2*demoEvents, context.Cause(ctx))
		case m := <-seen:
			d.print(m)
			about := m.resource()
			if n, ours := want[about]; !ours || n >= 2 {
				return fmt.Errorf("%s was said about %q, which nobody expected", m.subject, about)
			}
			want[about]++
			missing--
		}
	}
	acknowledged := func(entries []doorflowsim.LedgerEntry) bool {
		n := 0
		for _, e := range entries {
			if e.Delivered && e.Acknowledged {
				n++
			}
		}
		return n == demoEvents
	}
	if err := d.sim.WaitLedger(ctx, acknowledged); err != nil {
		return fmt.Errorf("not every notification was acknowledged at DoorFlow: %w", err)
	}
	d.say("\n%d webhooks were proven, stored, fetched, acknowledged and published, each exactly once.", demoEvents)
	return nil
}
