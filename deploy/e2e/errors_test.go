//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// problem is a refusal (RFC 9457) as the API writes it.
type problem struct {
	Type, Title, Detail, Reason, RequestID string
	Status                                 int
	Metadata                               map[string]string
	Violations                             []struct{ Field, Reason, Detail string }
}

// catalogued are the reasons at /v1/reasons.
func catalogued(t *testing.T) map[string]struct {
	Reason, Code, Title, Remedy string
	Status                      int
} {
	t.Helper()
	type entry = struct {
		Reason, Code, Title, Remedy string
		Status                      int
	}
	var page struct {
		Version int
		Reasons []entry
	}
	call(t, http.MethodGet, "/v1/reasons", "", "").into(t, &page)
	if page.Version < 1 || len(page.Reasons) < 20 {
		t.Fatalf("version %d with %d reasons", page.Version, len(page.Reasons))
	}
	all := map[string]entry{}
	for _, r := range page.Reasons {
		all[r.Reason] = r
	}
	return all
}

// infoIn is the ErrorInfo of a gRPC error; nil when it has none.
func infoIn(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func reasonIn(err error) string { return infoIn(err).GetReason() }

// fault is a way to be refused: a request as curl would send it, and the same by gRPC where it can be sent so.
type fault struct {
	name               string
	status             int
	reason             string
	method, path, body string
	key                string
	headers            []string
	arrange            func(t *testing.T) // brings the fault about, for the time of the test
	again              bool               // the fault may come and go: tried until it is met
	grpc               func(t *testing.T) error
}

// Every class of error, on the running platform: one problem body, HSTS, a request id; the catalogue tells its status
// and its remedy; gRPC gives the same reason, with its domain and what is beside it.
func TestEveryErrorClassIsOneProblem(t *testing.T) {
	known := catalogued(t)
	for _, f := range faults(t) {
		t.Run(f.name, func(t *testing.T) {
			if f.arrange != nil {
				f.arrange(t)
			}
			got := f.meet(t)
			var p problem
			if err := json.Unmarshal(got.body, &p); err != nil {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if got.status != f.status || p.Status != f.status || p.Reason != f.reason || got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s, want %d %s", got.status, got.body, f.status, f.reason)
			}
			if got.header.Get("Strict-Transport-Security") != "max-age=63072000; includeSubDomains" {
				t.Errorf("HSTS %q", got.header.Get("Strict-Transport-Security"))
			}
			if id := got.header.Get("X-Request-Id"); id == "" || id != p.RequestID {
				t.Errorf("request id %q, in the body %q", id, p.RequestID)
			}
			entry, ok := known[p.Reason]
			if !ok || entry.Remedy == "" || entry.Title != p.Title || p.Type != "/v1/reasons#"+p.Reason {
				t.Errorf("the catalogue says %+v of %s", entry, got.body)
			}
			if (f.status == 429 || f.status == 503) != (got.header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
			if f.grpc != nil {
				f.compare(t, p, entry.Code)
			}
		})
	}
}

// compare makes the same fault by gRPC.
func (f fault) compare(t *testing.T, p problem, code string) {
	t.Helper()
	err := f.grpc(t)
	info := infoIn(err)
	if info.GetReason() != p.Reason || info.GetDomain() != "onlinesms" || !sameNames(info.GetMetadata(), p.Metadata) {
		t.Errorf("by gRPC: %v with %v, by JSON metadata %v", err, info, p.Metadata)
	}
	// The catalogue writes codes as the specification does, Go in its own way.
	if spoken := strings.ReplaceAll(code, "_", ""); !strings.EqualFold(status.Code(err).String(), spoken) && !strings.EqualFold(status.Code(err).String(), strings.ReplaceAll(spoken, "CANCELLED", "CANCELED")) {
		t.Errorf("by gRPC: %v, the catalogue says %s", status.Code(err), code)
	}
}

func sameNames(a, b map[string]string) bool {
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}

// meet sends the request, again until the fault is met where it comes and goes.
func (f fault) meet(t *testing.T) answer {
	t.Helper()
	got := f.send(t)
	for deadline := time.Now().Add(patience); f.again && got.status != f.status && time.Now().Before(deadline); got = f.send(t) {
		f.arrange(t)
	}
	return got
}

func (f fault) send(t *testing.T) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), f.method, platform.Env("ONLINESMS_API_URL")+f.path, bytes.NewBufferString(f.body))
	if err != nil {
		t.Fatal(err)
	}
	if f.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if f.key != "" {
		request.Header.Set("Authorization", "Bearer "+f.key)
	}
	for i := 0; i < len(f.headers); i += 2 {
		request.Header.Set(f.headers[i], f.headers[i+1])
	}
	return do(t, request)
}

