package template

import "strings"

// Canonical reasons a text is refused for (DLT rules 9 and 10.1).
const (
	NotMatched        = "TEMPLATE_NOT_MATCHED"
	VariableTooLong   = "TEMPLATE_VARIABLE_TOO_LONG"
	VariableCount     = "TEMPLATE_VARIABLE_COUNT"
	InvisibleChar     = "INVISIBLE_CHAR"
	CTANotWhitelisted = "CTA_NOT_WHITELISTED"
	CTAInUntypedVar   = "CTA_IN_UNTYPED_VAR"
)

// Finding is one thing wrong with a text. It never holds a piece of the text, only of the template.
type Finding struct {
	Code     string
	Position int    // 1-based character of the normalised text; 0 when none can be named
	Expected string // what the template has there; empty when it does not apply
	Variable int    // 1-based ordinal of the variable; 0 when it does not apply
	Length   int    // UTF-16 units found, or variables given
	Max      int    // UTF-16 units allowed, or variables the template has
}

// Rules are what a match depends on beside template and text.
type Rules struct {
	Whitelist  *Whitelist // calls to action of the entity; nil whitelists none
	UntypedMax int        // above 0, untyped variables take any text of up to so many UTF-16 units, unchecked
}

// Span is a value in the text, as byte offsets.
type Span struct{ Start, End int }

// Matcher is the memory of matches, for one goroutine at a time. The zero value is ready.
type Matcher struct {
	spans []Span
	rows  []uint64 // rows of bits of reachable positions, one a boundary between elements
	words int      // words a row
	steps int      // characters and set positions visited by the last match
}

// Match compares a normalised text with a template and answers everything found wrong, nil when it matches. After a
// match Spans holds the values' places.
func (m *Matcher) Match(t *Template, text string, rules Rules) []Finding {
	m.steps, m.spans = 0, m.spans[:0]
	if len(text) > MaxBytes {
		return []Finding{{Code: NotMatched, Length: len(text), Max: MaxBytes, Expected: "a text that fits an SMS"}}
	}
	var found []Finding
	if rules.UntypedMax == 0 {
		if at := invisible(text); at >= 0 {
			found = append(found, Finding{Code: InvisibleChar, Position: character(text, at)})
		}
	}
	if !m.greedy(t, text, rules) && !m.exact(t, text, rules) {
		return append(found, m.explain(t, text, rules))
	}
	return m.checkCTAs(t, text, rules, found)
}

// Spans are the places of the values in the last text that matched, in order. They are valid until the next Match.
func (m *Matcher) Spans() []Span { return m.spans }

// limit is the length an element may have, in UTF-16 units.
func (e *element) limit(rules *Rules) int {
	if e.kind == Untyped && rules.UntypedMax > 0 {
		return rules.UntypedMax
	}
	return e.max
}

// greedy gives each variable the text up to the next occurrence of the fixed part after it, the last one up to the
// fixed end. What it accepts is a match; what it does not may still be one.
func (m *Matcher) greedy(t *Template, text string, rules Rules) bool {
	if t.adjacent || len(text) < t.fixed {
		return false
	}
	pos, last := 0, len(t.elements)-1
	for i := range t.elements {
		e := &t.elements[i]
		if e.kind == Literal {
			if !strings.HasPrefix(text[pos:], e.literal) {
				return false
			}
			pos += len(e.literal)
			continue
		}
		end := len(text)
		if i == last-1 {
			end -= len(t.elements[last].literal)
		} else if i < last {
			end = pos + 1 + strings.Index(text[min(pos+1, len(text)):], t.elements[i+1].literal)
		}
		if end <= pos || !m.holds(e, text[pos:end], &rules) {
			return false
		}
		m.spans = append(m.spans, Span{pos, end})
		pos = end
	}
	return pos == len(text)
}

// holds tells whether value is of the element's class and length.
func (m *Matcher) holds(e *element, value string, rules *Rules) bool {
	n, anything := 0, rules.UntypedMax > 0
	first, r := true, rune(0)
	for _, r = range value {
		if !e.kind.accepts(r, anything) || first && !e.kind.bounds(r) {
			return false
		}
		first = false
		n += units(r)
	}
	m.steps += len(value)
	return n <= e.limit(rules) && e.kind.bounds(r)
}
