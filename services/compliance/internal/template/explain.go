package template

import (
	"math"
	"strings"
	"unicode/utf8"
)

// excerpt bounds how much of the template an explanation shows, in characters.
const excerpt = 12

// explain says why a text does not match: a variable beyond its limit when lifting the limits makes it match, else
// the first difference.
func (m *Matcher) explain(t *Template, text string, rules Rules) Finding {
	if f, ok := m.tooLong(t, text, rules); ok {
		return f
	}
	m.forward(t, text, rules)
	e := len(t.elements)
	for e > 0 && !m.any(e) {
		e--
	}
	offset, expected := m.difference(t, text, e)
	return Finding{Code: NotMatched, Position: character(text, offset), Expected: expected}
}

// tooLong matches once more without limits and names the first variable that exceeds its own.
func (m *Matcher) tooLong(t *Template, text string, rules Rules) (Finding, bool) {
	lifted := *t
	lifted.elements = make([]element, len(t.elements))
	for i, e := range t.elements {
		e.max = math.MaxInt
		lifted.elements[i] = e
	}
	unlimited := rules
	if rules.UntypedMax > 0 {
		unlimited.UntypedMax = math.MaxInt
	}
	ok := m.exact(&lifted, text, unlimited)
	spans := m.spans
	m.spans = m.spans[:0]
	if !ok {
		return Finding{}, false
	}
	variable := 0
	for i := range t.elements {
		e := &t.elements[i]
		if e.kind == Literal {
			continue
		}
		value := text[spans[variable].Start:spans[variable].End]
		variable++
		limit := e.limit(&rules)
		if n := length(value); n > limit {
			return Finding{Code: VariableTooLong, Position: character(text, spans[variable-1].Start),
				Variable: variable, Length: n, Max: limit}, true
		}
	}
	return Finding{}, false
}

// forward marks in row e the positions up to which elements 0..e-1 can match.
func (m *Matcher) forward(t *Template, text string, rules Rules) {
	m.clear(len(t.elements)+1, len(text))
	m.set(0, 0)
	for e := range t.elements {
		v := &t.elements[e]
		if v.kind != Literal {
			m.variableForward(v, text, e, &rules)
			continue
		}
		for p := range m.positions(e) {
			if strings.HasPrefix(text[p:], v.literal) {
				m.set(e+1, p+len(v.literal))
			}
		}
	}
}

// variableForward is variableBack the other way round.
func (m *Matcher) variableForward(v *element, text string, e int, rules *Rules) {
	const none = math.MaxInt
	nearest, seen, limit := none, 0, v.limit(rules)
	for p, r := range text {
		m.steps++
		edge := v.kind.bounds(r)
		if edge && m.has(e, p) {
			nearest = seen
		}
		seen += units(r)
		switch {
		case !v.kind.accepts(r, rules.UntypedMax > 0):
			nearest = none
		case edge && nearest != none && seen-nearest <= limit:
			m.set(e+1, p+utf8.RuneLen(r))
		}
	}
}

func (m *Matcher) any(row int) bool {
	for range m.positions(row) {
		return true
	}
	return false
}

// difference names the place where element e, the first that cannot be passed, fails. Among several beginnings of a
// fixed part the one with the longest agreement is meant; without any agreement the furthest.
func (m *Matcher) difference(t *Template, text string, e int) (offset int, expected string) {
	agreed := -1
	literal := ""
	if e < len(t.elements) {
		literal = t.elements[e].literal
	}
	for p := range m.positions(e) {
		n := agreement(text[p:], literal)
		m.steps += n
		if n > agreed || n == 0 && agreed == 0 {
			offset, agreed = p+n, n
		}
	}
	switch {
	case e == len(t.elements):
		return offset, "the end of the text"
	case literal == "":
		return offset, t.elements[e].kind.expected()
	default:
		return offset, head(literal[agreed:])
	}
}

// agreement is the length of the common beginning of a and b, in bytes of whole characters.
func agreement(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && (n < len(a) && !utf8.RuneStart(a[n]) || n < len(b) && !utf8.RuneStart(b[n])) {
		n--
	}
	return n
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
