package template

import (
	"math/bits"
	"strings"
	"unicode/utf8"
)

// excerpt bounds how much of the template an explanation shows, in characters.
const excerpt = 12

// explain says why a text does not match: a variable beyond its limit when lifting the limits makes it match, else
// the first difference.
func (m *Matcher) explain(t *Template, text string, rules *Rules) Finding {
	f, long := m.tooLong(t, text, rules)
	if !long {
		f = m.firstDifference(t, text, rules)
	}
	f.Lenient = m.tolerated(t, text, rules)
	m.spans = m.spans[:0]
	return f
}

// tooLong matches once more without limits and names the first variable that exceeds its own.
func (m *Matcher) tooLong(t *Template, text string, rules *Rules) (Finding, bool) {
	m.load(t, rules, lifted)
	if text == "" || !m.solve(t, text) {
		return Finding{}, false
	}
	for variable, e := range t.variables() {
		span, limit := m.spans[variable-1], e.max()
		if e.kind() == Untyped && rules.UntypedMax > 0 {
			limit = rules.UntypedMax
		}
		if n := length(text[span.Start:span.End]); n > limit {
			return Finding{Code: VariableTooLong, Variable: variable, Length: n, Max: limit, Fix: FixVariableTooLong}.
				place(text, span.Start), true
		}
	}
	return Finding{}, false
}

// firstDifference names the place where the first element that cannot be passed fails.
func (m *Matcher) firstDifference(t *Template, text string, rules *Rules) Finding {
	m.load(t, rules, strict)
	reached, last := m.onward(text)
	e := bits.Len64(reached) - 1
	if last >= 0 {
		e = m.elements
	}
	offset, expected, rest := m.difference(t, text, e, last)
	f := Finding{Code: NotMatched, Expected: expected, Found: foundAt(text, offset)}.place(text, offset)
	d := mismatch{text: text, at: offset, rest: rest}
	if e < m.elements {
		m.aboutVariable(t, &f, &d, e)
	}
	if f.Fix == "" {
		f.Fix = d.likely()
	}
	return f
}

// onward goes from the beginning of the text to its end. Row p gets the elements e that can begin at p. It answers the
// elements that can begin anywhere, and the furthest place where the last one can end, -1 for none.
func (m *Matcher) onward(text string) (reached uint64, last int) {
	p := &m.program
	rows := grow(m.forward, len(text))
	m.forward, last = rows, -1
	clear(rows)
	rows[0] = 1
	final := uint64(1) << (p.elements - 1)
	for at := 0; at < len(text); m.steps++ {
		row := rows[at]
		reached |= row
		r, size := utf8.DecodeRuneInString(text[at:])
		g, q := groupOf(r), at+size
		starts := row & p.variables
		if g == space {
			starts &^= p.trims
		}
		p.start(starts)
		p.read(g, units(r))
		ends := p.live
		if g == space {
			ends &^= p.trims
		}
		parts := row & p.first[text[at]]
		ends |= parts & p.bytes
		rows[q] |= ends << 1
		if ends&final != 0 {
			last = max(last, q)
		}
		last = max(last, m.pass(text, at, parts&^p.bytes))
		at = q
	}
	return reached | rows[len(text)], last
}

// pass marks what can begin behind those of some fixed parts that stand at an offset. It answers where the last element
// ends, -1 when it is not among them.
func (m *Matcher) pass(text string, at int, parts uint64) (last int) {
	last = -1
	for ; parts != 0; parts &= parts - 1 {
		e := bits.TrailingZeros64(parts)
		m.steps += 1 + len(m.text[e])/16
		if !strings.HasPrefix(text[at:], m.text[e]) {
			continue
		}
		end := at + len(m.text[e])
		if e == m.elements-1 {
			last = end
		} else {
			m.forward[end] |= 2 << e
		}
	}
	return last
}

// difference names the place where element e, the first that cannot be passed, fails. Among several beginnings of a
// fixed part the one with the longest agreement is meant; without any agreement the furthest. rest is what the fixed
// part has from there.
func (m *Matcher) difference(t *Template, text string, e, last int) (offset int, expected, rest string) {
	if e == m.elements {
		return last, "the end of the text", ""
	}
	agreed, literal := -1, m.text[e]
	for p, row := range m.forward[:len(text)+1] {
		if row>>e&1 == 0 {
			continue
		}
		if m.steps++; agreed > 0 && (p+agreed >= len(text) || text[p+agreed] != literal[agreed]) {
			continue // no longer than the longest
		}
		n := agreement(text[p:], literal)
		m.steps += n / 16
		if n > agreed || n == 0 && agreed == 0 {
			offset, agreed = p+n, n
		}
	}
	if literal == "" {
		return offset, t.element(e).kind().expected(), ""
	}
	return offset, head(literal[agreed:]), literal[agreed:]
}

// aboutVariable finds out whether the difference is a variable's fault: element e that cannot begin, or the one before
// fixed text that it did not reach.
func (m *Matcher) aboutVariable(t *Template, f *Finding, d *mismatch, e int) {
	variable := e
	if m.literals>>e&1 != 0 {
		variable--
	}
	if variable < 0 || m.literals>>variable&1 != 0 {
		return
	}
	f.Variable = bits.OnesCount64(m.variables & (2<<variable - 1))
	following := ""
	if variable+1 < m.elements {
		following = m.text[variable+1]
	}
	empty := m.emptyAt(d.text, variable, following)
	switch {
	case empty >= 0:
		*f = f.place(d.text, empty)
		f.Fix, f.Expected, f.Found = FixVariableEmpty, t.element(variable).kind().expected(), "nothing"
	case variable == e:
		f.Fix = m.wrongType(t, d, variable)
	case len(d.rest) == len(following):
		if d.at < len(d.text) && strings.Contains(d.text[d.at:], following) && d.likely() == "" {
			f.Fix = FixVariableType
		}
	}
	if f.Fix == "" {
		f.Variable = 0
	}
}

// emptyAt finds a place where a variable begins and the fixed text after it stands already.
func (m *Matcher) emptyAt(text string, variable int, following string) int {
	if following == "" {
		return -1
	}
	for p, row := range m.forward[:len(text)+1] {
		if row>>variable&1 != 0 && strings.HasPrefix(text[p:], following) {
			return p
		}
	}
	return -1
}

// wrongType tells a value of another type from a space too many or the end of the text.
func (m *Matcher) wrongType(t *Template, d *mismatch, variable int) Fix {
	if d.at == len(d.text) {
		return FixTextMissing
	}
	r, _ := utf8.DecodeRuneInString(d.text[d.at:])
	if r != ' ' || t.element(variable).takes()&(1<<space) != 0 && !t.element(variable).takes().trims() {
		return FixVariableType
	}
	if d.at == 0 {
		return FixLeadingSpace
	}
	return FixDoubleSpace
}

// foundAt is the class of what stands at an offset.
func foundAt(text string, at int) string {
	if at == len(text) {
		return "nothing more"
	}
	r, _ := utf8.DecodeRuneInString(text[at:])
	return groupNames[groupOf(r)]
}

// head is the beginning of a fixed part, short enough for a sentence.
func head(literal string) string {
	n := 0
	for i := range literal {
		if n == excerpt {
			return literal[:i]
		}
		n++
	}
	return literal
}
