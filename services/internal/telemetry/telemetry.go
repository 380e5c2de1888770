// Package telemetry sets up logs, traces and metrics of a process: slog as JSON on stderr with trace ids and an
// allow-list of attributes, OTLP when OTEL_EXPORTER_OTLP_ENDPOINT is set, Prometheus always.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// sampleRatio is the share of new traces that are kept when OTEL_TRACES_SAMPLER does not say otherwise: spans are per
// event, not per message, and 1 % of them at full load is what a small collector can take.
const sampleRatio = 0.01

// Telemetry is what a process reports through. The tracer and meter providers and slog's default are global.
type Telemetry struct {
	Log     *slog.Logger
	Metrics http.Handler // Prometheus exposition of all metrics, the Go runtime's and the process's among them
}

// Setup makes the process's telemetry and registers it globally; call the answered function last, it flushes what is
// not yet exported. LOG_LEVEL is debug, info (default), warn or error. A collector that is away is no error.
func Setup(ctx context.Context, service string) (*Telemetry, func(context.Context) error, error) {
	log, err := newLogger(os.Stderr, service, os.Getenv("LOG_LEVEL"))
	if err != nil {
		return nil, nil, err
	}
	slog.SetDefault(log)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry", slog.String("error", err.Error())) }))
	// Trace context only: baggage would carry whatever a caller puts into it.
	otel.SetTextMapPropagator(propagation.TraceContext{})

	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service)))
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry resource: %w", err)
	}
	traces, err := newTraces(ctx, res)
	if err != nil {
		return nil, nil, err
	}
	metrics, handler, err := newMetrics(ctx, res)
	if err != nil {
		return nil, nil, errors.Join(err, traces.Shutdown(ctx))
	}
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(metrics)
	stop := func(ctx context.Context) error { return errors.Join(traces.Shutdown(ctx), metrics.Shutdown(ctx)) }
	return &Telemetry{Log: log, Metrics: handler}, stop, nil
}

// exporting tells whether a collector is named; the exporters read the rest of the OTEL_* variables themselves.
func exporting() bool { return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" }

func newTraces(ctx context.Context, res *resource.Resource) (*trace.TracerProvider, error) {
	options := []trace.TracerProviderOption{trace.WithResource(res)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" { // an option would win over the variable
		options = append(options, trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(sampleRatio))))
	}
	if exporting() {
		exporter, err := otlptracegrpc.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("trace exporter: %w", err)
		}
		options = append(options, trace.WithBatcher(exporter))
	}
	return trace.NewTracerProvider(options...), nil
}

func newMetrics(ctx context.Context, res *resource.Resource) (*metric.MeterProvider, http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("prometheus exporter: %w", err)
	}
	options := []metric.Option{metric.WithResource(res), metric.WithReader(reader)}
	if exporting() {
		exporter, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("metric exporter: %w", err)
		}
		options = append(options, metric.WithReader(metric.NewPeriodicReader(exporter)))
	}
	return metric.NewMeterProvider(options...), promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
