package doordeck_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/doordeck"
)

func TestNewClient(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://api.doordeck.com": true, "https://api.doordeck.com/": true, "http://127.0.0.1:8080/below": true,
		"": false, "api.doordeck.com": false, "ftp://api.doordeck.com": false, "https://": false, "https:///x": false,
		"https://user:pass@api.doordeck.com": false, "https://api.doordeck.com?x=1": false, "https://api.doordeck.com#x": false, "://": false,
	} {
		if _, err := doordeck.NewClient(doordeck.Config{URL: url}); (err == nil) != ok || (err != nil && strings.Contains(err.Error(), "pass")) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// The client's own transport, to a real server.
func TestOwnTransport(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"now":1767312000000}`)) }))
	defer server.Close()
	client, err := doordeck.NewClient(doordeck.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if at, err := client.Time(t.Context()); err != nil || !at.Equal(moment) {
		t.Fatal(at, err)
	}
}

// A token goes to the configured origin only, whatever the answer says.
func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{other.URL, "/below/elsewhere", "//elsewhere.test/"} {
			asks := 0
			client := serve(t, func(w http.ResponseWriter, _ asked) {
				asks++
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			})
			_, err := client.ShareableLocks(t.Context(), bearer())
			e, ok := errors.AsType[*doordeck.Error](err)
			if !ok || e.Status != status || e.Class != doordeck.Invalid || asks != 1 || elsewhere != 0 {
				t.Errorf("%d to %s: %v after %d requests, %d elsewhere", status, to, err, asks, elsewhere)
			}
		}
	}
}

func TestTokenThatIsNone(t *testing.T) {
	client, got := answering(t, 200, `[]`)
	for _, odd := range []string{"a b", "a\r\nX: y", "ä", "\x00"} {
		if _, err := client.ShareableLocks(t.Context(), doordeck.NewToken(odd)); err == nil || strings.Contains(err.Error(), odd) {
			t.Errorf("%q: %v", odd, err)
		}
	}
	if len(*got) != 0 {
		t.Fatalf("asked %q", *got)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	client := serve(t, func(http.ResponseWriter, asked) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.ShareableLocks(ctx, bearer())
	if e, ok := errors.AsType[*doordeck.Error](err); !ok || !errors.Is(err, context.Canceled) || e.Class != doordeck.Transient || e.Status != 0 || e.Unsent {
		t.Fatal(err)
	}
}

func TestCallEndsAfterAMinute(t *testing.T) {
	for name, answer := range map[string]http.RoundTripper{"no answer": silent{}, "half an answer": stalled{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := doordeck.NewClient(doordeck.Config{URL: "https://doordeck.test", Transport: answer})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = client.ShareableLocks(t.Context(), bearer())
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1m0s") || time.Since(start) != time.Minute {
					t.Fatalf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type stalled struct{}

func (stalled) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: stalledBody{r.Context()}}, nil
}

type stalledBody struct{ ctx context.Context }

func (b stalledBody) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}
func (stalledBody) Close() error { return nil }

// An unlock that was certainly not sent may be told from one that perhaps was.
func TestUnsent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	resets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()); err != nil { // a RST, not a FIN
			t.Error(err)
		}
	}))
	defer resets.Close()
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{nobody: true, "http://doordeck.invalid": true, hangsUp.URL: false, resets.URL: false} {
		client, err := doordeck.NewClient(doordeck.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Execute(t.Context(), bearer(), lock, signed.JWT)
		e, ok := errors.AsType[*doordeck.Error](err)
		if !ok || e.Unsent != want || e.Class != doordeck.Transient || !strings.HasPrefix(err.Error(), "Doordeck cannot be reached: ") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
