package screening

import (
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// ContentPolicies answers what tenants do with personal and secret data in texts.
type ContentPolicies interface {
	// ContentPolicy is the tenant's own; empty for the house's default alone. It must not wait.
	ContentPolicy(tenant uuid.UUID) content.Policy
}

// scan looks for personal and secret data in the text as it would go out, and adds what the tenant's policy blocks to
// what was found wrong with the text. It answers what the policy warns of. Both go with their places into the decision,
// values nowhere.
func (d *decider) scan(m *Message) (warned []policy.Reason) {
	if d.findings = d.scanner.Append(d.findings[:0], d.content.Text, m.EntityID, m.TemplateID); len(d.findings) == 0 {
		return nil
	}
	v := content.Judge(d.sensitive, d.facts.Template.Category, d.findings, d.now)
	for _, r := range v.Reasons {
		if r.Metadata["action"] == content.Block.String() {
			d.facts.Text = append(d.facts.Text, r)
		} else {
			warned = append(warned, r)
		}
	}
	return warned
}
