package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/proto/openapi"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// allScopes are those of every RPC.
var allScopes = func() (all []string) {
	eachMethod(func(d protoreflect.MethodDescriptor) {
		if scope := accessOf(d).GetScope(); scope != "" {
			all = append(all, scope)
		}
	})
	slices.Sort(all)
	return slices.Compact(all)
}()

// verifier knows the keys "all" with every scope, "none" without, and "without-<scope>".
type verifier struct{}

func (verifier) Verify(_ context.Context, key string) (p principal.Principal, err error) {
	p = principal.Principal{TenantID: uuid.MustParse("01930000-0000-7000-8000-00000000000a"), Env: "live", Actor: "key/" + key}
	switch key {
	case "all":
		p.Scopes = slices.Clone(allScopes)
	case "none", clearKey:
	default:
		if scope, ok := strings.CutPrefix(key, "without-"); ok { // all but one
			p.Scopes = slices.DeleteFunc(slices.Clone(allScopes), func(s string) bool { return s == scope })
			return p, nil
		}
		return principal.Principal{}, errs.E(errs.Unauthenticated, "KEY_INVALID", "the API key is not valid", nil)
	}
	return p, nil
}

// messages answers as the header of a send asks it to.
type messages struct {
	ingestv1.UnimplementedMessageServiceServer
	entered, release chan struct{} // of a slow send
}

func (m messages) SendMessage(ctx context.Context, req *ingestv1.SendMessageRequest) (*ingestv1.SendMessageResponse, error) {
	p, _ := principal.FromContext(ctx)
	switch req.GetHeader() {
	case "PANIC":
		panic("as asked, with the number " + req.GetTo())
	case "SLOW":
		close(m.entered)
		<-m.release
	case "EXISTS":
		return nil, errs.E(errs.Exists, "IDEMPOTENCY_KEY_REUSED", "x", nil)
	case "LATE":
		return nil, context.DeadlineExceeded
	case "AWAY":
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "x", nil)
	case "OVERLOADED":
		return nil, &errs.Error{Kind: errs.Exhausted, Reason: "OVERLOADED", Message: "x", Metadata: map[string]string{"retry_after": "5s"}}
	case "LIMITED":
		return nil, errs.E(errs.Exhausted, "RATE_LIMITED", "x", nil)
	case "ACCEPTED":
		return &ingestv1.SendMessageResponse{MessageId: acceptedID}, nil
	case "INTERNAL":
		return nil, errors.New("secret cause")
	case "FIELDS":
		return nil, &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "x", Violations: []errs.Violation{{Field: "messages[3].entity_id", Reason: "R", Detail: "d"}}}
	}
	return &ingestv1.SendMessageResponse{MessageId: p.Actor, State: typev1.MessageState_ACCEPTED}, nil
}

func (messages) BatchSendMessages(_ context.Context, req *ingestv1.BatchSendMessagesRequest) (*ingestv1.BatchSendMessagesResponse, error) {
	return &ingestv1.BatchSendMessagesResponse{Messages: make([]*ingestv1.SendMessageResponse, 0, len(req.GetMessages()))}, nil
}

// decisions is compliance as the door sees it: it tells which principal came with the call.
type decisions struct {
	compliancev1.UnimplementedComplianceServiceServer
}

func (decisions) GetDecision(ctx context.Context, req *compliancev1.GetDecisionRequest) (*compliancev1.GetDecisionResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errs.E(errs.Unauthenticated, "KEY_MISSING", "no principal came", nil)
	}
	if req.GetMessageId() == "unknown" {
		return nil, errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "no such message", nil)
	}
	_, deadline := ctx.Deadline()
	return &compliancev1.GetDecisionResponse{Decisions: []*compliancev1.Decision{{MessageId: req.GetMessageId(), RulePack: fmt.Sprint(p.Actor, p.Env, deadline)}}}, nil
}

