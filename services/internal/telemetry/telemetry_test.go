package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// logged runs write with a logger and answers its lines.
func logged(t *testing.T, level string, write func(*slog.Logger)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	log, err := newLogger(&out, "ingest", level)
	if err != nil {
		t.Fatal(err)
	}
	write(log)
	var lines []map[string]any
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

type numbered struct{ number string }

func (n numbered) LogValue() slog.Value { return slog.GroupValue(slog.String("to", n.number)) }

func TestOnlyAllowedAttributesKeepTheirValue(t *testing.T) {
	const number = "+919812345678"
	lines := logged(t, "", func(log *slog.Logger) {
		log.With(slog.String("recipient", number)).WithGroup("inner").Info("sent", slog.Int("count", 3), slog.String("to", number),
			slog.Int("otp", 482913),
			slog.Group("request", slog.String("body", number), slog.String("method", "Send")), slog.Any("name", numbered{number}),
			slog.Any("error", errors.New("refused")))
	})
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	text, err := json.Marshal(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{number, "482913"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s stands in %s", secret, text)
		}
	}
	inner := lines[0]["inner"].(map[string]any)
	if lines[0]["recipient"] != redacted || inner["to"] != redacted || inner["count"] != 3.0 || inner["error"] != "refused" ||
		inner["request"].(map[string]any)["method"] != "Send" || lines[0]["service"] != "ingest" || lines[0]["msg"] != "sent" {
		t.Errorf("logged %s", text)
	}
}

func TestAllowLogKeys(t *testing.T) {
	write := func(log *slog.Logger) { log.Info("x", slog.String("telemetry_test_key", "value")) }
	if got := logged(t, "", write)[0]["telemetry_test_key"]; got != redacted {
		t.Errorf("before: %v", got)
	}
	AllowLogKeys("telemetry_test_key")
	if got := logged(t, "", write)[0]["telemetry_test_key"]; got != "value" {
		t.Errorf("after: %v", got)
	}
}

func TestLogCarriesTheSpan(t *testing.T) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	lines := logged(t, "", func(log *slog.Logger) {
		log.With(slog.Int("count", 1)).InfoContext(ctx, "x")
		log.Info("x")
	})
	if lines[0]["trace_id"] != span.TraceID().String() || lines[0]["span_id"] != span.SpanID().String() {
		t.Errorf("logged %v", lines[0])
	}
	if _, ok := lines[1]["trace_id"]; ok {
		t.Errorf("a trace id without a span: %v", lines[1])
	}
}

func TestLevels(t *testing.T) {
	write := func(log *slog.Logger) { log.Debug("d"); log.Info("i"); log.Error("e") }
	for level, want := range map[string]int{"": 2, "debug": 3, "INFO": 2, "error": 1} {
		if got := len(logged(t, level, write)); got != want {
			t.Errorf("level %q: %d lines, want %d", level, got, want)
		}
	}
	if _, err := newLogger(io.Discard, "ingest", "loud"); err == nil {
		t.Error("an unknown level is accepted")
	}
}

func TestSetupServesMetricsAndMakesTraceIDs(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	tel, stop, err := Setup(t.Context(), "ingest")
	if err != nil {
		t.Fatal(err)
	}
	counter, err := otel.Meter("test").Int64Counter("messages_accepted")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 7)
	answer := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"messages_accepted_total 7", "go_goroutines ", "process_resident_memory_bytes ", `service_name="ingest"`} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("no %q in:\n%s", want, answer.Body.String())
		}
	}
	sampled := 0
	for range 2000 {
		_, span := otel.Tracer("test").Start(context.Background(), "x")
		if !span.SpanContext().HasTraceID() {
			t.Fatal("a span without trace id")
		}
		if span.SpanContext().IsSampled() {
			sampled++
		}
		span.End()
	}
	if sampled == 0 || sampled > 100 {
		t.Errorf("%d of 2000 traces kept, want about 1 %%", sampled)
	}
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAdminPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	notReady := errors.New("NATS is away")
	ready := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	go func() {
		served <- serveAdmin(ctx, listener, adminHandler(func() error { return <-ready }, metrics))
	}()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	ready <- notReady
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "NATS is away") {
		t.Errorf("readyz %d %s", code, body)
	}
	ready <- nil
	if code, body := get("/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("readyz %d %s", code, body)
	}
	staleSecret(t)
	ready <- nil
	if code, body := get("/readyz"); code != 200 || !strings.Contains(body, "STALE keeps its earlier value: not this one") {
		t.Errorf("readyz %d %s", code, body)
	}
	if _, body := get("/metrics"); body != "up 1\n" {
		t.Errorf("metrics %q", body)
	}
	if code, body := get("/debug/pprof/"); code != 200 || !strings.Contains(body, "goroutine") {
		t.Errorf("pprof %d", code)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestAdminTaskFailsOnATakenPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	task := AdminServer(listener.Addr().String(), func() error { return nil }, http.NotFoundHandler())
	if err := task.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

// staleSecret leaves a secret whose new value is refused.
func staleSecret(t *testing.T) {
	t.Helper()
	file := t.TempDir() + "/secret"
	write := func(text string) {
		t.Helper()
		if err := secret.Replace(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("good")
	refused := make(chan struct{}, 100)
	err := secret.Follow(t.Context(), "STALE", secret.File(file), func(text []byte) error {
		if string(text) == "good" {
			return nil
		}
		refused <- struct{}{}
		return errors.New("not this one")
	})
	if err != nil {
		t.Fatal(err)
	}
	write("bad")
	<-refused
	<-refused // the second time it is reported
}