const (
	aMessage  = "/v1/messages/01930000-0000-7000-8000-00000000a403"
	aMessages = "01930000-0000-7000-8000-00000000a403"
)

func faults(t *testing.T) []fault {
	s := otherSender(4)
	key := keyOf(t, s.tenant, "test")
	_, reader := madeFor(t, s.tenant, "test", "audit:read")
	addr := platform.Env("ONLINESMS_GRPC_ADDR")
	body := func(number string) string {
		text, err := json.Marshal(map[string]string{"to": number, "entityId": s.entity, "header": s.header, "templateId": s.template, "text": strings.Replace(s.format, "%s", "1234", 1)})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	get := func(key string) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := ingestv1.NewMessageServiceClient(dial(t, addr, key)).GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: aMessages})
			return err
		}
	}
	sendAs := func(ctx context.Context, number, text string) error {
		_, err := ingestv1.NewMessageServiceClient(dial(t, addr, key)).SendMessage(ctx,
			&ingestv1.SendMessageRequest{To: number, EntityId: s.entity, Header: s.header, TemplateId: s.template, Text: text})
		return err
	}
	first := nextNumber()
	return []fault{
		{name: "400", status: 400, reason: "REQUEST_INVALID", method: "POST", path: "/v1/messages", body: `{"to":"1"}`, key: key,
			grpc: func(t *testing.T) error { return sendAs(t.Context(), "1", "") }},
		{name: "400 body", status: 400, reason: "REQUEST_INVALID", method: "POST", path: "/v1/messages", body: `{`, key: key},
		{name: "401 without a key", status: 401, reason: "KEY_MISSING", method: "GET", path: aMessage},
		{name: "401 malformed", status: 401, reason: "KEY_MALFORMED", method: "GET", path: aMessage, key: "osms_x", grpc: get("osms_x")},
		{name: "403", status: 403, reason: "SCOPE_MISSING", method: "GET", path: aMessage, key: reader, grpc: get(reader)},
		{name: "404", status: 404, reason: "MESSAGE_NOT_FOUND", method: "GET", path: aMessage, key: key, grpc: get(key)},
		{name: "404 path", status: 404, reason: "ROUTE_NOT_FOUND", method: "GET", path: "/v1/nothing", key: key},
		{name: "405", status: 405, reason: "METHOD_NOT_ALLOWED", method: "DELETE", path: "/v1/messages", key: key},
		{name: "409", status: 409, reason: "IDEMPOTENCY_KEY_REUSED", method: "POST", path: "/v1/messages", body: body(nextNumber()), key: key,
			headers: []string{"Idempotency-Key", "errors-1"},
			arrange: func(t *testing.T) {
				if err := sendAs(idempotent(t.Context(), "errors-1"), first, "1 is your code for shop 4. - "+s.header); err != nil && reasonIn(err) != "IDEMPOTENCY_KEY_REUSED" {
					t.Fatal(err)
				}
			},
			grpc: func(t *testing.T) error {
				return sendAs(idempotent(t.Context(), "errors-1"), nextNumber(), "2 is your code for shop 4. - "+s.header)
			}},
		{name: "413", status: 413, reason: "REQUEST_TOO_LARGE", method: "POST", path: "/v1/messages", body: `{"text":"` + strings.Repeat("x", 1<<20) + `"}`, key: key},
		{name: "415", status: 415, reason: "CONTENT_TYPE", method: "POST", path: "/v1/messages", body: "to=1", key: key, headers: []string{"Content-Type", "text/plain"}},
		{name: "429", status: 429, reason: "RATE_LIMITED", method: "POST", path: "/v1/messages", body: body(nextNumber()), key: key,
			arrange: func(t *testing.T) { limitMessages(t, key) },
			grpc: func(t *testing.T) error {
				return sendAs(t.Context(), nextNumber(), "3 is your code for shop 4. - "+s.header)
			}},
		{name: "431", status: 431, reason: "REQUEST_TOO_LARGE", method: "GET", path: aMessage, key: key, headers: []string{"X-Filler", strings.Repeat("x", 20<<10)}},
		{name: "500", status: 500, reason: "INTERNAL", method: "GET", path: "/v1/verifications/" + aMessages, key: key,
			arrange: hideVerifications,
			grpc: func(t *testing.T) error {
				_, err := ingestv1.NewVerificationServiceClient(dial(t, addr, key)).Get(t.Context(), &ingestv1.VerificationServiceGetRequest{VerificationId: aMessages})
				return err
			}},
		{name: "503", status: 503, reason: "SERVICE_UNAVAILABLE", method: "GET", path: "/v1/audit/events", key: key, again: true,
			arrange: func(t *testing.T) { signal(t, "audit", syscall.SIGKILL) }},
		{name: "504", status: 504, reason: "DEADLINE_EXCEEDED", method: "GET", path: "/v1/audit/events", key: key, headers: []string{"Grpc-Timeout", "700m"},
			arrange: freezeAudit}, // by gRPC the client's own clock ends the call
	}
}

