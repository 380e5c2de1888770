package app

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// TestContentPolicyOfATenant (requirement 45): what a tenant decides for its texts is followed by every replica, is its
// own, and what is found stands with the decision by kind and place, never by value.
func TestContentPolicyOfATenant(t *testing.T) {
	w := newWorld(t, today(12))
	a, _ := w.start()
	b, _ := w.start()
	tls, err := tlsconf.Client(w.files["ingest"], name)
	must(t, err)
	conn, err := rpc.Dial(a.addr.String(), tls)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	client, decisions := compliancev1.NewContentServiceClient(conn), compliancev1.NewComplianceServiceClient(conn)
	const text = "Dear Aadhaar 234123412346, order 7 shipped. Track: https://abc.in/t?x=1 - ABCBNK"
	decide := func() *compliancev1.Decision {
		t.Helper()
		parcel, ids := w.accept("live", "bulk", w.text(shipped, "ABCBNK", text))
		w.ingest.Publish(parcel)
		w.next(1)
		got, err := decisions.GetDecision(w.as(w.demo.Tenant, "live", "decisions:read"), &compliancev1.GetDecisionRequest{MessageId: ids[0].String()})
		must(t, err)
		if strings.Contains(got.String(), "234123412346") {
			t.Errorf("the value is told: %v", got)
		}
		return got.GetDecisions()[0]
	}
	if d := decide(); d.GetOutcome() != "REFUSED" || d.GetReasons()[0].GetCode() != "CONTENT_SENSITIVE" || d.GetReasons()[0].GetMetadata()["types"] != "aadhaar" {
		t.Errorf("by default: %v", d)
	}
	warn := &compliancev1.UpdateContentPolicyRequest{Policy: &compliancev1.ContentPolicy{Rules: []*compliancev1.ContentRule{
		{Kind: "aadhaar", Action: "warn", Categories: []string{"service"}}}}}
	set, err := client.UpdateContentPolicy(w.admin(), warn)
	if err != nil || set.GetPolicy().GetVersion() != 1 || set.GetPolicy().GetActor() == "" {
		t.Fatalf("%v %v", set, err)
	}
	for _, c := range []*compliance{a, b} {
		until(t, "the policy is followed", func() bool { return len(c.policies.ContentPolicy(w.demo.Tenant)) == 1 })
	}
	if d := decide(); d.GetOutcome() != "CLEARED" || len(d.GetFindings()) != 1 || d.GetFindings()[0].GetMetadata()["positions"] != "14" {
		t.Errorf("warned of: %v", d)
	}
	other, err := client.GetContentPolicy(w.as(newID(), "live", "registry:read"), &compliancev1.GetContentPolicyRequest{})
	if err != nil || len(other.GetPolicy().GetRules()) != 0 || other.GetPolicy().GetVersion() != 0 {
		t.Errorf("another tenant: %v %v", other, err)
	}
	own, err := client.GetContentPolicy(w.as(w.demo.Tenant, "test", "registry:read"), &compliancev1.GetContentPolicyRequest{})
	if err != nil || len(own.GetPolicy().GetRules()) != 1 || !slices.Equal(own.GetPolicy().GetRules()[0].GetCategories(), []string{"service"}) {
		t.Errorf("its own: %v %v", own, err)
	}
	w.checkPolicyRefusals(client)
}

// checkPolicyRefusals: who may not, what makes no sense, and what came too late.
func (w *world) checkPolicyRefusals(client compliancev1.ContentServiceClient) {
	w.t.Helper()
	rule := func(kind, action, category string, version int64) *compliancev1.UpdateContentPolicyRequest {
		return &compliancev1.UpdateContentPolicyRequest{Policy: &compliancev1.ContentPolicy{Version: version,
			Rules: []*compliancev1.ContentRule{{Kind: kind, Action: action, Categories: []string{category}}}}}
	}
	many := &compliancev1.UpdateContentPolicyRequest{Policy: &compliancev1.ContentPolicy{Rules: make([]*compliancev1.ContentRule, 101)}}
	for name, c := range map[string]struct {
		env, scope string
		req        *compliancev1.UpdateContentPolicyRequest
		want       codes.Code
	}{
		"a reader":         {"live", "registry:read", rule("pan", "allow", "service", 0), codes.PermissionDenied},
		"a test key":       {"test", "registry:write", rule("pan", "allow", "service", 0), codes.PermissionDenied},
		"no such kind":     {"live", "registry:write", rule("shoe_size", "allow", "service", 0), codes.InvalidArgument},
		"no such action":   {"live", "registry:write", rule("pan", "mask", "service", 0), codes.InvalidArgument},
		"no such category": {"live", "registry:write", rule("pan", "allow", "spam", 0), codes.InvalidArgument},
		"too many":         {"live", "registry:write", many, codes.InvalidArgument},
		"too late":         {"live", "registry:write", rule("pan", "allow", "service", 7), codes.AlreadyExists},
	} {
		if _, err := client.UpdateContentPolicy(w.as(w.demo.Tenant, c.env, c.scope), c.req); status.Code(err) != c.want {
			w.t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.UpdateContentPolicy(w.admin(), rule("pan", "allow", "service", 1)); err != nil {
		w.t.Errorf("in time: %v", err)
	}
}