// world is a door on real sockets with a compliance behind it.
type world struct {
	*Door
	dir       string // of the certificates
	roots     *x509.CertPool
	records   *recorder
	revoked   []string // actors of keys withdrawn; guarded by records.mu
	logs      *bytes.Buffer
	stop      func()
	stopInner func()
	echo      *echo
	slow      messages
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	if err := devca.Create(dir); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{"public": "", "ingest": tlsconf.SPIFFEID("ingest"), "compliance": tlsconf.SPIFFEID("compliance")} {
		if err := devca.Issue(dir, name, nil, id); err != nil {
			t.Fatal(err)
		}
	}
	files := func(name string) tlsconf.Files {
		return tlsconf.Files{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem"), CA: filepath.Join(dir, "ca.pem")}
	}
	w := &world{dir: dir, echo: newEcho(), records: &recorder{}, roots: x509.NewCertPool(), logs: &bytes.Buffer{}, slow: messages{entered: make(chan struct{}), release: make(chan struct{})}}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.roots.AppendCertsFromPEM(ca)
	public, err := tlsconf.Public(files("public").Cert, files("public").Key)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := OpenPins(t.Context(), secret.File(w.pinsKey(t)), filepath.Join(dir, "compliance.pem"), "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	inner := w.startCompliance(t, files("compliance"), files("ingest"))
	w.Door, err = New(Config{
		HTTPAddr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", TLS: public, Verifier: verifier{},
		Register: w.register, Records: w.records, Revoker: w,
		Forward: []Forward{
			{"onlinesms.compliance.v1.ComplianceService", inner}, {"onlinesms.compliance.v1.RegistryService", nil},
			{"onlinesms.compliance.v1.ConsentService", nil}, {"onlinesms.compliance.v1.SuppressionService", nil},
			{"onlinesms.compliance.v1.ComplaintService", nil}, {"onlinesms.compliance.v1.TemplateService", nil}, {"onlinesms.compliance.v1.ScrubService", nil},
			{"onlinesms.dispatch.v1.InboundService", nil}, {"onlinesms.dispatch.v1.RouteService", nil},
			{"onlinesms.compliance.v1.PreferenceService", nil}, {"onlinesms.compliance.v1.ContentService", nil},
			{"doortest.v1.Echo", inner},
			{"onlinesms.audit.v1.AuditService", nil},
			{"onlinesms.dispatch.v1.WebhookEndpointService", nil}, {"onlinesms.dispatch.v1.WebhookDeliveryService", nil},
			{"onlinesms.dispatch.v1.MessageEventService", nil},
		},
		OpenAPI: openapi.Document, Pins: pins,
		Log: slog.New(slog.NewJSONHandler(w.logs, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.stop = run(t, w.Run)
	return w
}

// run runs a task until the test ends, or what it answers is called.
func run(t testing.TB, task func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- task(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func (w *world) startCompliance(t testing.TB, server, client tlsconf.Files) grpc.ClientConnInterface {
	t.Helper()
	identity, err := tlsconf.Server(server)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", TLS: identity, Log: slog.New(slog.DiscardHandler),
		Callers: map[string][]string{
			compliancev1.ComplianceService_GetDecision_FullMethodName: {"ingest"},
			echoUnary: {"ingest"}, echoStream: {"ingest"},
		},
	}, func(r grpc.ServiceRegistrar) {
		compliancev1.RegisterComplianceServiceServer(r, decisions{})
		r.RegisterService(&echoDesc, w.echo)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.stopInner = run(t, inner.Run)
	if identity, err = tlsconf.Client(client, "compliance"); err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(inner.Addr().String(), identity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *world) tls() *tls.Config { return &tls.Config{RootCAs: w.roots, ServerName: "localhost"} }

// client speaks HTTP/2, or HTTP/1.1.
func (w *world) client(t *testing.T, h2 bool) *http.Client {
	c := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: h2},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

const body = `{"to": "+919876543210", "entityId": "1701158019811140068", "header": "ABCBNK", "templateId": "1107160000000000011", "text": "x"}`

func with(header string) string { return strings.Replace(body, "ABCBNK", header, 1) }

func (w *world) do(t *testing.T, h2 bool, method, path, content string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.HTTPAddr().String()+path, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if content != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client(t, h2).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get(hstsName) != hstsValue || resp.Header.Get("X-Request-Id") == "" || (resp.ProtoMajor == 2) != h2 {
		t.Errorf("%s %s: HTTP/%d, headers %v", method, path, resp.ProtoMajor, resp.Header)
	}
	return resp, answer
}

func withKey(t testing.TB, key string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
}
