package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
)

// listening is a gateway whose embedded server listens.
func listening(t *testing.T, env map[string]string) (g *gateway, addr string) {
	t.Helper()
	addr = freeAddr(t)
	g = newGateway(t, map[string]string{"GATEHOUSE_NATS_LISTEN": addr})
	for name, value := range env {
		g.env[name] = value
	}
	return g, addr
}

// creds runs `gatehouse nats creds` beside the gateway, or in its place.
func (g *gateway) creds(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t, map[string]string{
		"GATEHOUSE_URL": g.url, "GATEHOUSE_DATA_DIR": g.data, "GATEHOUSE_TOKEN": adminToken,
	}, append([]string{"nats", "creds"}, args...)...)
}

// minted runs it and keeps the file.
func (g *gateway) minted(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := g.creds(t, args...)
	if code != 0 || !strings.Contains(stdout, "BEGIN USER NKEY SEED") || strings.Contains(stderr, "SU") {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	path := filepath.Join(t.TempDir(), "app.creds")
	if err := os.WriteFile(path, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func dial(addr, creds string, more ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("nats://"+addr, append([]nats.Option{
		nats.UserCredentials(creds), nats.MaxReconnects(0), unhurried(), nats.CustomInboxPrefix("_INBOX.app"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, more...)...)
}

func TestNATSListens(t *testing.T) {
	t.Parallel()
	t.Run("on a port that is taken", func(t *testing.T) {
		first, addr := listening(t, nil)
		first.start()
		second, _ := listening(t, map[string]string{"GATEHOUSE_NATS_LISTEN": addr})
		second.fails(t, 1, "GATEHOUSE_NATS_LISTEN", addr, "address already in use")
	})
	for _, addr := range []string{"0.0.0.0:4222", ":4222", "192.0.2.1:4222", "[::]:4222", "gateway.example.com:4222"} {
		t.Run("in clear on "+addr, func(t *testing.T) {
			g, _ := listening(t, map[string]string{"GATEHOUSE_NATS_LISTEN": addr})
			g.fails(t, 2, "GATEHOUSE_NATS_LISTEN", "GATEHOUSE_TLS_CERT_FILE")
		})
	}
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:nats", "127.0.0.1:-1", "127.0.0.1:70000", "4222"} {
		t.Run("at "+addr, func(t *testing.T) {
			g, _ := listening(t, map[string]string{"GATEHOUSE_NATS_LISTEN": addr})
			g.fails(t, 2, "GATEHOUSE_NATS_LISTEN: want HOST:PORT")
		})
	}
}

func TestNATSBeyondLoopbackWantsTLS(t *testing.T) {
	_, port, _ := strings.Cut(freeAddr(t), ":")
	env := certificate(t, "gw.example.com", time.Hour)
	env["GATEHOUSE_NATS_LISTEN"], env["GATEHOUSE_LOG_LEVEL"] = "0.0.0.0:"+port, "info"
	g, _ := listening(t, env)
	g.launch()
	addr := "127.0.0.1:" + port
	pem, err := os.ReadFile(env["GATEHOUSE_TLS_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	secure := func(most uint16) nats.Option {
		return nats.Secure(&tls.Config{RootCAs: roots, MaxVersion: most, MinVersion: tls.VersionTLS10, ServerName: "gw.example.com"})
	}
	ready := func(times int) {
		t.Helper()
		eventually(t, time.Minute, func() string {
			if strings.Count(g.log(), "gatehouse is ready") < times {
				return "the gateway is not ready"
			}
			return ""
		})
	}
	ready(1)
	if conn, err := nats.Connect("nats://"+addr, secure(0), unhurried()); err == nil {
		conn.Close()
		t.Error("let in without credentials")
	} else if !strings.Contains(err.Error(), "Authorization") {
		t.Error(err)
	}
	g.signal(15)
	g.awaitExit(0)
	file := g.minted(t, "app", "--events", "*") // alone, as https has a certificate of its own
	g.launch()
	ready(2)
	if conn, err := dial(addr, file, secure(0)); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if conn, err := dial(addr, file, secure(tls.VersionTLS11)); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was let in")
	}
	if answer := inClear(t, addr); !strings.Contains(answer, `"tls_required":true`) || strings.Contains(answer, "PONG") || !strings.Contains(answer, "-ERR") && !strings.HasSuffix(answer, "closed") {
		t.Errorf("in clear it was answered %q", answer)
	}
}

// inClear sends the protocol in clear and returns all that is answered.
func inClear(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "CONNECT {\"verbose\":false}\r\nPING\r\n")
	answer, err := io.ReadAll(conn)
	if e, slow := errors.AsType[net.Error](err); slow && e.Timeout() {
		t.Error("the connection stays open")
	}
	return string(answer) + "closed"
}

// The whole life of a credential at the command line, beside a running gateway and without one.
func TestNATSCredentialsAtTheCommandLine(t *testing.T) {
	t.Parallel()
	g, addr := listening(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"})
	g.start()
	beside := g.minted(t, "app", "--events", "hX9aQ2,bT4kW8", "--ask", "acme:share,doors", "--ask", "b:c:door", "--command", "acme:share", "--durable", "--expires", "720h")
	g.stop()
	alone := g.minted(t, "alone", "--events", "*")
	wantFault := func(code int, text string, args ...string) {
		t.Helper()
		if got, stdout, stderr := g.creds(t, args...); got != code || stdout != "" || !strings.Contains(stderr, text) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q, %q", args, got, stdout, stderr)
		}
	}
	for _, running := range []bool{false, true} {
		if running {
			g.start()
		}
		wantFault(1, "active", "app", "--events", "*")
		wantFault(2, "must not be list or revoke", "mint", "revoke", "--events", "*")
		wantFault(2, "operations out of", "other", "--ask", "acme:everything")
		wantFault(2, "nothing is granted", "other")
		wantFault(1, "there is no", "revoke", "nobody")
		wantFault(2, "IDENTITY:OPERATION", "other", "--ask", "acme")
		wantFault(2, "--expires", "other", "--events", "*", "--expires", "-1h")
		var listed []struct {
			Name, Status string
			Events       []string
			Ask          map[string][]string
			Durable      bool
		}
		_, stdout, _ := g.creds(t, "list", "--json")
		if err := json.Unmarshal([]byte(stdout), &listed); err != nil || len(listed) != 2 || listed[1].Name != "app" || !listed[1].Durable ||
			!slices.Equal(listed[1].Events, []string{"bT4kW8", "hX9aQ2"}) || !slices.Equal(listed[1].Ask["b:c"], []string{"door"}) {
			t.Errorf("listed %s %v", stdout, err)
		}
		if _, table, _ := g.creds(t, "list"); !strings.Contains(table, "acme:doors,share b:c:door") || strings.Contains(table, "SU") {
			t.Error(table)
		}
	}
	var open []*nats.Conn
	for _, file := range []string{beside, alone} {
		conn, err := dial(addr, file)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	if code, _, stderr := g.creds(t, "revoke", "app"); code != 0 {
		t.Fatal(stderr)
	}
	eventually(t, 4*time.Second, func() string { // two, and as long again on a busy machine
		if !open[0].IsClosed() {
			return "the revoked connection is open"
		}
		return ""
	})
	if !open[1].IsConnected() {
		t.Error("the other was closed too")
	}
	g.stop()
	if code, _, stderr := g.creds(t, "revoke", "alone"); code != 0 {
		t.Fatal(stderr)
	}
	g.start()
	for _, file := range []string{beside, alone} {
		if conn, err := dial(addr, file); err == nil {
			conn.Close()
			t.Error("a revoked file works after a restart")
		}
	}
	if code, _, stderr := command(t, map[string]string{"GATEHOUSE_NATS_URL": "nats://127.0.0.1:1"}, "nats", "creds", "list"); code != 1 || !strings.Contains(stderr, "its own operator mints") {
		t.Errorf("with an external NATS: exit code %d, %s", code, stderr)
	}
	var entries struct {
		Items []struct{ Action, Target string }
	}
	g.call(http.MethodGet, "/v1/audit", "").json(t, &entries)
	if got := fmt.Sprint(entries.Items); strings.Count(got, "nats_credential.create") != 2 || strings.Count(got, "nats_credential.revoke") != 2 {
		t.Errorf("the audit log has %s", got)
	}
	for _, file := range []string{beside, alone} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if secret := strings.TrimSpace(line); strings.HasPrefix(secret, "SU") || strings.HasPrefix(secret, "eyJ") {
				places := map[string][]byte{"the log": []byte(g.log()), "the data directory": files(t, g.data)}
				for _, leak := range leaks(map[string][]string{"a credential": {secret}}, places) {
					t.Error(leak)
				}
			}
		}
	}
}

// A file that was answered works, also after kill -9; what is listed has its consumer, and no consumer is
// without its credential.
func TestKill9WhileMinting(t *testing.T) {
	t.Parallel()
	g, addr := listening(t, nil)
	g.start()
	answered := map[string]string{} // files by name
	for round := range rounds(t) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := range 50 {
					name := fmt.Sprintf("app-%d-%d-%d", round, i, n)
					file, ok := mintOverHTTP(g, name)
					if !ok {
						return // the gateway is gone
					}
					mu.Lock()
					answered[name] = file
					mu.Unlock()
				}
			})
		}
		eventually(t, time.Minute, func() string {
			mu.Lock()
			defer mu.Unlock()
			if len(answered) < 3*(round+1) {
				return "too few are minted"
			}
			return ""
		})
		pause(0, 100*time.Millisecond)
		g.kill()
		wg.Wait()
		g.start()
	}
	var listed struct {
		Items []struct{ Name, Status string }
	}
	g.call(http.MethodGet, "/v1/nats-credentials?limit=500", "").json(t, &listed)
	names := map[string]bool{}
	for _, i := range listed.Items {
		names[i.Name] = true
	}
	for name, creds := range answered {
		file := filepath.Join(t.TempDir(), "app.creds")
		if err := os.WriteFile(file, []byte(creds), 0o600); err != nil {
			t.Fatal(err)
		}
		if !names[name] {
			t.Errorf("%s was minted and is not listed", name)
			continue
		}
		conn, err := dial(addr, file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		conn.Close()
	}
	g.stop()
	withEmbedded(t, g, func(js jetstream.JetStream) {
		stream, err := js.Stream(t.Context(), events.StreamName)
		if err != nil {
			t.Fatal(err)
		}
		consumers := stream.ConsumerNames(t.Context())
		for name := range consumers.Name() {
			if !names[name] {
				t.Errorf("consumer %s is nobody's", name)
			}
			delete(names, name)
		}
		if consumers.Err() != nil || len(names) > 0 {
			t.Errorf("without a consumer: %v %v", names, consumers.Err())
		}
	})
	t.Logf("%d were answered, %d are listed", len(answered), len(listed.Items))
}

func mintOverHTTP(g *gateway, name string) (file string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/nats-credentials",
		strings.NewReader(`{"name":"`+name+`","events":["hX9aQ2"],"durable":true}`))
	if err != nil {
		return "", false
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := probe.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	var minted struct{ Creds string }
	err = json.NewDecoder(resp.Body).Decode(&minted)
	return minted.Creds, err == nil && resp.StatusCode == http.StatusCreated
}
