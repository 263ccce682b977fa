package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

type demoCommand struct {
	Once bool `env:"-" help:"Tell the story once, check it at both clouds, and exit 0 or 1."`

	patience time.Duration                            // instead of demoPatience
	spoil    func(*doorflowsim.Sim, *doordecksim.Sim) // tests let something go wrong
}

// demoPatience is how long anything in the story may take.
const demoPatience = 30 * time.Second

// demo is two simulated clouds, the real gateway in a directory of its own, and the program of a reception desk.
type demo struct {
	mu       sync.Mutex // of out: what the desk hears is told while the story goes on
	out      io.Writer
	broken   func(error) // the output is: nobody is there to be told the rest
	patience time.Duration
	doorflow *doorflowsim.Sim
	doordeck *doordecksim.Sim
	app      *App
	api      client
	desk     *reception
	building *building
	group    *errgroup.Group // of what runs until the demo ends

	// came are the visitors who typed a PIN, by their subjects at Doordeck: until when each has the meeting room for it.
	came map[string][]time.Time
	// happened are the crowd's events, by what messages about them are about.
	happened map[string]doorflowsim.Event
}

func (c *demoCommand) Run(ctx context.Context, t *terminal) (err error) {
	// A reader that goes away, such as head, must not end the program before it has cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	group, running := errgroup.WithContext(running)
	d := &demo{
		out: t.out, broken: stop, group: group, patience: demoPatience,
		came: map[string][]time.Time{}, happened: map[string]doorflowsim.Event{},
	}
	logs := &firstWords{}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, logs.show(t.err))
		}
	}()
	if c.patience > 0 {
		d.patience = c.patience
	}
	err = d.start(running, dir, logs)
	if err == nil {
		defer d.app.Close()
		if c.spoil != nil {
			c.spoil(d.doorflow, d.doordeck)
		}
		err = d.play(running, c.Once)
	}
	// The story's end, whichever way, ends everything else. What failed there first explains the rest.
	failed := context.Cause(running)
	stop(nil)
	switch ended := group.Wait(); {
	case ended != nil:
		return ended
	case ctx.Err() == nil && failed != nil:
		return failed
	case ctx.Err() == nil:
		return err
	case c.Once:
		return errors.New("it was interrupted before the story had ended")
	}
	return nil
}

// part is one of the story.
type part struct {
	title string
	play  func(*demo, context.Context) error
}

// story is told in this order. Each part is a file, and ends with an error unless what it tells is true at the
// clouds.
func story() []part {
	return []part{
		{"A customer connects", (*demo).customer},
		{"A building listens", (*demo).buildingListens},
		{"Two administrators", (*demo).administrators},
		{"A visitor comes in", (*demo).visitor},
		{"A door is offline", (*demo).offline},
		{"Forty guests at once", (*demo).guests},
		{"Twenty door events", (*demo).crowd},
		{"The door is back", (*demo).back},
	}
}

func (d *demo) play(ctx context.Context, once bool) error {
	began := time.Now()
	d.introduce()
	desk, err := d.openDesk(ctx)
	if err != nil {
		return err
	}
	d.desk = desk
	defer desk.conn.Close()
	for i, p := range story() {
		d.say("\n%d. %s", i+1, p.title)
		if err := p.play(d, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
	}
	d.say("\nAll of this was checked at both clouds, and is true. It took %s.", time.Since(began).Round(time.Second/10))
	if once {
		return nil
	}
	return d.live(ctx)
}

// say prints a line. Nobody may be reading any more; then the demo ends.
func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := fmt.Fprintf(d.out, format+"\n", args...); err != nil {
		d.broken(fmt.Errorf("printing: %w", err))
	}
}

// tell prints a line of the story, with the time.
func (d *demo) tell(format string, args ...any) {
	d.say("   %s  %s", time.Now().Format(time.TimeOnly), printable(fmt.Sprintf(format, args...)))
}

// within bounds the wait for something, and says what it was in vain for.
func (d *demo) within(ctx context.Context, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.patience, fmt.Errorf("%s; after %s it had not", what, d.patience))
}
