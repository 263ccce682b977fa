package web_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/web"
)

// listening serves a handler and returns its address and what stops it and gives its error.
func listening(t *testing.T, h http.Handler, config *tls.Config) (string, func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, ln, h, config, slog.New(slog.DiscardHandler)) }()
	return ln.Addr().String(), func() error { cancel(); return <-ended }
}

func TestShutdownLetsRequestsFinishAndEndsStreams(t *testing.T) {
	begun, release := make(chan string, 2), make(chan struct{})
	f := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error {
			begun <- c.Path()
			if c.Path() == "/v1/messages/stream" {
				<-c.Request().Context().Done()
				close(release) // only once the stream has ended
				return nil
			}
			<-release
			return c.String(http.StatusOK, "done: "+http.StatusText(http.StatusOK)+errText(c.Request().Context()))
		}}
	})
	addr, stop := listening(t, f.Public(true), nil)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	answers := make(chan string, 2)
	for _, path := range []string{"/v1/messages", "/v1/messages/stream"} {
		go func() {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+path, nil)
			r.Header.Set("Authorization", "Bearer "+adminToken)
			resp, err := client.Do(r)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answers <- string(body)
		}()
		<-begun
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{<-answers: true, <-answers: true}
	if !got["done: OK"] || !got[""] {
		t.Errorf("answers %v; want the request to finish undisturbed and the stream to end", got)
	}
}

// What ends a stream's context with the server must not make its refusals look like a client that left.
func TestAStreamThatIsRefusedIsAnswered(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want int
	}{
		"bad filter":       {invalid.Field("subject", "must be a pattern"), http.StatusBadRequest},
		"too many streams": {events.ErrTooManyStreams, http.StatusTooManyRequests},
		"a fault of ours":  {errSecret, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			addr, stop := listening(t, failing(t, row.err).Public(true), nil)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/messages/stream", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+adminToken)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); resp.StatusCode != row.want || got != "application/problem+json" {
				t.Errorf("%d with %q, want %d", resp.StatusCode, got, row.want)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func errText(ctx context.Context) string {
	if err := ctx.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestServeSaysWhyItCannot(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := web.Serve(t.Context(), ln, http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("serving on a closed listener went well")
	}
}

func TestServeTLS(t *testing.T) {
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	addr, stop := listening(t, newFixture(t, nil).Public(true), &tls.Config{Certificates: model.TLS.Certificates})
	transport := model.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := web.LimitListener(inner, 1)
	accepted, ended := make(chan net.Conn), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	for range 2 {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("a connection too many was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // gives one place back, not two
	second := <-accepted
	_ = ln.Close() // while Accept waits for a place
	<-ended
	_ = second.Close()
}
