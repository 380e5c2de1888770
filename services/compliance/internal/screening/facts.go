package screening

import (
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// standing is what has a status at a time with an operator.
type standing interface {
	At(now time.Time, operator string) policy.Status
}

// status is an object's status for a live message with the operators that may take it: active where one of them has it
// active, else as with the first. Trials reach no operator, so that the portal-wide status counts.
func (d *decider) status(s standing) policy.Status {
	if d.parcel.Env != envLive || len(d.operators) == 0 {
		return s.At(d.now, "")
	}
	for _, operator := range d.operators {
		if s.At(d.now, operator) == policy.Active {
			return policy.Active
		}
	}
	return s.At(d.now, d.operators[0])
}

// used notes that a header and a template went out live: unused ones are suspended by their operators.
func (d *decider) used(m *Message) {
	day := registry.Day(d.now)
	if h := d.snapshot.Header(m.Header); h != nil {
		h.Touch(day)
	}
	if t := d.snapshot.Template(m.TemplateID); t != nil {
		t.Touch(day)
	}
}

// gather fills the facts from the registry and from comparing text and template. It answers whether the content must
// go out in another form than it came: rendered or normalised.
func (d *decider) gather(m *Message, v *Verdict) (changed bool) {
	f := &d.facts
	f.Entity.ID, f.Header.Text, f.Template.ID = m.EntityID, m.Header, m.TemplateID
	if stop, on := d.snapshot.Stopped(m.EntityID, m.Header, m.TemplateID); on {
		f.Stopped = string(stop.Scope)
	}
	entity := d.snapshot.Entity(m.EntityID)
	if entity != nil {
		f.Entity.Status, f.Chain, v.ChainHash = d.status(entity), entity.Chain, entity.ChainHash
	}
	if h := d.snapshot.Header(m.Header); h != nil {
		f.Header.Status, f.Header.Kind, f.Header.OfEntity = d.status(h), h.Kind, h.Entity == m.EntityID
	}
	t := d.snapshot.Template(m.TemplateID)
	if t == nil {
		return false
	}
	override := d.parcel.Env == envTest && t.UntypedMax > 0
	f.Template.Status, f.Template.Category, f.Template.Goods = d.status(t), t.Category, t.Goods
	f.Template.OfEntity, f.Template.OfHeader = t.Entity == m.EntityID, t.LinkedAt(m.Header, d.now)
	f.Template.Untyped = t.Parsed.HasUntyped() && !override
	f.Template.Unlisted = t.Unlisted
	v.Category = t.Category
	if f.Unreadable {
		return false
	}
	rules := template.Rules{}
	if owner := d.snapshot.Entity(t.Entity); owner != nil {
		rules.Whitelist = owner.Whitelist
	}
	if override {
		rules.UntypedMax = t.UntypedMax
	}
	return d.compare(t, rules)
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
