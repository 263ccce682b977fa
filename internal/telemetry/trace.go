package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracing makes spans and sends them to a collector. Nil is tracing turned off; all methods work on it.
type Tracing struct {
	provider *sdktrace.TracerProvider
}

// SetupTracing reads OpenTelemetry's standard variables (OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER,
// OTEL_RESOURCE_ATTRIBUTES, …). Without an endpoint among them tracing is off, and nil is returned. It
// does not reach for the collector, so one that is away does not keep the gateway from starting.
func SetupTracing(ctx context.Context, version string, log *slog.Logger) (*Tracing, error) {
	if !tracingWanted() {
		return nil, nil
	}
	switch protocol := firstEnv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol {
	case "", "http/protobuf":
	default:
		return nil, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is supported")
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the trace exporter: %w", err)
	}
	// The SDK has one place for its own troubles; without this it writes them to standard error, where
	// they would stand between our lines.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err) }))
	return NewTracing(ctx, version, sdktrace.WithBatcher(exporter))
}

// NewTracing traces with the given options, which say where spans go.
func NewTracing(ctx context.Context, version string, options ...sdktrace.TracerProviderOption) (*Tracing, error) {
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "gatehouse"), attribute.String("service.version", version)),
		resource.WithFromEnv(), // last, so that OTEL_SERVICE_NAME has its say
	)
	if err != nil {
		return nil, fmt.Errorf("describing this process for traces: %w", err)
	}
	return &Tracing{sdktrace.NewTracerProvider(append(options, sdktrace.WithResource(described))...)}, nil
}

func tracingWanted() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return firstEnv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != ""
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// Provider makes tracers, which do nothing while tracing is off.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil {
		return noop.NewTracerProvider()
	}
	return t.provider
}

// Shutdown sends what has not been sent yet.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

func propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }
