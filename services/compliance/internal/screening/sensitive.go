package screening

import (
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

// ContentPolicies answers what tenants do with personal and secret data in texts.
type ContentPolicies interface {
	// ContentPolicy is the tenant's own; empty for the house's default alone. It must not wait.
	ContentPolicy(tenant uuid.UUID) content.Policy
}

// scan looks for personal and secret data in the text as it would go out, and fills in what the tenant's policy makes of
// it. Findings go with their places into the decision, values nowhere.
func (d *decider) scan(m *Message) {
	if d.findings = d.scanner.Append(d.findings[:0], d.content.Text, m.EntityID, m.TemplateID); len(d.findings) == 0 {
		return
	}
	v := content.Judge(d.sensitive, d.facts.Template.Category, d.findings, d.now)
	for _, r := range v.Reasons {
		if r.Metadata["action"] == content.Block.String() {
			d.facts.Content = append(d.facts.Content, r)
		} else {
			d.facts.Findings = append(d.facts.Findings, r)
		}
	}
}
