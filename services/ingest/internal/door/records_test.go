package door

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

type recordCall = record.Call

// acceptedID is a message at index 3 of its parcel.
const (
	acceptedID = "01930000-0000-7000-8000-00000000a403"
	sentParcel = "01930000-0000-7000-8000-00000000a400"
)

// Every call leaves exactly one record, changes before their answer; a successful send leaves none of its own.
func TestEveryCallIsOnRecord(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		method, path, body, key string
		action, actor           string
		outcome, reason         string
		waits                   bool   // written before the answer
		event                   string // of X-Audit-Event; "own" for the record's
	}{
		"read":              {"GET", "/v1/tenant", "", "all", "tenant.get", "key/all", "success", "", false, ""},
		"change":            {"PUT", "/v1/tenant", "{}", "all", "tenant.update", "key/all", "success", "", true, "own"},
		"refused change":    {"PUT", "/v1/tenant", "{}", "none", "tenant.update", "key/none", "refused", "SCOPE_MISSING", false, "own"},
		"refused read":      {"GET", "/v1/messages/unknown/decision", "", "all", "decision.get", "key/all", "refused", "MESSAGE_NOT_FOUND", false, ""},
		"failure":           {"GET", "/v1/messages", "", "all", "message.list", "key/all", "failure", "METHOD_NOT_OFFERED", false, ""},
		"accepted send":     {"POST", "/v1/messages", with("ACCEPTED"), "all", "", "", "", "", false, sentParcel},
		"refused send":      {"POST", "/v1/messages", with("FIELDS"), "all", "message.send", "key/all", "refused", "REQUEST_INVALID", true, "own"},
		"overloaded send":   {"POST", "/v1/messages", with("OVERLOADED"), "all", "message.send", "key/all", "refused", "OVERLOADED", false, "own"},
		"panic":             {"POST", "/v1/messages", with("PANIC"), "all", "message.send", "key/all", "failure", "INTERNAL", true, "own"},
		"unreadable":        {"POST", "/v1/messages", "{", "all", "message.send", "key/all", "refused", "REQUEST_INVALID", false, "own"},
		"unknown key":       {"POST", "/v1/messages", body, "wrong", "message.send", "anonymous", "refused", "KEY_INVALID", false, "own"},
		"no key":            {"GET", "/v1/messages", "", "", "message.list", "anonymous", "refused", "KEY_MISSING", false, ""},
		"no such path":      {"GET", "/v1/nothing", "", "all", "unknown", "anonymous", "refused", "ROUTE_NOT_FOUND", false, ""},
		"page":              {"GET", "/v1/reasons", "", "", "", "", "", "", false, ""},
		"forwarded, absent": {"GET", "/v1/audit/events", "", "all", "audit.list", "key/all", "failure", "SERVICE_UNAVAILABLE", false, ""},
	} {
		for _, h2 := range []bool{false, true} {
			headers := []string{"X-Request-Id", "req-7", "User-Agent", "test/1"}
			if c.key != "" {
				headers = append(headers, "Authorization", "Bearer "+c.key)
			}
			resp, _ := w.do(t, h2, c.method, c.path, c.body, headers...)
			written, later := w.records.take()
			all := slices.Concat(written, later)
			if c.action == "" {
				if len(all) != 0 || resp.Header.Get("X-Audit-Event") != c.event {
					t.Errorf("%s: %d records, X-Audit-Event %q", name, len(all), resp.Header.Get("X-Audit-Event"))
				}
				continue
			}
			if len(all) != 1 || (len(written) == 1) != c.waits {
				t.Errorf("%s: %d records before the answer, %d later", name, len(written), len(later))
				continue
			}
			got := all[0]
			if got.Action != c.action || got.Actor != c.actor || got.Outcome != c.outcome || got.Reason != c.reason ||
				got.Caller.RequestID != "req-7" || got.Caller.Agent != "test/1" || !got.Caller.Address.IsLoopback() {
				t.Errorf("%s: %+v", name, got)
			}
			event := resp.Header.Get("X-Audit-Event")
			if want := got.ID.String(); c.event == "own" && event != want || c.event == "" && event != "" {
				t.Errorf("%s: X-Audit-Event %q, the record is %s", name, event, want)
			}
		}
	}
}

// What could not be recorded is not told as a success.
func TestUnrecordedChangesFail(t *testing.T) {
	w := newWorld(t)
	w.records.mu.Lock()
	w.records.fail = errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "away", errors.New("secret cause"))
	w.records.mu.Unlock()
	resp, content := w.do(t, true, "PUT", "/v1/tenant", "{}", "Authorization", "Bearer all")
	if resp.StatusCode != 503 || strings.Contains(string(content), "secret") {
		t.Errorf("%d %s", resp.StatusCode, content)
	}
	if resp, _ := w.do(t, true, "GET", "/v1/tenant", "", "Authorization", "Bearer all"); resp.StatusCode != 200 {
		t.Errorf("a read: %d", resp.StatusCode)
	}
	if resp, _ := w.do(t, true, "POST", "/v1/messages", with("ACCEPTED"), "Authorization", "Bearer all"); resp.StatusCode != 200 {
		t.Errorf("a send: %d", resp.StatusCode)
	}
}

func TestRecordsOfGRPC(t *testing.T) {
	w := newWorld(t)
	conn, err := grpc.NewClient(w.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(w.tls())), grpc.WithUserAgent("mine/2"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var header metadata.MD
	// What another service of ours would say over the connection in memory is nobody's business out here.
	ctx := metadata.AppendToOutgoingContext(withKey(t, "all"), addressKey, "192.0.2.1", agentKey, "forged")
	_, err = ingestv1.NewTenantServiceClient(conn).UpdateTenant(ctx, &ingestv1.UpdateTenantRequest{}, grpc.Header(&header))
	written, _ := w.records.take()
	if err != nil || len(written) != 1 || !slices.Equal(header.Get(auditEventKey), []string{written[0].ID.String()}) {
		t.Fatalf("%v, %v, %v", err, written, header)
	}
	if c := written[0].Caller; !c.Address.IsLoopback() || !strings.HasPrefix(c.Agent, "mine/2") {
		t.Errorf("%+v", c)
	}
	err = conn.Invoke(withKey(t, "all"), "/onlinesms.nothing.v1.Nothing/Do", &ingestv1.GetTenantRequest{}, &ingestv1.GetTenantResponse{})
	_, later := w.records.take()
	if err == nil || len(later) != 1 || later[0].Action != unknownAction || later[0].Outcome != record.Failure {
		t.Errorf("%v, %+v", err, later)
	}
}

func BenchmarkRecordOfASend(b *testing.B) {
	g := &guard{records: &recorder{}, offer: &offer{}, metrics: newMetrics()}
	info := &grpc.UnaryServerInfo{FullMethod: ingestv1.MessageService_SendMessage_FullMethodName}
	resp := &ingestv1.SendMessageResponse{MessageId: acceptedID}
	ctx := grpc.NewContextWithServerTransportStream(context.Background(), silentStream{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.enter(ctx, nil, info, func(context.Context, any) (any, error) { return resp, nil }); err != nil {
			b.Fatal(err)
		}
	}
}

type silentStream struct{ grpc.ServerTransportStream }

func (silentStream) Method() string              { return "" }
func (silentStream) SetHeader(metadata.MD) error { return nil }
