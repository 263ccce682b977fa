package web_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gatehouse/events"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/telemetry"
	"gatehouse/web"
)

// The real stream behind everything that stands around it: the server, tracing, the middleware.
func TestStreamThroughTheWholeStack(t *testing.T) {
	db := sqldbtest.SQLite(t)
	tracing, err := telemetry.NewTracing(t.Context(), "test", sdktrace.WithSyncer(tracetest.NewInMemoryExporter()))
	if err != nil {
		t.Fatal(err)
	}
	var log *events.Log
	cover, err := subtle.NewXChaCha20Poly1305(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(c *web.Config) {
		if log, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: c.Log}); err != nil {
			t.Fatal(err)
		}
		c.Messages = events.NewHandlers(events.NewHistory(db, log), cover)
		c.Wrap = tracing.Handler
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	addr, stop := listening(t, f.Public(true), nil)

	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/messages/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	until := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return lines.Text()
			}
		}
		t.Fatalf("the stream ended before %q: %v", prefix, lines.Err())
		return ""
	}
	until("id: ")
	m, err := events.NewMessage(events.ConnectionTopic("hX9aQ2", "active"), time.Now(), []byte(`{}`)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil }); err != nil {
		t.Fatal(err)
	}
	contains(t, until("data: "), m.ID, "gatehouse.connection.hX9aQ2.active")

	if err := stop(); err != nil { // ends the stream
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = resp.Body.Close()
	client.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	_ = tracing.Shutdown(context.Background())
	contains(t, f.log.String(), `"route":"/v1/messages/stream","status":200`)
	if strings.Contains(metricsOf(f), `gatehouse_http_request_seconds_count{route="/v1/messages/stream"}`) {
		t.Error("the time of a stream is counted among requests")
	}
}
