package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/events"
	"gatehouse/internal/telemetry"
	"gatehouse/webhooks"
)

type benchDeliver struct {
	Endpoints int           `env:"-" default:"100" help:"Endpoints in all; one hangs, one fails and one is slow."`
	Rate      int           `env:"-" default:"20" help:"Messages a second; each goes to every endpoint."`
	Duration  time.Duration `env:"-" default:"10s" help:"How long each measurement takes."`
	Rounds    int           `env:"-" default:"3" help:"Measurements of each kind; the median counts."`
	Dir       string        `env:"-" placeholder:"DIR" help:"Where the databases are made. Default: the system's temporary directory."`
	JSON      bool          `env:"-" help:"Print JSON."`
}

// deliverResult is what bench deliver prints. Delays are from before a message's commit to its arrival at a good
// endpoint.
type deliverResult struct {
	Endpoints int      `json:"endpoints"`
	Alone     delivery `json:"alone"`
	Beside    delivery `json:"beside"`
	Ratio     float64  `json:"p99_ratio"`
}

// delivery is one measurement.
type delivery struct {
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
	Count int           `json:"count"`
	// Doubles are deliveries of a message that the endpoint had already.
	Doubles int `json:"doubles"`
	// CPU is the time this process spent for each delivery to a good endpoint.
	CPU time.Duration `json:"cpu_ns"`
}

func (c *benchDeliver) Run(ctx context.Context, t *terminal) error {
	if c.Endpoints < 4 || c.Endpoints > 1000 || c.Rate < 1 || c.Rounds < 1 || c.Duration < time.Second {
		return usageError("--endpoints, --rate, --rounds and --duration: want 4 to 1000, and at least 1, 1 and 1s")
	}
	var alone, beside []delivery
	for round := range c.Rounds {
		for _, kind := range []struct {
			name string
			bad  int
			into *[]delivery
		}{{"the good ones alone", 0, &alone}, {"with the bad ones", badEndpoints, &beside}} {
			fmt.Fprintf(t.err, "round %d of %d: %s …\n", round+1, c.Rounds, kind.name)
			d, err := c.measure(ctx, kind.bad)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", kind.name, err)
			}
			*kind.into = append(*kind.into, d)
		}
	}
	byP99 := func(a, b delivery) int { return int(a.P99 - b.P99) }
	slices.SortFunc(alone, byP99)
	slices.SortFunc(beside, byP99)
	r := deliverResult{Endpoints: c.Endpoints, Alone: alone[len(alone)/2], Beside: beside[len(beside)/2]}
	r.Ratio = float64(r.Beside.P99) / float64(r.Alone.P99)
	if c.JSON {
		return writeJSON(t.out, r)
	}
	return r.print(t, c.Rate)
}

func (r deliverResult) print(t *terminal, rate int) error {
	w := t.table(fmt.Sprintf("%d MESSAGES/S", rate), "DELIVERIES", "P50", "P99", "MOST", "CPU")
	for _, line := range []struct {
		name string
		d    delivery
	}{
		{fmt.Sprintf("%d good endpoints alone", r.Endpoints-badEndpoints), r.Alone},
		{"the same beside 3 bad ones", r.Beside},
	} {
		w.row(line.name, line.d.Count, line.d.P50.Round(10*time.Microsecond), line.d.P99.Round(10*time.Microsecond),
			line.d.Max.Round(10*time.Microsecond), line.d.CPU.Round(time.Microsecond))
	}
	w.row("p99 beside to alone", "", "", fmt.Sprintf("%.2f", r.Ratio), "", "")
	return w.print()
}

// measure runs a gateway that delivers to the good endpoints and so many bad ones.
func (c *benchDeliver) measure(ctx context.Context, bad int) (d delivery, err error) {
	dir, err := os.MkdirTemp(c.Dir, "gatehouse-bench-")
	if err != nil {
		return d, err
	}
	defer os.RemoveAll(dir)
	config, err := newConfig(map[string]string{
		"addr": "127.0.0.1:0", "ops-addr": "127.0.0.1:0", "nats-listen": "", "data-dir": filepath.Join(dir, "data"), "egress-allow": "127.0.0.0/8",
	})
	if err != nil {
		return d, err
	}
	app, err := Open(ctx, config, telemetry.NewLogger(io.Discard, "json", 0))
	if err != nil {
		return d, err
	}
	defer app.Close()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	d, err = c.deliver(ctx, app, bad)
	stop()
	return d, errors.Join(err, <-ended)
}

func (c *benchDeliver) deliver(ctx context.Context, app *App, bad int) (d delivery, err error) {
	good := c.Endpoints - badEndpoints
	receiver, err := startReceiver(ctx, good, bad)
	if err != nil {
		return d, err
	}
	defer receiver.stop()
	for _, addr := range receiver.addrs {
		q := webhooks.EndpointRequest{URL: webhooks.Give("http://" + addr + "/"), Subjects: webhooks.Give([]string{"gatehouse.event.>"})}
		if _, _, err := app.endpoints.Create(ctx, q, webhooks.Limits{}); err != nil {
			return d, err
		}
	}
	// Connections are made, and bad endpoints known for what they are, before it counts.
	if err := c.say(ctx, app, 2*time.Second, false); err != nil {
		return d, err
	}
	before := cpuTime()
	if err := c.say(ctx, app, c.Duration, true); err != nil {
		return d, err
	}
	if d, err = receiver.result(good * int(c.Duration.Seconds()*float64(c.Rate))); err == nil {
		d.CPU = (cpuTime() - before) / time.Duration(d.Count)
	}
	return d, err
}

// say says messages at the wanted rate. What does not count says so.
func (c *benchDeliver) say(ctx context.Context, app *App, during time.Duration, counts bool) error {
	group, ctx := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Second / time.Duration(c.Rate))
	defer tick.Stop()
	for range int(during.Seconds() * float64(c.Rate)) {
		select {
		case <-ctx.Done():
			return group.Wait()
		case <-tick.C:
		}
		group.Go(func() error {
			now := time.Now()
			data := fmt.Sprintf(`{"said":%d,"counts":%t,"padding":"%s"}`, now.UnixNano(), counts, strings.Repeat("x", 400))
			m, err := events.NewMessage(events.EventTopic("hX9aQ2", events.Classify(10)), now, json.RawMessage(data)).Encode()
			if err != nil {
				return err
			}
			return app.events.Do(ctx, func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil })
		})
	}
	return group.Wait()
}

// receiver is the process that has the endpoints: in the gateway's own it would share its scheduler.
type receiver struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	addrs []string
}

func startReceiver(ctx context.Context, good, bad int) (*receiver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &receiver{cmd: exec.CommandContext(ctx, self, "bench", "receive", "--good", strconv.Itoa(good), "--bad", strconv.Itoa(bad))}
	r.cmd.Stderr = os.Stderr
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = json.NewDecoder(out)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	if err := r.out.Decode(&r.addrs); err != nil {
		r.stop()
		return nil, fmt.Errorf("starting the endpoints: %w", err)
	}
	return r, nil
}

// result waits until so many deliveries have come.
func (r *receiver) result(expected int) (d delivery, err error) {
	if _, err := fmt.Fprintln(r.in, expected); err != nil {
		return d, err
	}
	if err := r.out.Decode(&d); err != nil {
		return d, fmt.Errorf("asking the endpoints: %w", err)
	}
	if d.Count < expected {
		return d, fmt.Errorf("%d of %d deliveries came within a minute", d.Count, expected)
	}
	return d, nil
}

func (r *receiver) stop() {
	_ = r.in.Close()
	_ = r.cmd.Wait()
}
