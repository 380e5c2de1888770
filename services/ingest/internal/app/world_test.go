package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const demoYAML = `
tenant: {id: 01930000-0000-7000-8000-000000000001, name: Demo}
keys:
  - {env: live, scopes: ["messages:send", "messages:read", "otp:send", "otp:check", "otp:read"]}
  - {env: test, scopes: ["messages:send", "messages:read", "content:read", "audit:read", "decisions:read", "otp:send", "otp:check", "otp:read"]}
registry: {entities: []}
`

var demoTenant = uuid.MustParse("01930000-0000-7000-8000-000000000001")

// world is a running service on real PostgreSQL, NATS and sockets.
type world struct {
	*ingest
	db      *postgrestest.Database
	nats    *eventbustest.Server
	bus     eventbus.Config
	dir     string // certificates and secrets
	live    string // keys of the demo tenant
	test    string
	roots   *x509.CertPool
	https   *http.Client
	grpc    *grpc.ClientConn
	logs    *lockedBuffer
	ahead   atomic.Int64 // of the machine's clock, nanoseconds
	stopped func()       // stops the service and waits
}

// now is the service's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{db: postgrestest.New(t, "ingest", sources...), nats: eventbustest.Start(t, nil), dir: t.TempDir(), logs: &lockedBuffer{}}
	w.bus = w.nats.Config
	w.certify(t)
	cfg := Config{
		Postgres: w.db.Config, Bus: w.bus, TLS: w.identity("ingest"), Secrets: w.secrets(),
		GRPCAddr: "127.0.0.1:0", PublicHTTPAddr: "127.0.0.1:0", PublicGRPCAddr: "127.0.0.1:0",
		PublicCertFile: w.path("public.pem"), PublicKeyFile: w.path("public-key.pem"),
	}
	if err := initSecrets(t.Context(), cfg.Secrets); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&cfg)
	}
	w.bootstrap(t, cfg)
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if w.ingest, err = open(t.Context(), cfg, log, w.now); err != nil {
		t.Fatal(err)
	}
	w.start(t, log)
	w.connect(t)
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) secrets() Secrets {
	return Secrets{KEK: secret.File(w.path("kek")), Keyring: secret.File(w.path("keyring.json")), Pepper: secret.File(w.path("pepper"))}
}

func (w *world) identity(service string) tlsconf.Files {
	return tlsconf.Files{Cert: w.path(service + ".pem"), Key: w.path(service + "-key.pem"), CA: w.path("ca.pem")}
}

func (w *world) certify(t testing.TB) {
	t.Helper()
	if err := devca.Create(w.dir); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"ingest", "compliance", "dispatch", "audit"} {
		if err := devca.Issue(w.dir, service, nil, tlsconf.SPIFFEID(service)); err != nil {
			t.Fatal(err)
		}
	}
	if err := devca.Issue(w.dir, "public", nil, ""); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(w.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(ca)
}

// bootstrap makes the demo tenant's keys, as the subcommand does.
func (w *world) bootstrap(t testing.TB, cfg Config) {
	t.Helper()
	if err := os.WriteFile(w.path("demo.yaml"), []byte(demoYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	directory := store.NewStore(w.db.DB, nil, time.Now)
	if err := bootstrap(t.Context(), directory, cfg.Secrets.Pepper, w.path("demo.yaml"), w.path("keys.env")); err != nil {
		t.Fatal(err)
	}
	keys, err := readKeys(w.path("keys.env"))
	if err != nil {
		t.Fatal(err)
	}
	w.live, w.test = keys["live"], keys["test"]
}

func (w *world) start(t testing.TB, log *slog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx, log, w.tasks()...) }()
	stopped := false
	w.stopped = func() {
		if stopped {
			return
		}
		stopped = true
		stop()
		if err := <-done; err != nil {
			t.Errorf("stopping: %v", err)
		}
		w.close()
	}
	t.Cleanup(func() { w.stopped() })
}

