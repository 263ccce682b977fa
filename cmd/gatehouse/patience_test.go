package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCommandsComeAgainWhenAsked(t *testing.T) {
	for name, row := range map[string]struct {
		after string // Retry-After
		code  int    // of the command
		asked int    // requests
	}{
		"in a moment": {"1", 0, 2},
		"much later":  {"60", 1, 1},
		"not at all":  {"", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if bodies = append(bodies, string(body)); len(bodies) > 1 {
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, `{"id":"x","url":"https://gate.example.com/oauth/start/x"}`)
					return
				}
				w.Header().Set("Retry-After", row.after)
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = io.WriteString(w, `{"title":"Too Many Requests","detail":"wait a little","status":429}`)
			}))
			defer s.Close()
			began := time.Now()
			code, _, stderr := command(t, map[string]string{"GATEHOUSE_URL": s.URL, "GATEHOUSE_TOKEN": "gh_key"}, "connect", "--reference", "Acme")
			if code != row.code || len(bodies) != row.asked {
				t.Fatalf("exit code %d after %d requests, want %d after %d: %s", code, len(bodies), row.code, row.asked, stderr)
			}
			if row.asked == 1 {
				if !strings.Contains(stderr, "wait a little") {
					t.Errorf("it said %q", stderr)
				}
				return
			}
			if !strings.Contains(bodies[1], "Acme") || bodies[0] != bodies[1] || time.Since(began) < time.Second {
				t.Errorf("%q after %s", bodies, time.Since(began))
			}
		})
	}
}
