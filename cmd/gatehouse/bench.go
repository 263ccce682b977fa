package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/doorflow"
	"gatehouse/internal/telemetry"
	"gatehouse/web"
)

type benchCommands struct {
	Load    benchLoad    `cmd:"" hidden:"" help:"Send webhooks, for the other benchmarks."`
	Deliver benchDeliver `cmd:"" help:"Deliver to a hundred endpoints, three of them bad, beside the good ones alone."`
	Receive benchReceive `cmd:"" hidden:"" help:"Be the endpoints of a benchmark."`
	Ingest  benchIngest  `cmd:"" help:"Accept signed webhooks as fast as possible, beside a bare handler that only reads and verifies."`
}

type benchIngest struct {
	Connections int           `env:"-" default:"64" help:"Connections that send at once."`
	Duration    time.Duration `env:"-" default:"5s" help:"How long each measurement takes."`
	Rounds      int           `env:"-" default:"3" help:"Measurements of each kind; the median counts."`
	Dir         string        `env:"-" placeholder:"DIR" help:"Where the databases are made. Default: the system's temporary directory."`
	Profile     string        `env:"-" placeholder:"FILE" help:"Write a CPU profile of the durable measurement."`
	JSON        bool          `env:"-" help:"Print JSON."`
}

// benchSecret signs the benchmark's webhooks; nothing else knows it.
const benchSecret = "bench-secret"

// ingestResult is what bench ingest prints. Rates are requests per second.
type ingestResult struct {
	Connections    int     `json:"connections"`
	Bare           sample  `json:"bare"`
	Durable        sample  `json:"durable"`
	Sustained      sample  `json:"sustained"`
	DurableRatio   float64 `json:"durable_ratio"`
	SustainedRatio float64 `json:"sustained_ratio"`
}

// sample is one measurement.
type sample struct {
	Rate float64       `json:"rate"`
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	// CPU is the time this process spent for each request, the sender's not counted.
	CPU time.Duration `json:"cpu_ns"`
}

func (c *benchIngest) Run(ctx context.Context, t *terminal) error {
	if c.Connections < 1 || c.Rounds < 1 || c.Duration < 100*time.Millisecond {
		return usageError("--connections, --rounds and --duration: want at least 1, 1 and 100ms")
	}
	kinds := []struct {
		name    string
		measure func(context.Context) (sample, error)
		samples []sample
	}{{"bare", c.bare, nil}, {"durable", c.durable, nil}, {"sustained", c.sustained, nil}}
	// The kinds take turns, so that a machine that gets slower meanwhile slows them all.
	for round := range c.Rounds {
		for i := range kinds {
			fmt.Fprintf(t.err, "round %d of %d: %s …\n", round+1, c.Rounds, kinds[i].name)
			s, err := kinds[i].measure(ctx)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", kinds[i].name, err)
			}
			kinds[i].samples = append(kinds[i].samples, s)
		}
	}
	r := ingestResult{Connections: c.Connections, Bare: median(kinds[0].samples), Durable: median(kinds[1].samples), Sustained: median(kinds[2].samples)}
	r.DurableRatio, r.SustainedRatio = r.Durable.Rate/r.Bare.Rate, r.Sustained.Rate/r.Bare.Rate
	if c.JSON {
		return writeJSON(t.out, r)
	}
	return r.print(t)
}

func (r ingestResult) print(t *terminal) error {
	w := t.table(fmt.Sprintf("%d CONNECTIONS", r.Connections), "REQUESTS/S", "RATIO", "P50", "P99", "CPU")
	for _, line := range []struct {
		name  string
		s     sample
		ratio float64
	}{
		{"bare: read and verify", r.Bare, 1},
		{"durable: committed and synced", r.Durable, r.DurableRatio},
		{"sustained: and on JetStream", r.Sustained, r.SustainedRatio},
	} {
		w.row(line.name, fmt.Sprintf("%.0f", line.s.Rate), fmt.Sprintf("%.2f", line.ratio), line.s.P50.Round(10*time.Microsecond),
			line.s.P99.Round(10*time.Microsecond), line.s.CPU.Round(100*time.Nanosecond))
	}
	return w.print()
}

func median(samples []sample) sample {
	slices.SortFunc(samples, func(a, b sample) int { return int(a.Rate - b.Rate) })
	return samples[len(samples)/2]
}

// bare measures an Echo handler that only reads and verifies, on the same server as the gateway's.
func (c *benchIngest) bare(ctx context.Context) (sample, error) {
	verifier := &doorflow.Verifier{Secrets: [][]byte{[]byte(benchSecret)}, Tolerance: 5 * time.Minute}
	e := echo.New()
	e.POST("/webhooks/doorflow", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		if _, err := verifier.Verify(c.Request().Header, body); err != nil {
			return c.NoContent(http.StatusUnauthorized)
		}
		return c.NoContent(http.StatusOK)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return sample{}, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(running, listener, e, nil, telemetry.NewLogger(io.Discard, "json", 0)) }()
	defer func() { stop(); <-ended }()
	s, _, err := c.load(ctx, listener.Addr().String())
	return s, err
}

// durable measures the gateway without its relay: a request counts when its commit has been synced.
func (c *benchIngest) durable(ctx context.Context) (sample, error) {
	if c.Profile != "" {
		file, err := os.Create(c.Profile)
		if err != nil {
			return sample{}, err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return sample{}, err
		}
		defer pprof.StopCPUProfile()
	}
	return c.gateway(ctx, false)
}

// sustained measures the whole: a request counts when its message is on JetStream.
func (c *benchIngest) sustained(ctx context.Context) (sample, error) {
	return c.gateway(ctx, true)
}

func (c *benchIngest) gateway(ctx context.Context, relay bool) (s sample, err error) {
	dir, err := os.MkdirTemp(c.Dir, "gatehouse-bench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	config, err := newConfig(map[string]string{
		"addr": "127.0.0.1:0", "ops-addr": "127.0.0.1:0", "nats-listen": "", "data-dir": filepath.Join(dir, "data"),
		"doorflow-client-id": "bench", "doorflow-client-secret": benchSecret,
	})
	if err != nil {
		return s, err
	}
	// Logging costs what it costs in service: one line for each request, into a file.
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return s, err
	}
	defer logs.Close()
	app, err := Open(ctx, config, telemetry.NewLogger(logs, "json", 0))
	if err != nil {
		return s, err
	}
	defer app.Close()
	app.withoutRelay = !relay
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	began := time.Now()
	var sent int64
	s, sent, err = c.load(ctx, app.public.Addr().String())
	if err == nil && relay {
		if err = app.awaitRelayed(ctx); err == nil {
			s.Rate = float64(sent) / time.Since(began).Seconds()
		}
	}
	stop()
	if failed := <-ended; err == nil {
		err = failed
	}
	return s, err
}

// load sends webhooks from a process of its own, as senders do: in the server's it would share its scheduler.
func (c *benchIngest) load(ctx context.Context, addr string) (sample, int64, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "load", "--addr", addr,
		"--connections", strconv.Itoa(c.Connections), "--duration", c.Duration.String())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	before := cpuTime()
	if err := cmd.Run(); err != nil {
		return sample{}, 0, fmt.Errorf("the sender: %w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	used := cpuTime() - before
	var r loadResult
	if err = json.Unmarshal(out.Bytes(), &r); err == nil {
		r.CPU = used / time.Duration(r.Sent)
	}
	return r.sample, r.Sent, err
}

// cpuTime is what this process has spent so far, in the kernel and out of it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