func (w *world) connect(t testing.TB) {
	t.Helper()
	config := &tls.Config{RootCAs: w.roots, ServerName: "localhost"}
	w.https = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(w.https.CloseIdleConnections)
	var err error
	if w.grpc, err = grpc.NewClient(w.door.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.grpc.Close() })
}

func (w *world) client() ingestv1.MessageServiceClient {
	return ingestv1.NewMessageServiceClient(w.grpc)
}

// as attaches a key, and further metadata, to the calls of a test.
func as(t testing.TB, key string, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), append([]string{"authorization", "Bearer " + key}, pairs...)...)
}

// response is an HTTPS answer with its body read.
type response struct {
	*http.Response
	body []byte
}

// problem reads the body as a problem report.
func (r *response) problem(t testing.TB) (p struct {
	Type, Title, Detail, Reason, RequestID string
	Status                                 int
	Violations                             []struct{ Field, Reason, Detail string }
}) {
	t.Helper()
	if kind := r.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("%s: content type %q, body %q", r.Request.URL.Path, kind, r.body)
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != r.StatusCode || p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-Id") || p.Type == "" || p.Title == "" {
		t.Errorf("problem %s of a response with status %d and request id %q", r.body, r.StatusCode, r.Header.Get("X-Request-Id"))
	}
	return p
}

// request calls the HTTPS port; headers are pairs.
func (w *world) request(t testing.TB, method, path, body string, headers ...string) *response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.door.HTTPAddr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := w.https.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Strict-Transport-Security") != "max-age=63072000; includeSubDomains" || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s answers %d without HSTS or request id: %v", method, path, resp.StatusCode, resp.Header)
	}
	return &response{resp, content}
}

func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

func send() *ingestv1.SendMessageRequest {
	return &ingestv1.SendMessageRequest{
		To: "09876543210", EntityId: "1701158019811140068", Header: "ABCBNK", TemplateId: "1107160000000000011",
		Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK", ClientReference: "order-17",
	}
}

const sendJSON = `{"to": "09876543210", "entityId": "1701158019811140068", "header": "ABCBNK", "templateId": "1107160000000000011",
	"text": "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}`

// neighbour publishes events as another service would.
func (w *world) neighbour(t testing.TB, producer string) *eventbus.Publisher {
	t.Helper()
	bus, err := eventbus.Connect(t.Context(), w.bus, producer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	durables := map[string][]string{}
	for _, lane := range lanes {
		durables[lane] = []string{"ingest"}
	}
	if err := bus.Own(t.Context(), eventbus.ServiceStreams(producer, durables)); err != nil {
		t.Fatal(err)
	}
	p := bus.NewPublisher(producer, nil)
	go func() { _ = p.Run(t.Context()) }()
	return p
}

// parcel encodes one parcel of an event for the bus.
func parcel(t testing.TB, event proto.Message, env, lane string, id uuid.UUID, payload proto.Message) eventbus.Parcel {
	t.Helper()
	data, err := proto.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Parcel{
		ID: id, Tenant: demoTenant, Entries: 1, Payload: data,
		Subject: eventbus.Subject(string(event.ProtoReflect().Descriptor().FullName()), env, lane),
	}
}

// eventually polls until done is true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		case <-tick.C:
		}
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// replica runs a second ingest on the same stores and connects to it.
func (w *world) replica(t testing.TB) *grpc.ClientConn {
	t.Helper()
	cfg := Config{
		Postgres: w.db.Config, Bus: w.bus, TLS: w.identity("ingest"), Secrets: w.secrets(),
		GRPCAddr: "127.0.0.1:0", PublicHTTPAddr: "127.0.0.1:0", PublicGRPCAddr: "127.0.0.1:0",
		PublicCertFile: w.path("public.pem"), PublicKeyFile: w.path("public-key.pem"),
	}
	log := slog.New(slog.DiscardHandler)
	i, err := open(t.Context(), cfg, log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	second := &world{ingest: i}
	second.start(t, log)
	conn, err := grpc.NewClient(i.door.GRPCAddr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.roots, ServerName: "localhost"})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