// limitMessages gives a tenant a limit that its next message passes; the end of the test takes it away.
func limitMessages(t *testing.T, key string) {
	t.Helper()
	client := ingestv1.NewTenantServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), key))
	set := func(ctx context.Context, l *ingestv1.TenantLimits) {
		if _, err := client.UpdateTenant(ctx, &ingestv1.UpdateTenantRequest{Limits: l}); err != nil {
			t.Errorf("UpdateTenant: %v", err)
		}
	}
	set(t.Context(), &ingestv1.TenantLimits{MessagesPerSecond: 0.001, MessageBurst: 1})
	t.Cleanup(func() { set(context.Background(), &ingestv1.TenantLimits{}) })
	s := otherSender(4)
	_, err := ingestv1.NewMessageServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), key)).SendMessage(t.Context(), &ingestv1.SendMessageRequest{
		To: nextNumber(), EntityId: s.entity, Header: s.header, TemplateId: s.template, Text: "4 is your code for shop 4. - " + s.header})
	if err != nil && reasonIn(err) != "RATE_LIMITED" { // the one message may be gone already
		t.Fatal(err)
	}
}

// hideVerifications takes a table away, as no caller could: what then happens is our fault, and no word of it goes out.
func hideVerifications(t *testing.T) {
	t.Helper()
	rename := func(ctx context.Context, from, to string) error {
		config, err := pgx.ParseConfig(platform.Env("ONLINESMS_POSTGRES_URL"))
		if err != nil {
			return err
		}
		config.Database = "ingest"
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
		return errors.Join(err, conn.Close(ctx))
	}
	if err := rename(t.Context(), "verifications", "verifications_hidden"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rename(context.Background(), "verifications_hidden", "verifications"); err != nil {
			t.Error(err)
		}
	})
}

func signal(t *testing.T, process string, sig syscall.Signal) {
	t.Helper()
	eventually(t, patience, process+" runs", func() bool { return platform.Pid(process) != 0 })
	if err := platform.Signal(platform.Pid(process), sig); err != nil {
		t.Fatal(err)
	}
}

// freezeAudit stops audit's process from running, and awaits at the end that it answers again.
func freezeAudit(t *testing.T) {
	t.Helper()
	client := auditor(t, otherSender(4).tenant)
	healthy := func() bool {
		_, err := client.ListEvents(context.Background(), &auditv1.ListEventsRequest{})
		return err == nil
	}
	eventually(t, patience, "audit answers", healthy)
	signal(t, "audit", syscall.SIGSTOP)
	t.Cleanup(func() {
		signal(t, "audit", syscall.SIGCONT)
		eventually(t, patience, "audit answers again", healthy)
	})
}
