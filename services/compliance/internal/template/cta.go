package template

import "strings"

// checkCTAs examines a text that matched: values of links, numbers and addresses against the whitelist, and whatever a
// reader would take for a call to action that lies in a variable or reaches into one. Of the latter, one that begins in
// an untyped variable is refused, every other one must be whitelisted as it stands in the text.
func (m *Matcher) checkCTAs(t *Template, text string, rules *Rules, wrong []Finding) []Finding {
	for variable, e := range t.variables() {
		span := m.spans[variable-1]
		if e.kind().checked() && !rules.Whitelist.allows(e.kind(), text[span.Start:span.End]) {
			wrong = append(wrong, Finding{Code: CTANotWhitelisted, Variable: variable}.place(text, span.Start))
		}
	}
	if !m.suspicious(t) {
		return wrong
	}
	m.calls = scan(text, m.calls[:0])
	m.steps += len(text)
	for _, call := range m.calls {
		if f, bad := m.judge(t, &call, rules); bad {
			wrong = append(wrong, f.place(text, max(call.start, m.spans[f.Variable-1].Start)))
		}
	}
	return wrong
}

// suspicious tells whether values can hold a call to action, or part of one that began in fixed text. Most hold neither a
// point nor an at sign, nor what :// is made of, nor eight digits close together.
func (m *Matcher) suspicious(t *Template) bool {
	const scheme = 1<<slash | 1<<graphic
	return m.seen&(1<<dot|1<<at) != 0 || m.seen&scheme == scheme || m.loose >= leastCall || t.code[0]&flagExposed != 0
}

// judge decides on a call to action in a text that matched.
func (m *Matcher) judge(t *Template, call *found, rules *Rules) (Finding, bool) {
	for variable, e := range t.variables() {
		span := m.spans[variable-1]
		if span.Start >= call.end || span.End <= call.start {
			continue
		}
		inside := call.start >= span.Start
		switch kind := e.kind(); {
		case kind.checked() && inside && call.end <= span.End: // the value was looked at whole
			return Finding{}, false
		case kind == Untyped && rules.UntypedMax > 0:
			return Finding{}, false
		case kind == Untyped && inside:
			return Finding{Code: CTAInUntypedVar, Variable: variable}, true
		case call.glued && kind != Untyped:
			return Finding{}, false
		}
		return Finding{Code: CTANotWhitelisted, Variable: variable}, !rules.Whitelist.lists(call)
	}
	return Finding{}, false
}

// lists tells whether what was seen in free text is whitelisted.
func (w *Whitelist) lists(call *found) bool {
	switch call.kind {
	case Number:
		return w.Number(call.value)
	case Address:
		return w.Email(call.value)
	case bareDomain:
		return w.bare(call.value)
	default:
		return w.URL(call.value) || w.OTT(call.value)
	}
}

// allows checks the value of a typed variable.
func (w *Whitelist) allows(kind Kind, value string) bool {
	switch kind {
	case URL:
		return w.URL(value)
	case OTT:
		return w.OTT(value)
	case Callback:
		return w.Number(value)
	case Email:
		return w.Email(value)
	default:
		return true
	}
}

// Unlisted finds the first call to action in the fixed text that is not whitelisted; a letter stands for each variable.
// The text was registered, but the whitelist may have shrunk since. ok is true when there is none.
func (t *Template) Unlisted(w *Whitelist) (value string, ok bool) {
	for _, call := range scan(t.skeleton(), nil) {
		if !w.lists(&call) {
			return call.value, false
		}
	}
	return "", true
}

// skeleton is the fixed text with a letter for each variable.
func (t *Template) skeleton() string {
	var b strings.Builder
	for _, code := range t.code[1:] {
		if e := element(code); e.fixed() {
			b.WriteString(e.of(t.body))
		} else {
			b.WriteByte('x')
		}
	}
	return b.String()
}

// Call is a call to action in the fixed text of a template.
type Call struct {
	Value  string // as it stands there; a letter x stands for each variable in it
	Listed bool   // the whitelist has it
}

// Calls are the calls to action in the fixed text: links, domains and addresses in their order, then numbers.
func (t *Template) Calls(w *Whitelist) (all []Call) {
	for _, call := range scan(t.skeleton(), nil) {
		all = append(all, Call{call.value, w.lists(&call)})
	}
	return all
}
