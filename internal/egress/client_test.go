package egress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/egress"
)

var loopback = prefixes("127.0.0.0/8")

func TestPost(t *testing.T) {
	var got *http.Request
	var sent []byte
	port := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		got = r
		sent, _ = io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "later")
	})
	client := newClient(t, egress.Config{Allow: loopback})
	header := http.Header{"Webhook-Id": {"0193"}, "Content-Type": {"application/cloudevents+json"}}
	answer, err := client.Post(t.Context(), "http://127.0.0.1:"+port+"/hooks?key=1", header, []byte(`{"id":"0193"}`))
	if err != nil || answer.Status != 503 || answer.RetryAfter != 2*time.Minute || string(answer.Body) != "later" || answer.Truncated {
		t.Fatalf("%+v, %v", answer, err)
	}
	if got.Method != "POST" || got.RequestURI != "/hooks?key=1" || got.Header.Get("Webhook-Id") != "0193" || string(sent) != `{"id":"0193"}` ||
		got.Header.Get("User-Agent") != "gatehouse" || got.ContentLength != 13 || got.Header.Get("Accept-Encoding") != "" {
		t.Errorf("%s %s %v %q", got.Method, got.RequestURI, got.Header, sent)
	}
	if len(header) != 2 {
		t.Errorf("the caller's header became %v", header)
	}
}

func TestARedirectIsAnAnswer(t *testing.T) {
	elsewhere := serve(t, nil, func(http.ResponseWriter, *http.Request) { t.Error("it was followed") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		port := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:"+elsewhere+"/", status)
		})
		answer, err := newClient(t, egress.Config{Allow: loopback}).Post(t.Context(), "http://127.0.0.1:"+port+"/", nil, nil)
		if err != nil || answer.Status != status {
			t.Errorf("%d: %d, %v", status, answer.Status, err)
		}
	}
}

func TestABodyIsReadTo64KiB(t *testing.T) {
	ca := newAuthority(t)
	for name, secure := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			size := 0
			h := func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, io.LimitReader(zeros{}, int64(size)))
			}
			var target string
			if secure {
				target = "https://127.0.0.1:" + serve(t, serverTLS(ca, ca.issue(t, time.Now().Add(time.Hour))), h)
			} else {
				target = "http://127.0.0.1:" + serve(t, nil, h)
			}
			client := newClient(t, egress.Config{Allow: loopback, CAFile: ca.file})
			for _, test := range []struct {
				size, want int
				truncated  bool
			}{{0, 0, false}, {64 << 10, 64 << 10, false}, {64<<10 + 1, 64 << 10, true}, {8 << 20, 64 << 10, true}} {
				size = test.size
				answer, err := client.Post(t.Context(), target, nil, nil)
				if err != nil || len(answer.Body) != test.want || answer.Truncated != test.truncated {
					t.Errorf("%d bytes: %d, %t, %v", size, len(answer.Body), answer.Truncated, err)
				}
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What comes compressed stays so: nothing is unpacked.
func TestABodyIsNotUnpacked(t *testing.T) {
	port := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8b not really"))
	})
	answer, err := newClient(t, egress.Config{Allow: loopback}).Post(t.Context(), "http://127.0.0.1:"+port+"/", nil, nil)
	if err != nil || !bytes.HasPrefix(answer.Body, []byte("\x1f\x8b")) {
		t.Errorf("%q, %v", answer.Body, err)
	}
}

// A status that has been said stands, however the body goes on; and it ends in time.
func TestATricklingBodyEndsInTime(t *testing.T) {
	port := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	client := newClient(t, egress.Config{Allow: loopback})
	client.SetLimit(300 * time.Millisecond)
	began := time.Now()
	answer, err := client.Post(t.Context(), "http://127.0.0.1:"+port+"/", nil, nil)
	if err != nil || answer.Status != 200 || !answer.Truncated || len(answer.Body) == 0 || time.Since(began) > 5*time.Second {
		t.Errorf("%d, %t, %d bytes after %s, %v", answer.Status, answer.Truncated, len(answer.Body), time.Since(began), err)
	}
}

// A switch of protocols hands over the connection, which no deadline ends. It is not read.
func TestASwitchOfProtocolsIsNotRead(t *testing.T) {
	open := make(chan error)
	port := raw(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1024))
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = conn.Read(make([]byte, 1)) // until the client hangs up
		close(open)
	})
	client := newClient(t, egress.Config{Allow: loopback})
	answered := make(chan error, 1)
	go func() {
		answer, err := client.Post(context.Background(), "http://127.0.0.1:"+port+"/", nil, nil)
		if err == nil && answer.Status != 101 {
			err = fmt.Errorf("status %d", answer.Status)
		}
		answered <- err
	}()
	for _, done := range []chan error{answered, open} {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it hangs")
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	value := ""
	port := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", value) })
	client := newClient(t, egress.Config{Allow: loopback, Now: func() time.Time { return now }})
	for sent, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "86400": 24 * time.Hour, "86401": 24 * time.Hour, "99999999999999999999": 24 * time.Hour,
		"-5": 0, "1.5": 0, "soon": 0, "Thu, 01 Jan 2026 12:01:00 GMT": time.Minute, "Thu, 01 Jan 2026 11:00:00 GMT": 0, "Thu, 01 Jan 2099 11:00:00 GMT": 24 * time.Hour,
	} {
		value = sent
		answer, err := client.Post(t.Context(), "http://127.0.0.1:"+port+"/", nil, nil)
		if err != nil || answer.RetryAfter != want {
			t.Errorf("%q: %s, want %s, %v", sent, answer.RetryAfter, want, err)
		}
	}
}

func TestTheCallersContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	port := raw(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1024))
		cancel()
		_, _ = conn.Read(make([]byte, 1))
	})
	_, err := newClient(t, egress.Config{Allow: loopback}).Post(ctx, "http://127.0.0.1:"+port+"/", nil, nil)
	if failure(err) != egress.FailureCanceled || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNewRefusesABadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificates"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + ".missing", filepath.Dir(file)} {
		if _, err := egress.New(egress.Config{CAFile: name}); err == nil || !strings.Contains(err.Error(), "GATEHOUSE_EGRESS_CA_FILE") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
