package screening

import (
	"fmt"
	"strconv"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

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
	f.Stops = d.snapshot.Stops(m.EntityID, m.Header, m.TemplateID)
	if entity := d.snapshot.Entity(m.EntityID); entity != nil {
		f.Entity.Status, f.Entity.AtOperator = entity.Status, entity.With(d.route.Operator)
		f.Chain, v.ChainHash = entity.Chain.Chain, entity.Chain.Hash
	}
	if h := d.snapshot.Header(m.Header); h != nil {
		f.Header.Status, f.Header.AtOperator, f.Header.From, f.Header.Until = h.Status, h.With(d.route.Operator), h.From, h.Until
		f.Header.Kind, f.Header.OfEntity = h.Kind, h.Entity == m.EntityID
	}
	t := d.snapshot.Template(m.TemplateID)
	if t == nil {
		return false
	}
	override := d.parcel.Env == envTest && t.UntypedMax > 0
	f.Template = policy.Template{ID: m.TemplateID, Status: t.Status, AtOperator: t.WithAt(d.route.Operator, d.now), From: t.From, Until: t.Until,
		Category: t.Category, Goods: t.Goods, OfEntity: t.Entity == m.EntityID, OfHeader: t.LinkedAt(m.Header, d.now), Headers: len(t.Headers),
		Untyped: t.Parsed.HasUntyped() && !override, Unlisted: t.Unlisted, PreferenceUnchecked: t.Unchecked}
	if override {
		f.Template.AtOperator = t.With(d.route.Operator)
	}
	v.Category = d.pack.Effective(t.Category)
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

// reason puts a finding into words. Neither text nor values are quoted, only the template.
func reason(f template.Finding) policy.Reason {
	r := policy.Reason{Code: f.Code, Metadata: map[string]string{}}
	if f.Position > 0 {
		r.Metadata["position"] = strconv.Itoa(f.Position)
	}
	if f.Variable > 0 {
		r.Metadata["variable"] = strconv.Itoa(f.Variable)
	}
	switch f.Code {
	case template.NotMatched:
		r.Metadata["expected"] = f.Expected
		r.Detail = fmt.Sprintf("The text differs from its template at character %d; the template has there: %s", f.Position, f.Expected)
		if f.Position == 0 {
			r.Detail = "The text cannot be compared with its template; expected is " + f.Expected + "."
		}
	case template.VariableTooLong:
		r.Metadata["length"], r.Metadata["max"] = strconv.Itoa(f.Length), strconv.Itoa(f.Max)
		r.Detail = fmt.Sprintf("Variable %d has %d characters (UTF-16 units); at most %d are allowed.", f.Variable, f.Length, f.Max)
	case template.VariableCount:
		r.Metadata["given"], r.Metadata["expected"] = strconv.Itoa(f.Length), strconv.Itoa(f.Max)
		r.Detail = fmt.Sprintf("The template has %d variables and %d values were given; give each one once, all by name or all in order.", f.Max, f.Length)
	case template.InvisibleChar:
		r.Detail = fmt.Sprintf("Character %d is invisible or a control character; remove it.", f.Position)
	case template.CTANotWhitelisted:
		r.Detail = fmt.Sprintf("The link, number or address in variable %d is not whitelisted for the entity; register it on DLT.", f.Variable)
	case template.CTAInUntypedVar:
		r.Detail = fmt.Sprintf("Variable %d is untyped and holds a link, number or address; register the template with a typed variable for it.", f.Variable)
	}
	return r
}
