package api_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

var (
	tenant  = uuid.MustParse("01930000-0000-7000-8000-000000000001")
	message = uuid.MustParse("01930000-0000-7000-8000-000000000c01")
	at      = time.Date(2026, 11, 22, 6, 30, 0, 0, time.UTC)
)

// decisions knows one message.
type decisions struct{}

func (decisions) Decisions(_ context.Context, t uuid.UUID, env string, m uuid.UUID) ([]screening.Recorded, error) {
	if t != tenant || env != "live" || m != message {
		return nil, errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "", nil)
	}
	return []screening.Recorded{
		{Decided: screening.Decided{Round: 1, Category: policy.Promotional, Pack: "2026-01-17", At: at, Decision: policy.Decision{Outcome: policy.Cleared}}},
		{Decided: screening.Decided{Round: 1, Category: policy.Promotional, Pack: "2026-01-17", At: at, Decision: policy.Decision{Outcome: policy.Held,
			Due: at.Add(time.Hour), Reasons: []policy.Reason{policy.R(policy.PromoWindow, "a", "b")}}}},
	}, nil
}

// templates knows one template.
type templates struct{ err error }

func (templates) Snapshot(t uuid.UUID) *registry.Snapshot {
	rows := registry.Rows{Objects: []registry.Object{{Kind: registry.Entities, ID: "1701158019811140068"},
		{Kind: registry.Templates, ID: "1107160000000000011", Entity: "1701158019811140068", Detail: registry.Detail{Category: "transactional", Body: "x"}}}}
	if t != tenant {
		rows = registry.Rows{}
	}
	s, _ := registry.NewSnapshot(rows)
	return s
}

func (t templates) Ready() error { return t.err }

func as(p principal.Principal) context.Context {
	return principal.NewContext(context.Background(), p)
}

func TestGetDecision(t *testing.T) {
	s := api.NewServer(decisions{}, templates{}, nil, time.Now)
	reader := principal.Principal{TenantID: tenant, Env: "live", Scopes: []string{"decisions:read"}}
	got, err := s.GetDecision(as(reader), &compliancev1.GetDecisionRequest{MessageId: message.String()})
	if err != nil {
		t.Fatal(err)
	}
	want := &compliancev1.GetDecisionResponse{Decisions: []*compliancev1.Decision{
		{MessageId: message.String(), Outcome: "CLEARED", RulePack: "2026-01-17", DecideTime: timestamppb.New(at), Round: 1, Category: typev1.Category_PROMOTIONAL},
		{MessageId: message.String(), Outcome: "HELD", RulePack: "2026-01-17", DecideTime: timestamppb.New(at), Round: 1, Category: typev1.Category_PROMOTIONAL,
			DueTime: timestamppb.New(at.Add(time.Hour)), Reasons: []*typev1.Reason{{Code: policy.PromoWindow,
				Detail: policy.R(policy.PromoWindow).Detail, Metadata: map[string]string{"a": "b"}}}},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestGetDecisionRefuses(t *testing.T) {
	s := api.NewServer(decisions{}, templates{}, nil, time.Now)
	read := []string{"decisions:read"}
	for name, c := range map[string]struct {
		ctx  context.Context
		id   string
		want errs.Kind
	}{
		"no principal":        {context.Background(), message.String(), errs.Unauthenticated},
		"no scope":            {as(principal.Principal{TenantID: tenant, Env: "live"}), message.String(), errs.Denied},
		"another tenant":      {as(principal.Principal{TenantID: uuid.New(), Env: "live", Scopes: read}), message.String(), errs.NotFound},
		"another environment": {as(principal.Principal{TenantID: tenant, Env: "test", Scopes: read}), message.String(), errs.NotFound},
		"no uuid":             {as(principal.Principal{TenantID: tenant, Env: "live", Scopes: read}), "7", errs.Invalid},
	} {
		_, err := s.GetDecision(c.ctx, &compliancev1.GetDecisionRequest{MessageId: c.id})
		if err == nil || errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGetTemplateCategory(t *testing.T) {
	ask := func(s *api.Server, tenant, id string) (typev1.Category, error) {
		resp, err := s.GetTemplateCategory(context.Background(), &compliancev1.GetTemplateCategoryRequest{TenantId: tenant, TemplateId: id})
		return resp.GetCategory(), err
	}
	s := api.NewServer(decisions{}, templates{}, nil, time.Now)
	if got, err := ask(s, tenant.String(), "1107160000000000011"); got != typev1.Category_TRANSACTIONAL || err != nil {
		t.Error(got, err)
	}
	if got, err := ask(s, tenant.String(), "1107160000000000012"); got != typev1.Category_CATEGORY_UNSPECIFIED || err != nil {
		t.Error(got, err)
	}
	if got, err := ask(s, uuid.NewString(), "1107160000000000011"); got != typev1.Category_CATEGORY_UNSPECIFIED || err != nil {
		t.Error(got, err)
	}
	if _, err := ask(s, "x", ""); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
	if _, err := ask(api.NewServer(decisions{}, templates{errors.New("loading")}, nil, time.Now), tenant.String(), ""); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
}
