package main_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the program to its end, with nothing set but vars.
func command(t *testing.T, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Dir = environment(vars), t.TempDir()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil {
		if _, ended := errors.AsType[*exec.ExitError](failed); !ended {
			t.Fatal(failed)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// answering is a server in a gateway's place. It sends every request that reaches it to the channel.
func answering(t *testing.T, status int, header, body string) (string, <-chan *http.Request) {
	t.Helper()
	seen := make(chan *http.Request, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL, seen
}

func TestAKeyGoesToTheGatewayAlone(t *testing.T) {
	const key = "the-key-of-somebody"
	t.Run("in clear over a network", func(t *testing.T) {
		proxy, seen := answering(t, http.StatusOK, "", `{"items":[]}`)
		code, _, stderr := command(t, map[string]string{
			"GATEHOUSE_URL": "http://gate.example.com", "GATEHOUSE_TOKEN": key, "HTTP_PROXY": proxy,
		}, "connections")
		if code != 2 || !strings.Contains(stderr, "GATEHOUSE_URL: want https") || len(seen) > 0 {
			t.Errorf("exit code %d, %d requests, %s", code, len(seen), stderr)
		}
	})
	t.Run("after a redirect", func(t *testing.T) {
		elsewhere, seen := answering(t, http.StatusOK, "", `{"items":[]}`)
		here, _ := answering(t, http.StatusTemporaryRedirect, "Location: "+elsewhere, "")
		code, _, stderr := command(t, map[string]string{"GATEHOUSE_URL": here, "GATEHOUSE_TOKEN": key}, "connections")
		if code != 1 || !strings.Contains(stderr, "307") || len(seen) > 0 {
			t.Errorf("exit code %d, %d requests, %s", code, len(seen), stderr)
		}
	})
	t.Run("in an error about a URL with a password", func(t *testing.T) {
		code, _, stderr := command(t, map[string]string{
			"GATEHOUSE_URL": "http://user:pass-word@" + freeAddr(t), "GATEHOUSE_TOKEN": key,
		}, "connections")
		if code != 1 || strings.Contains(stderr, "pass-word") || strings.Contains(stderr, key) {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
}

// Account ids and error texts are others'. Whatever is in them, it must not drive the terminal.
func TestNothingDrivesTheTerminal(t *testing.T) {
	const evil = `hX\u001b[2J\u009b31m\u202egnp`
	for _, row := range []struct {
		name   string
		status int
		body   string
		args   []string
	}{
		{"list", 200, `{"items":[{"account":"` + evil + `","status":"` + evil + `","missing_scopes":["` + evil + `"]}]}`, []string{"connections"}},
		{"show", 200, `{"account":"` + evil + `","forbidden":["` + evil + `"]}`, []string{"connections", "show", "x"}},
		{"disconnect", 200, `{"account":"` + evil + `"}`, []string{"connections", "disconnect", "x"}},
		{"connect", 201, `{"url":"https://` + evil + `"}`, []string{"connect"}},
		{"replay", 201, `{"id":"` + evil + `"}`, []string{"messages", "replay", "x"}},
		{"messages", 200, `{"items":[{"subject":"` + evil + `","message":{"data":{"event_label":"` + evil + `"}}}]}`, []string{"messages", "list"}},
		{"answer to a webhook", 200, "hX\x1b[2J\u009b31m\u202egnp", []string{"webhook", "send", "--secret=x", "--to=URL", os.DevNull}},
		{"refusal", 400, `{"title":"x","detail":"` + evil + `"}`, []string{"connections"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			header := ""
			if row.status >= 400 {
				header = "Content-Type: application/problem+json"
			}
			url, _ := answering(t, row.status, header, row.body)
			for i := range row.args {
				row.args[i] = strings.Replace(row.args[i], "URL", url, 1)
			}
			_, stdout, stderr := command(t, map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x"}, row.args...)
			if out := stdout + stderr; strings.ContainsAny(out, "\x1b\u009b\u202e") || !strings.Contains(out, "hX") {
				t.Errorf("%q", out)
			}
		})
	}
}

func TestSecretsThatWouldNotDo(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, variable, value, want string }{
		{"empty file", "GATEHOUSE_DATABASE_URL_FILE", empty, "GATEHOUSE_DATABASE_URL_FILE"},
		{"short", "GATEHOUSE_ADMIN_TOKEN", "letmein", "GATEHOUSE_ADMIN_TOKEN: want at least"},
		{"with a space", "GATEHOUSE_ADMIN_TOKEN", "correct horse battery", "GATEHOUSE_ADMIN_TOKEN: want printable"},
		{"with a line end", "GATEHOUSE_ADMIN_TOKEN", "0123456789abcdef\n", "GATEHOUSE_ADMIN_TOKEN: want printable"},
		{"URL without a host", "GATEHOUSE_PUBLIC_URL", "https://:8443", "GATEHOUSE_PUBLIC_URL"},
		{"URL with an empty query", "GATEHOUSE_DOORFLOW_API_URL", "https://api.doorflow.com/?", "GATEHOUSE_DOORFLOW_API_URL"},
		{"name that begins like a loopback's", "GATEHOUSE_PUBLIC_URL", "http://localhost.example.com", "GATEHOUSE_PUBLIC_URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, _, stderr := command(t, map[string]string{row.variable: row.value}, "migrate", "status")
			if code != 2 || !strings.Contains(stderr, row.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, %s", code, stderr)
			}
		})
	}
}

func TestDoctorMasksSecrets(t *testing.T) {
	_, stdout, stderr := command(t, map[string]string{
		"GATEHOUSE_NATS_URL": "nats://user:pass-word@" + freeAddr(t) + ",nats://user:pass-word@" + freeAddr(t),
		"GATEHOUSE_ADDR":     "[::1]:" + strings.Split(freeAddr(t), ":")[1], "GATEHOUSE_ADMIN_TOKEN": adminToken,
	}, "doctor")
	if strings.Contains(stdout+stderr, "pass-word") || strings.Contains(stdout+stderr, adminToken) || !strings.Contains(stdout, " [::1]:") {
		t.Error(stdout, stderr)
	}
}

func TestHealthcheckAsksWhereTheGatewayListens(t *testing.T) {
	for _, listen := range []string{"127.0.0.2:0", "[::1]:0", "0.0.0.0:0"} {
		t.Run(listen, func(t *testing.T) {
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				t.Skipf("skipped: no such address here: %v", err)
			}
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			_ = s.Listener.Close()
			s.Listener = ln
			s.Start()
			defer s.Close()
			if code, _, stderr := command(t, map[string]string{"GATEHOUSE_ADDR": ln.Addr().String()}, "healthcheck"); code != 0 {
				t.Errorf("exit code %d, %s", code, stderr)
			}
		})
	}
}
