package telemetry_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gatehouse/internal/telemetry"
)

func tracing(t *testing.T) (*telemetry.Tracing, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	tr, err := telemetry.NewTracing(t.Context(), "test", sdktrace.WithSyncer(exporter))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Shutdown(context.Background()) })
	return tr, exporter
}

// spans is everything that was exported, as text to search.
func spans(t *testing.T, exporter *tracetest.InMemoryExporter) string {
	t.Helper()
	text, err := json.Marshal(exporter.GetSpans())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServerSpansHoldTheRouteAndNotTheURL(t *testing.T) {
	tr, exporter := tracing(t)
	var seen string
	h := tr.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen += r.URL.String() + " "
		r.Pattern = "GET /oauth/start/:link"
		w.WriteHeader(http.StatusTeapot)
	}))
	r := httptest.NewRequest("GET", "/oauth/start/"+planted+"?code="+planted, strings.NewReader("x"))
	r.Header.Set("Authorization", "Bearer "+planted)
	r.Header.Set("Cookie", planted)
	h.ServeHTTP(httptest.NewRecorder(), r)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/livez", nil))

	if want := "/oauth/start/" + planted + "?code=" + planted + " /livez "; seen != want {
		t.Errorf("the handler saw %s, want %s", seen, want)
	}
	got := exporter.GetSpans()
	if len(got) != 1 || got[0].Name != "GET /oauth/start/:link" {
		t.Fatalf("spans: %v", got)
	}
	if text := spans(t, exporter); strings.Contains(text, planted) {
		t.Errorf("a span holds what the URL held: %s", text)
	}
}

func TestClientSpansHoldNoQuery(t *testing.T) {
	tr, exporter := tracing(t)
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.URL.String() }))
	client := &http.Client{Transport: tr.Transport(srv.Client().Transport)}
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/3/events/7?ack_token="+planted, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.Request.URL.String() != req.URL.String() {
		t.Errorf("the response names %s, want %s", resp.Request.URL, req.URL)
	}
	srv.Close()
	if _, err := client.Do(req); err == nil {
		t.Fatal("a closed server answered")
	}
	client.CloseIdleConnections()

	if want := "/api/3/events/7?ack_token=" + planted; seen != want {
		t.Errorf("the server saw %s, want %s", seen, want)
	}
	text := spans(t, exporter)
	if n := len(exporter.GetSpans()); n != 2 {
		t.Errorf("%d spans, want 2", n)
	}
	if strings.Contains(text, planted) {
		t.Errorf("a span holds the query: %s", text)
	}
	if !strings.Contains(text, "/api/3/events/7") {
		t.Errorf("no span holds the path: %s", text)
	}
}

func TestTracingIsOffWithoutAnEndpoint(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing set": {},
		"disabled":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, env)
			tr, err := telemetry.SetupTracing(t.Context(), "test", nil)
			if tr != nil || err != nil {
				t.Fatalf("SetupTracing = %v, %v", tr, err)
			}
			h := http.NewServeMux()
			if tr.Handler(h) != http.Handler(h) || tr.Transport(nil) != http.DefaultTransport {
				t.Error("something is wrapped although tracing is off")
			}
			_, span := tr.Provider().Tracer("x").Start(t.Context(), "x")
			if span.IsRecording() || tr.Shutdown(t.Context()) != nil {
				t.Error("spans are recorded although tracing is off")
			}
		})
	}
}

func TestOnlyHTTPExportIsSupported(t *testing.T) {
	setEnv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	if _, err := telemetry.SetupTracing(t.Context(), "test", nil); err == nil {
		t.Fatal("an unsupported protocol was accepted")
	}
}

func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER",
	} {
		t.Setenv(name, env[name])
	}
}
