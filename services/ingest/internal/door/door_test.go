package door

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/proto/openapi"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// verifier knows two keys: "all" with every scope and "none" without.
type verifier struct{}

func (verifier) Verify(_ context.Context, key string) (p principal.Principal, err error) {
	p = principal.Principal{TenantID: uuid.MustParse("01930000-0000-7000-8000-00000000000a"), Env: "live", Actor: "key/" + key}
	switch key {
	case "all":
		p.Scopes = []string{scopeSend, scopeRead, scopeDecisions, scopeAudit}
	case "none":
	default:
		return p, errs.E(errs.Unauthenticated, "KEY_INVALID", "the API key is not valid", nil)
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
	case "AWAY":
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "x", nil)
	case "OVERLOADED":
		return nil, &errs.Error{Kind: errs.Exhausted, Reason: "OVERLOADED", Message: "x", Metadata: map[string]string{"retry_after": "5s"}}
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
	roots *x509.CertPool
	logs  *bytes.Buffer
	stop  func()
	slow  messages
}

func newWorld(t *testing.T) *world {
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
	w := &world{roots: x509.NewCertPool(), logs: &bytes.Buffer{}, slow: messages{entered: make(chan struct{}), release: make(chan struct{})}}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.roots.AppendCertsFromPEM(ca)
	public, err := tlsconf.Public(files("public").Cert, files("public").Key)
	if err != nil {
		t.Fatal(err)
	}
	w.Door, err = New(Config{
		HTTPAddr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", TLS: public, Verifier: verifier{},
		Register:   func(r grpc.ServiceRegistrar) { ingestv1.RegisterMessageServiceServer(r, w.slow) },
		Compliance: startCompliance(t, files("compliance"), files("ingest")), OpenAPI: openapi.Document,
		Log: slog.New(slog.NewJSONHandler(w.logs, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.stop = run(t, w.Run)
	return w
}

// run runs a task until the test ends, or what it answers is called.
func run(t *testing.T, task func(context.Context) error) (stop func()) {
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

func startCompliance(t *testing.T, server, client tlsconf.Files) grpc.ClientConnInterface {
	t.Helper()
	identity, err := tlsconf.Server(server)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", TLS: identity, Log: slog.New(slog.DiscardHandler),
		Callers: map[string][]string{compliancev1.ComplianceService_GetDecision_FullMethodName: {"ingest"}},
	}, func(r grpc.ServiceRegistrar) { compliancev1.RegisterComplianceServiceServer(r, decisions{}) })
	if err != nil {
		t.Fatal(err)
	}
	run(t, inner.Run)
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

// Every class of refusal has HSTS, a request id and one problem body, over HTTP/1.1 and HTTP/2.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	big := `{"text": "` + strings.Repeat("x", maxBodyBytes) + `"}`
	for name, c := range map[string]struct {
		method, path, body, key string
		headers                 []string
		status                  int
		reason, field           string
	}{
		"no key":             {"POST", "/v1/messages", body, "", nil, 401, "KEY_MISSING", ""},
		"wrong key":          {"POST", "/v1/messages", body, "wrong", nil, 401, "KEY_INVALID", ""},
		"key before body":    {"POST", "/v1/messages", "{", "wrong", nil, 401, "KEY_INVALID", ""},
		"no scope":           {"POST", "/v1/messages", body, "none", nil, 403, "SCOPE_MISSING", ""},
		"no such path":       {"GET", "/v1/nothing", "", "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"root":               {"GET", "/", "", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		"wrong method":       {"DELETE", "/v1/messages", "", "all", nil, 405, "METHOD_NOT_ALLOWED", ""},
		"wrong page method":  {"POST", "/openapi.json", body, "", nil, 405, "METHOD_NOT_ALLOWED", ""},
		"method override":    {"POST", "/v1/messages/x", body, "all", []string{"X-HTTP-Method-Override", "GET"}, 405, "METHOD_NOT_ALLOWED", ""},
		"inner method":       {"POST", "/onlinesms.compliance.v1.ComplianceService/GetTemplateCategory", body, "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"conflict":           {"POST", "/v1/messages", with("EXISTS"), "all", nil, 409, "IDEMPOTENCY_KEY_REUSED", ""},
		"too large":          {"POST", "/v1/messages", big, "all", nil, 413, "REQUEST_TOO_LARGE", ""},
		"form":               {"POST", "/v1/messages", body, "all", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "CONTENT_TYPE", ""},
		"large header":       {"GET", "/v1/messages", "", "all", []string{"X-Filler", strings.Repeat("x", 20<<10)}, 431, "REQUEST_TOO_LARGE", ""},
		"panic":              {"POST", "/v1/messages", with("PANIC"), "all", nil, 500, "INTERNAL", ""},
		"internal":           {"POST", "/v1/messages", with("INTERNAL"), "all", nil, 500, "INTERNAL", ""},
		"away":               {"POST", "/v1/messages", with("AWAY"), "all", nil, 503, "SERVICE_UNAVAILABLE", ""},
		"overloaded":         {"POST", "/v1/messages", with("OVERLOADED"), "all", nil, 503, "OVERLOADED", ""},
		"violation":          {"POST", "/v1/messages", with("FIELDS"), "all", nil, 400, "REQUEST_INVALID", "messages[3].entityId"},
		"unknown field":      {"POST", "/v1/messages", strings.Replace(body, "entityId", "entityIdx", 1), "all", nil, 400, "REQUEST_INVALID", "entityIdx"},
		"number for an id":   {"POST", "/v1/messages", strings.Replace(body, `"1701158019811140068"`, "1701158019811140068", 1), "all", nil, 400, "REQUEST_INVALID", "entityId"},
		"number for a phone": {"POST", "/v1/messages", strings.Replace(body, `"+919876543210"`, "919876543210", 1), "all", nil, 400, "REQUEST_INVALID", "to"},
		"given twice":        {"POST", "/v1/messages", strings.Replace(body, `"text": "x"`, `"text": "x", "text": "y"`, 1), "all", nil, 400, "REQUEST_INVALID", "text"},
		"not JSON":           {"POST", "/v1/messages", "{", "all", nil, 400, "REQUEST_INVALID", ""},
		"two documents":      {"POST", "/v1/messages", body + body, "all", nil, 400, "REQUEST_INVALID", ""},
		"unknown parameter":  {"GET", "/v1/messages?stat=DELIVERED", "", "all", nil, 400, "REQUEST_INVALID", "stat"},
		"not implemented":    {"GET", "/v1/messages", "", "all", nil, 501, "METHOD_NOT_OFFERED", ""},
		"not connected":      {"GET", "/v1/audit/events", "", "all", nil, 503, "SERVICE_UNAVAILABLE", ""},
		"forwarded refusal":  {"GET", "/v1/messages/unknown/decision", "", "all", nil, 404, "MESSAGE_NOT_FOUND", ""},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", name, h2), func(t *testing.T) {
				headers := c.headers
				if c.key != "" {
					headers = append(headers, "Authorization", "Bearer "+c.key)
				}
				resp, content := w.do(t, h2, c.method, c.path, c.body, headers...)
				var p problem
				if err := json.Unmarshal(content, &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
					t.Fatalf("%d %s", resp.StatusCode, content)
				}
				if resp.StatusCode != c.status || p.Status != c.status || p.Reason != c.reason || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
					t.Errorf("%d %s", resp.StatusCode, content)
				}
				if c.field != "" && (len(p.Violations) != 1 || p.Violations[0].Field != c.field) {
					t.Errorf("violations %v, want %s", p.Violations, c.field)
				}
				if h := resp.Header; (c.status == 401) != (h.Get("WWW-Authenticate") != "") || (c.status == 405) != (h.Get("Allow") != "") || (c.status == 503) != (h.Get("Retry-After") != "") {
					t.Errorf("headers %v", h)
				}
				if strings.Contains(string(content), "secret") || strings.Contains(string(content), "9876543210") || strings.Contains(string(content), "1701158019811140068") {
					t.Errorf("the answer repeats a value: %s", content)
				}
			})
		}
	}
	w.stop()
	if strings.Contains(w.logs.String(), "9876543210") {
		t.Error("the log holds the number")
	}
	for _, want := range []string{"call panicked", "secret cause", "SCOPE_MISSING", "request_id"} {
		if !strings.Contains(w.logs.String(), want) {
			t.Errorf("the log does not hold %s", want)
		}
	}
}

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

func TestJSONAndGRPCMeetTheSameInterceptors(t *testing.T) {
	w := newWorld(t)
	resp, content := w.do(t, true, "POST", "/v1/messages", body, "Authorization", "Bearer all", "X-Request-Id", "mine-1")
	var sent map[string]string
	if err := json.Unmarshal(content, &sent); err != nil || resp.StatusCode != 200 || !cmp.Equal(sent, map[string]string{"messageId": "key/all", "state": "ACCEPTED"}) {
		t.Errorf("%d %s", resp.StatusCode, content)
	}
	if resp.Header.Get("X-Request-Id") != "mine-1" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", resp.Header)
	}
	conn, err := grpc.NewClient(w.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(w.tls())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := ingestv1.NewMessageServiceClient(conn)
	var header metadata.MD
	got, err := client.SendMessage(withKey(t, "all"), &ingestv1.SendMessageRequest{}, grpc.Header(&header))
	if err != nil || got.GetMessageId() != "key/all" || len(header.Get(requestIDKey)) != 1 {
		t.Errorf("%v, %v, %v", got, err, header)
	}
	for key, want := range map[string]codes.Code{"wrong": codes.Unauthenticated, "none": codes.PermissionDenied} {
		if _, err := client.SendMessage(withKey(t, key), &ingestv1.SendMessageRequest{}); status.Code(err) != want {
			t.Errorf("key %s: %v", key, err)
		}
	}
	if _, err := client.SendMessage(t.Context(), &ingestv1.SendMessageRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no key: %v", err)
	}
	twice := metadata.AppendToOutgoingContext(withKey(t, "all"), "authorization", "Bearer none")
	if _, err := client.SendMessage(twice, &ingestv1.SendMessageRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("two keys: %v", err)
	}
	decisions := compliancev1.NewComplianceServiceClient(conn)
	if d, err := decisions.GetDecision(withKey(t, "all"), &compliancev1.GetDecisionRequest{MessageId: "m"}); err != nil || d.GetDecisions()[0].GetRulePack() != "key/alllivetrue" {
		t.Errorf("forwarded: %v, %v", d, err)
	}
	if _, err := decisions.GetTemplateCategory(withKey(t, "all"), &compliancev1.GetTemplateCategoryRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an inner method is offered: %v", err)
	}
	checkReflection(t, conn)
}

// A call that is under way when the door closes is answered; a later one finds no door.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	answered := make(chan int, 1)
	go func() {
		resp, _ := w.do(t, true, "POST", "/v1/messages", with("SLOW"), "Authorization", "Bearer all")
		answered <- resp.StatusCode
	}()
	<-w.slow.entered
	addr := w.HTTPAddr().String()
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break // the port is closed, and the call still under way
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the port stays open")
		}
	}
	close(w.slow.release)
	if status := <-answered; status != 200 {
		t.Errorf("the call under way was answered %d", status)
	}
	<-stopped
}

