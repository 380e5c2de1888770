package app

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// registry asks compliance for the category of a template; it is a message.Registry.
type registry struct{ compliance grpc.ClientConnInterface }

// Transactional tells whether the template is registered as transactional.
func (r registry) Transactional(ctx context.Context, tenant uuid.UUID, templateID string) (bool, error) {
	if r.compliance == nil {
		return false, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "COMPLIANCE_ADDR is not set", nil)
	}
	resp, err := compliancev1.NewComplianceServiceClient(r.compliance).GetTemplateCategory(ctx,
		&compliancev1.GetTemplateCategoryRequest{TenantId: tenant.String(), TemplateId: templateID})
	return resp.GetCategory() == typev1.Category_TRANSACTIONAL, rpc.FromStatus(err)
}
