package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	clientID      = "blackbox-client"
	clientSecret  = "client-secret-Wm4rTz8QvKp2"
	webhookSecret = "webhook-secret-Hn6yLc3XsJd9"
	adminToken    = "gh_admin-token-Fb5uGk1ZqRe7"
)

// gateway is the program with one configuration, running or not.
type gateway struct {
	t    testing.TB
	env  map[string]string
	addr string
	url  string
	ops  string
	data string // the data directory
	logs string // where its stderr goes, over all its starts

	// with goes before the program: a tracer.
	with []string

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// newGateway configures a gateway on SQLite and embedded NATS in a directory of its own.
func newGateway(t testing.TB, env map[string]string) *gateway {
	t.Helper()
	g := &gateway{t: t, addr: freeAddr(t), ops: freeAddr(t), data: filepath.Join(t.TempDir(), "data")}
	g.url = "http://" + g.addr
	g.logs = filepath.Join(t.TempDir(), "log")
	g.env = map[string]string{
		"GATEHOUSE_ADDR":                     g.addr,
		"GATEHOUSE_OPS_ADDR":                 g.ops,
		"GATEHOUSE_PUBLIC_URL":               g.url,
		"GATEHOUSE_DATA_DIR":                 g.data,
		"GATEHOUSE_ADMIN_TOKEN":              adminToken,
		"GATEHOUSE_DOORFLOW_CLIENT_ID":       clientID,
		"GATEHOUSE_DOORFLOW_CLIENT_SECRET":   clientSecret,
		"GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS": webhookSecret,
		"GATEHOUSE_DOORFLOW_API_URL":         nowhere,
		"GATEHOUSE_DOORFLOW_AUTHORIZE_URL":   nowhere + "/oauth/authorize",
		"GATEHOUSE_LOG_LEVEL":                "warn", // a line for each webhook would slow the load down
	}
	maps.Copy(g.env, env)
	t.Cleanup(func() {
		g.kill()
		if t.Failed() {
			t.Logf("the end of the gateway's log:\n%s", g.tail())
		}
	})
	return g
}

// start starts the process and waits until it is ready.
func (g *gateway) start() *gateway {
	g.t.Helper()
	g.launch()
	g.awaitReady(time.Minute)
	return g
}

// launch starts the process.
func (g *gateway) launch() {
	g.t.Helper()
	logs, err := os.OpenFile(g.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer logs.Close()
	args := append(append([]string{}, g.with...), binary, "serve")
	g.cmd = exec.Command(args[0], args[1:]...)
	g.cmd.Env, g.cmd.Stdout, g.cmd.Stderr = environment(g.env), logs, logs
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	cmd, ended := g.cmd, make(chan struct{})
	g.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

func (g *gateway) awaitReady(within time.Duration) {
	g.t.Helper()
	eventually(g.t, within, func() string {
		if g.gone() {
			g.t.Fatalf("the gateway ended while starting: %s\n%s", g.cmd.ProcessState, g.tail())
		}
		if status := g.get("/readyz"); status != http.StatusOK {
			return "the gateway is not ready"
		}
		return ""
	})
}

// get returns the status of a page, 0 when nobody answers.
func (g *gateway) get(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	resp, err := probe.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (g *gateway) gone() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

func (g *gateway) signal(s syscall.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		g.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does.
func (g *gateway) kill() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Kill()
	<-g.ended
	g.cmd = nil
}

// stop ends the process as a service manager does, and wants it gone in time with exit code 0.
func (g *gateway) stop() {
	g.t.Helper()
	g.signal(syscall.SIGTERM)
	g.awaitExit(0)
	g.cmd = nil
}

// awaitExit waits for the end of the process. That it came in time shows in the code: a gateway that has not stopped after
// nine seconds, by its own clock, ends with 1. Here a busy machine is given more.
func (g *gateway) awaitExit(code int) {
	g.t.Helper()
	select {
	case <-g.ended:
	case <-time.After(30 * time.Second):
		g.t.Fatal("the gateway does not end")
	}
	if got := g.cmd.ProcessState.ExitCode(); got != code {
		g.t.Fatalf("exit code %d, want %d\n%s", got, code, g.tail())
	}
}

func (g *gateway) log() string {
	data, err := os.ReadFile(g.logs)
	if err != nil {
		return ""
	}
	return string(data)
}

func (g *gateway) tail() string {
	lines := strings.Split(strings.TrimSpace(g.log()), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request with the admin token; a body is JSON.
func (g *gateway) call(method, path, body string) answer {
	g.t.Helper()
	return g.callWith(adminToken, method, path, body)
}

func (g *gateway) callWith(token, method, path, body string) answer {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := probe.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, got}
}

// json decodes the answer.
func (a answer) json(t testing.TB, into any) {
	t.Helper()
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(into); err != nil {
		t.Fatalf("decoding %q: %v", a.body, err)
	}
}