func withKey(t *testing.T, key string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
}

func checkReflection(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	ask := func(ctx context.Context) error {
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "onlinesms.compliance.v1.ComplianceService"}}); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err == nil && answer.GetFileDescriptorResponse() == nil {
			return fmt.Errorf("reflection answers %v", answer)
		}
		return err
	}
	if err := ask(withKey(t, "none")); err != nil {
		t.Errorf("reflection with a key: %v", err)
	}
	if err := ask(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without a key: %v", err)
	}
}

// Every RPC the door offers has its rule, and every rule is of an RPC that is offered.
func TestEveryRPCHasAScope(t *testing.T) {
	w := newWorld(t)
	offered := map[string]bool{}
	for service, info := range w.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			offered[fmt.Sprintf("/%s/%s", service, m.Name)] = true
		}
	}
	for method := range offered {
		if _, ok := rules[method]; !ok {
			t.Errorf("%s is offered without a declared scope", method)
		}
	}
	for method := range rules {
		if !offered[method] {
			t.Errorf("%s has a rule and is not offered", method)
		}
	}
}

// The OpenAPI document tells exactly the routes there are.
func TestRoutesAreDocumented(t *testing.T) {
	var doc openAPI
	if err := json.Unmarshal(openapi.Document, &doc); err != nil {
		t.Fatal(err)
	}
	var documented, served []string
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range routes {
		path := strings.Join(r.path, "/")
		if r.verb != "" {
			path += ":" + r.verb
		}
		served = append(served, r.method+" "+path)
	}
	slices.Sort(documented)
	slices.Sort(served)
	if diff := cmp.Diff(documented, served); diff != "" {
		t.Error(diff)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/openapi.json": `"openapi"`, "/docs": "/v1/messages:batch", "/v1/reasons": "TOO_LARGE"} {
		resp, content := w.do(t, true, "GET", path, "")
		if resp.StatusCode != 200 || !strings.Contains(string(content), want) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, content)
		}
		if head, none := w.do(t, false, "HEAD", path, ""); head.StatusCode != 200 || len(none) > 0 {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
		for _, outside := range []string{"src=", "http://", "@import", "<script"} {
			if path == "/docs" && strings.Contains(string(content), outside) {
				t.Errorf("/docs loads something: %s", outside)
			}
		}
	}
}

