//go:build e2e

package e2e

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// collector takes the platform's traces, as the OpenTelemetry collector would; it keeps them while a test asks it to.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer

	mu      sync.Mutex
	keeping bool
	spans   map[string][]span // by trace id
}

// span is what a test looks at.
type span struct{ service, name, id, parent string }

// traces is the collector of the shared platform.
var traces = &collector{spans: map[string][]span{}}

// listen opens the collector's port and answers its address.
func (c *collector) listen() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }() // ends with the process
	return listener.Addr().String(), nil
}

// Export implements the collector's one call.
func (c *collector) Export(_ context.Context, request *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		service := attribute(resource.GetResource().GetAttributes(), "service.name")
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.add(service, s)
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *collector) add(service string, s *tracev1.Span) {
	if c.keeping {
		trace := hex.EncodeToString(s.GetTraceId())
		c.spans[trace] = append(c.spans[trace], span{service, s.GetName(), hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId())})
	}
}

func (c *collector) keep(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeping = on
	clear(c.spans)
}

// through answers a trace with spans of all the services; nil while there is none.
func (c *collector) through(services ...string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, spans := range c.spans {
		missing := slices.DeleteFunc(slices.Clone(services), func(service string) bool {
			return slices.ContainsFunc(spans, func(s span) bool { return s.service == service })
		})
		if len(missing) == 0 {
			return slices.Clone(spans)
		}
	}
	return nil
}

func attribute(all []*commonv1.KeyValue, name string) string {
	for _, one := range all {
		if one.GetKey() == name {
			return one.GetValue().GetStringValue()
		}
	}
	return ""
}

// TestOneTraceLeadsThroughAllServices: the context is carried through outbox and headers, so that one message's way is
// one trace, and it holds neither number nor text.
func TestOneTraceLeadsThroughAllServices(t *testing.T) {
	traces.keep(true)
	defer traces.keep(false)
	client := messages(t, demoTenant)
	awaitState(t, client, send(t, client, otp(nextNumber(), "733190")), typev1.MessageState_DELIVERED)
	var found []span
	eventually(t, patience, "one trace has spans of all four services", func() bool {
		found = traces.through("ingest", "compliance", "dispatch", "audit")
		return len(rootsOf(found)) > 0 // each service exports in its own time
	})
	for _, s := range found {
		if strings.Contains(s.name, "733190") || strings.Contains(s.name, "+91") {
			t.Errorf("span %q of %s tells what was sent", s.name, s.service)
		}
	}
	if roots := rootsOf(found); len(roots) != 1 {
		t.Errorf("%d roots in %v", len(roots), found)
	}
}

// rootsOf are the spans without a parent.
func rootsOf(all []span) (roots []span) {
	for _, s := range all {
		if s.parent == "" {
			roots = append(roots, s)
		}
	}
	return roots
}
