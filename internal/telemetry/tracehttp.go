package telemetry

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// otelhttp puts a request's URL into its spans: the whole of it on the client's side, where ack tokens
// are in the query; the path on the server's, where the ids of connect links are. So it gets to see a
// request whose URL says less, and what lies beneath it gets the real one back.

type realURL struct{}

func behindBareURL(r *http.Request, bare url.URL) *http.Request {
	real := r.URL
	r = r.WithContext(context.WithValue(r.Context(), realURL{}, real))
	r.URL = &bare
	return r
}

// Handler traces requests. Spans are named after the route, which a handler beneath sets as the request's
// Pattern. Whatever trace a client claims to belong to is linked, not joined: the public decides nothing
// about our sampling.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	restored := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// In place, not a copy: otelhttp reads the Pattern from this very request.
		if real, ok := r.Context().Value(realURL{}).(*url.URL); ok {
			r.URL = real
		}
		next.ServeHTTP(w, r)
	})
	traced := otelhttp.NewHandler(restored, "HTTP",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), // our metrics are Prometheus's
		otelhttp.WithPropagators(propagator()),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }),
		otelhttp.WithSpanNameFormatter(func(operation string, r *http.Request) string {
			if r.Pattern != "" {
				return r.Pattern
			}
			return operation
		}),
	)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		traced.ServeHTTP(w, behindBareURL(r, url.URL{}))
	})
}

// Transport traces requests to others. Spans hold scheme, host and path of the URL, not its query.
func (t *Tracing) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if t == nil {
		return base
	}
	return &transport{otelhttp.NewTransport(restoring{base},
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithPropagators(propagator()),
	)}
}

type transport struct{ traced http.RoundTripper }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.traced.RoundTrip(behindBareURL(r, url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path}))
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

type restoring struct{ base http.RoundTripper }

func (t restoring) RoundTrip(r *http.Request) (*http.Response, error) {
	if real, ok := r.Context().Value(realURL{}).(*url.URL); ok {
		r = r.WithContext(r.Context())
		r.URL = real
	}
	return t.base.RoundTrip(r)
}