// What net/http answers by itself has HSTS too.
func TestHSTSWithoutAHandler(t *testing.T) {
	w := newWorld(t)
	for name, raw := range map[string]string{
		"malformed":      "nonsense\r\n\r\n",
		"bad header":     "GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
		"no host":        "GET / HTTP/1.1\r\n\r\n",
		"huge header":    "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"unknown expect": "POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n",
		"bad encoding":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
		"options *":      "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/1.0":       "GET / HTTP/1.0\r\n\r\n",
	} {
		config := w.tls()
		config.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", w.HTTPAddr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte(raw)) }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			_ = conn.Close()
			continue
		}
		if len(resp.Header.Values(hstsName)) != 1 || resp.StatusCode < 400 {
			t.Errorf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
		resp.Body.Close()
		_ = conn.Close()
	}
}

func TestPlainHTTPGetsNothing(t *testing.T) {
	w := newWorld(t)
	for _, addr := range []net.Addr{w.HTTPAddr(), w.GRPCAddr()} {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, _ := io.ReadAll(conn)
		want := ""
		if addr == w.HTTPAddr() {
			want = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
		}
		if addr == w.HTTPAddr() && string(answer) != want || bytes.Contains(answer, []byte("messages")) || bytes.Contains(answer, []byte("Location")) {
			t.Errorf("%s answers %q", addr, answer)
		}
	}
}

