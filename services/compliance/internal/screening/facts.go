package screening

import (
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// standing is what has a status of its own with an operator at a time.
type standing interface {
	With(operator string, at time.Time) policy.Status
}

// atOperator is an object's status for a live message with the operators that may take it: the first one's, unless one of
// them has it active. Unknown, that no operator's counts, where none is named; trials reach none.
func (d *decider) atOperator(s standing) policy.Status {
	if d.parcel.Env != envLive || len(d.operators) == 0 {
		return policy.Unknown
	}
	for _, operator := range d.operators {
		if s.With(operator, d.now) <= policy.Active {
			return policy.Unknown
		}
	}
	return s.With(d.operators[0], d.now)
}

// used notes that a header and a template went out live: unused ones are suspended by their operators.
func (d *decider) used(r *registered) {
	r.header.Touch(d.day)
	r.template.Touch(d.day)
}

// gather fills the facts from the registry and from comparing text and template. It answers whether the content must
// go out in another form than it came: rendered or normalised.
func (d *decider) gather(m *Message, r *registered, v *Verdict) (changed bool) {
	f := &d.facts
	f.Entity.ID, f.Header.Text, f.Template.ID = m.EntityID, m.Header, m.TemplateID
	f.Stops = d.snapshot.Stops(m.EntityID, m.Header, m.TemplateID)
	if entity := r.entity; entity != nil {
		f.Entity.Status, f.Entity.AtOperator = entity.Status, d.atOperator(entity)
		f.Chain, v.ChainHash = entity.Chain.Chain, entity.Chain.Hash
	}
	if h := r.header; h != nil {
		f.Header.Status, f.Header.AtOperator, f.Header.From, f.Header.Until = h.Status, d.atOperator(h), h.From, h.Until
		f.Header.Kind, f.Header.OfEntity = h.Kind, h.Entity == m.EntityID
	}
	t := r.template
	if t == nil {
		return false
	}
	override := d.parcel.Env == envTest && t.UntypedMax > 0
	f.Template = policy.Template{ID: m.TemplateID, Status: t.Status, AtOperator: d.atOperator(t), From: t.From, Until: t.Until,
		Category: t.Category, Goods: t.Goods, OfEntity: t.Entity == m.EntityID, OfHeader: t.LinkedAt(m.Header, d.now), Headers: len(t.Headers),
		Untyped: t.Parsed.HasUntyped() && !override, Unlisted: t.Unlisted, OptOut: t.OptOut,
		PreferenceUnchecked: t.Unchecked}
	v.Category = d.pack.Effective(t.Category)
	if f.Unreadable {
		return false
	}
	rules, owner := template.Rules{}, r.entity
	if owner == nil || owner.ID != t.Entity {
		owner = d.snapshot.Entity(t.Entity)
	}
	if owner != nil {
		rules.Whitelist = owner.Whitelist
	}
	if override {
		rules.UntypedMax = t.UntypedMax
	}
	return d.compare(t, rules)
}

// prove asks for consent and preference where the category needs them; service, transactional and government messages are
// never scrubbed (TCCCPR 2018, Schedule II).
func (d *decider) prove(m *Message, to msisdn.Number) {
	if !needsConsent(d.pack, d.facts.Template.Category) {
		return
	}
	if d.proofs != nil && to != 0 {
		d.proofs.Proof(d.parcel.Tenant, m, to, d.now, &d.facts)
	}
}

// compare renders values into the template where there is no text, normalises, and notes what differs from the
// template.
func (d *decider) compare(t *registry.Template, rules template.Rules) (changed bool) {
	if d.content.Text == "" {
		text, wrong, ok := t.Parsed.Render(d.content.Values)
		if !ok {
			d.facts.Text = []policy.Reason{reason(wrong)}
			return false
		}
		d.content.Text, changed = text, true
	}
	text, normalised := template.Normalise(d.content.Text)
	d.content.Text = text
	for _, wrong := range d.matcher.Match(t.Parsed, text, rules) {
		d.facts.Text = append(d.facts.Text, reason(wrong))
	}
	return changed || normalised
}

// reason is a finding in the policy's vocabulary. Neither text nor values are quoted, only the template.
func reason(f template.Finding) policy.Reason {
	return policy.Reason{Code: f.Code, Detail: f.Detail(), Metadata: f.Metadata()}
}
