package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// maxContentRules of a tenant.
const maxContentRules = 100

// ContentPolicies keeps what tenants do with personal and secret data.
type ContentPolicies interface {
	// ContentPolicy answers a tenant's policy; version 0 for a tenant without one.
	ContentPolicy(ctx context.Context, tenant uuid.UUID) (content.Stored, error)
	// SetContentPolicy puts one; errs.Exists when its version is not 0 and another change came between.
	SetContentPolicy(ctx context.Context, c content.Stored) (content.Stored, error)
}

// ContentServer is onlinesms.compliance.v1.ContentService.
type ContentServer struct {
	compliancev1.UnimplementedContentServiceServer

	policies ContentPolicies
}

// NewContentServer makes it.
func NewContentServer(p ContentPolicies) *ContentServer { return &ContentServer{policies: p} }

// GetContentPolicy implements ContentService.
func (s *ContentServer) GetContentPolicy(ctx context.Context, _ *compliancev1.GetContentPolicyRequest) (*compliancev1.GetContentPolicyResponse, error) {
	p, err := caller(ctx, scopeRegistryRead)
	if err != nil {
		return nil, err
	}
	c, err := s.policies.ContentPolicy(ctx, p.TenantID)
	if err != nil {
		return nil, err
	}
	return &compliancev1.GetContentPolicyResponse{Policy: encodePolicy(c)}, nil
}

// UpdateContentPolicy implements ContentService.
func (s *ContentServer) UpdateContentPolicy(ctx context.Context, req *compliancev1.UpdateContentPolicyRequest) (*compliancev1.UpdateContentPolicyResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	rules, wrong := decodePolicy(req.GetPolicy())
	if wrong != nil {
		return nil, violated(wrong...)
	}
	c, err := s.policies.SetContentPolicy(ctx, content.Stored{Tenant: p.TenantID, Version: req.GetPolicy().GetVersion(), Policy: rules, Actor: p.Actor})
	if err != nil {
		return nil, err
	}
	return &compliancev1.UpdateContentPolicyResponse{Policy: encodePolicy(c)}, nil
}

func encodePolicy(c content.Stored) *compliancev1.ContentPolicy {
	out := &compliancev1.ContentPolicy{Version: c.Version, UpdateTime: timestamp(c.Updated), Actor: c.Actor}
	for _, r := range c.Policy {
		rule := &compliancev1.ContentRule{Kind: r.Kind.String(), Action: r.Action.String(), UntilTime: timestamp(r.Until)}
		for _, category := range r.Categories {
			rule.Categories = append(rule.Categories, category.String())
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// decodePolicy reads the rules and names every field that is wrong.
func decodePolicy(in *compliancev1.ContentPolicy) (rules content.Policy, wrong []errs.Violation) {
	note := func(field string, err error) {
		if err != nil {
			wrong = append(wrong, errs.Violation{Field: field, Reason: "REQUEST_INVALID", Detail: err.Error()})
		}
	}
	if n := len(in.GetRules()); n > maxContentRules {
		note("policy.rules", fmt.Errorf("at most %d rules", maxContentRules))
		return nil, wrong
	}
	for i, r := range in.GetRules() {
		at := fmt.Sprintf("policy.rules[%d].", i)
		var rule content.Rule
		var err error
		rule.Kind, err = content.ParseKind(r.GetKind())
		note(at+"kind", err)
		rule.Action, err = content.ParseAction(r.GetAction())
		note(at+"action", err)
		for j, name := range r.GetCategories() {
			category, err := policy.ParseCategory(name)
			note(fmt.Sprintf("%scategories[%d]", at, j), err)
			rule.Categories = append(rule.Categories, category)
		}
		note(at+"until_time", checkTime(r.GetUntilTime()))
		rule.Until = timeOf(r.GetUntilTime())
		rules = append(rules, rule)
	}
	return rules, wrong
}

func checkTime(t *timestamppb.Timestamp) error {
	if t == nil {
		return nil
	}
	return t.CheckValid()
}