func TestTLSVersions(t *testing.T) {
	w := newWorld(t)
	for _, addr := range []net.Addr{w.HTTPAddr(), w.GRPCAddr()} {
		for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			config := w.tls()
			config.MinVersion, config.MaxVersion, config.NextProtos = version, version, []string{"h2"}
			conn, err := tls.Dial("tcp", addr.String(), config)
			if (err == nil) != ok {
				t.Errorf("%s, TLS %x: %v", addr, version, err)
			}
			if err == nil {
				_ = conn.Close()
			}
		}
	}
}

func TestJSONPath(t *testing.T) {
	for in, want := range map[string]string{
		"messages[3].entity_id": "messages[3].entityId", "to": "to", "idempotency-key": "idempotency-key",
		"variables[0].name": "variables[0].name", "validity_period": "validityPeriod", "": "",
	} {
		if got := jsonPath(in); got != want {
			t.Errorf("jsonPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, proposed := range []string{"", "a b", "x\r\ny", strings.Repeat("x", 65), "ü"} {
		if got := chooseRequestID(proposed); got == proposed || len(got) < 20 {
			t.Errorf("%q gives %q", proposed, got)
		}
	}
	if got := chooseRequestID("Req-1.a_b"); got != "Req-1.a_b" {
		t.Errorf("a safe id became %q", got)
	}
}

// Every reason a call can be refused for stands in the catalogue, once and in order, with the status the door answers.
func TestCatalogue(t *testing.T) {
	if !slices.IsSortedFunc(catalogue, func(a, b Reason) int { return strings.Compare(a.Reason, b.Reason) }) {
		t.Error("the catalogue is not in order")
	}
	for code := range statuses {
		reason := frameworkReason(code)
		if !slices.ContainsFunc(catalogue, func(r Reason) bool { return r.Reason == reason }) {
			t.Errorf("%s is not in the catalogue", reason)
		}
	}
}
