package template

import "strings"

// Canonical reasons a text is refused for.
const (
	NotMatched        = "TEMPLATE_NOT_MATCHED"
	VariableTooLong   = "TEMPLATE_VARIABLE_TOO_LONG"
	VariableCount     = "TEMPLATE_VARIABLE_COUNT"
	InvisibleChar     = "INVISIBLE_CHAR"
	CTANotWhitelisted = "CTA_NOT_WHITELISTED"
	CTAInUntypedVar   = "CTA_IN_UNTYPED_VAR"
)

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
	seen  class // of the characters in values that are not compared with the whitelist whole
	loose int   // the most digits in such values that stand close together
	chain int   // digits in those that do, so far
	noted int   // where the last of them ends
	steps int   // characters and fixed parts visited
	program
	backward []uint64 // by byte offset: elements that can match the rest from there
	forward  []uint64 // by byte offset: elements that can begin there
	closed   []uint64 // as backward, after ignored characters
	thin     thinned
	calls    []found
	keep     []Hit
}

// Match compares a normalised text with a template and answers everything found wrong, nil when it matches. After a
// match Spans holds the values' places.
func (m *Matcher) Match(t *Template, text string, rules Rules) []Finding {
	m.steps, m.spans = 0, m.spans[:0]
	if f, long := tooLarge(text); long {
		return []Finding{f}
	}
	var wrong []Finding
	if rules.UntypedMax == 0 {
		if at := invisible(text); at >= 0 {
			wrong = append(wrong, unseen(text, at))
		}
	}
	if !m.shape(t, text, &rules) {
		return append(wrong, m.explain(t, text, &rules))
	}
	return m.checkCTAs(t, text, &rules, wrong)
}

// tooLarge tells whether a text is beyond what is compared at all.
func tooLarge(text string) (Finding, bool) {
	if len(text) <= MaxUnits || len(text) <= MaxBytes && length(text) <= MaxUnits {
		return Finding{}, false
	}
	return Finding{Code: NotMatched, Length: length(text), Max: MaxUnits, Expected: "a text that fits an SMS"}, true
}

// Spans are the places of the values in the last text that matched, in order. They are valid until the next Match.
func (m *Matcher) Spans() []Span { return m.spans }

// Steps are the characters and fixed parts the last call visited, the unit of budgets: about a nanosecond each.
func (m *Matcher) Steps() int { return m.steps }

// shape tells whether the text is one of the template, calls to action aside, and finds the values.
func (m *Matcher) shape(t *Template, text string, rules *Rules) bool {
	if !t.frames(text) {
		return false
	}
	switch m.greedy(t, text, rules) {
	case yes:
		return true
	case no:
		return false
	default:
		return m.exact(t, text, rules)
	}
}

// frames tells whether the text is long enough and begins and ends with the template's fixed text.
func (t *Template) frames(text string) bool {
	if len(text) < t.header().shortest() {
		return false
	}
	if first := element(t.code[1]); first.fixed() && !strings.HasPrefix(text, first.of(t.body)) {
		return false
	}
	last := element(t.code[len(t.code)-1])
	return !last.fixed() || strings.HasSuffix(text, last.of(t.body))
}

// verdict is what the greedy pass can tell.
type verdict uint8

const (
	no verdict = iota
	yes
	maybe
)

// greedy expects that the text frames. It gives each variable the text up to the next occurrence of the fixed part after
// it, the last one up to the fixed end. What it accepts is a match, by the promised split. Fixed text that does not occur
// where it is searched, the first place it can be, occurs nowhere; any other failure leaves the question open.
func (m *Matcher) greedy(t *Template, text string, rules *Rules) verdict {
	pos, answer := 0, yes
	code := t.code[1:]
	if t.code[0]&flagAdjacent != 0 {
		answer = maybe
	}
	m.forget()
	for i := range code {
		e := element(code[i])
		if e.fixed() { // it was looked for, or frames the text
			pos += e.size()
			continue
		}
		end := t.nearest(text, pos, code[i+1:])
		if end <= pos {
			return no
		}
		if answer == yes && !m.holds(e, text, Span{pos, end}, rules) {
			answer = maybe
		}
		m.spans = append(m.spans, Span{pos, end})
		pos = end
	}
	if pos != len(text) {
		return no
	}
	return answer
}

// nearest finds the first end that a variable at pos can have before the elements that follow; 0 when it can have none.
func (t *Template) nearest(text string, pos int, following []uint64) int {
	if len(following) == 0 {
		return len(text)
	}
	next := element(following[0])
	switch {
	case pos >= len(text):
		return 0
	case !next.fixed(): // adjacent variables: the first takes the one byte it needs
		return pos + 1
	case len(following) == 1:
		return len(text) - next.size()
	}
	if at := strings.Index(text[pos+1:], next.of(t.body)); at >= 0 {
		return pos + 1 + at
	}
	return 0
}

// holds tells whether value is of the element's class and length, and notes what may make it a call to action.
func (m *Matcher) holds(e element, text string, at Span, rules *Rules) bool {
	value := text[at.Start:at.End]
	takes, limit := e.takes(), e.max()
	if e.kind() == Untyped && rules.UntypedMax > 0 {
		takes, limit = anything, rules.UntypedMax
	}
	m.steps += len(value)
	seen, n := survey(value)
	if !e.kind().checked() {
		m.note(seen, text, at)
	}
	if takes.trims() && (value[0] == ' ' || value[len(value)-1] == ' ') {
		return false
	}
	return seen&^takes == 0 && n <= limit
}

// farthest is how far apart two runs of digits may stand and still be read as one number.
const farthest = 2

// note remembers what a value holds.
func (m *Matcher) note(seen class, text string, at Span) {
	m.seen |= seen
	if seen&(1<<digits|1<<wide) == 0 {
		return
	}
	if at.Start-m.noted > farthest {
		m.chain = 0
	}
	m.noted = at.End
	if seen == 1<<digits {
		m.chain += at.End - at.Start
	} else {
		for i := at.Start; i < at.End; i++ {
			if c := text[i]; digit(c) || c >= 0x80 {
				m.chain++
			}
		}
	}
	m.loose = max(m.loose, m.chain)
}

// forget begins a match anew.
func (m *Matcher) forget() {
	m.spans, m.seen, m.loose, m.chain, m.noted = m.spans[:0], 0, 0, 0, 0
}

// survey answers the classes of a value's characters and its length in UTF-16 units.
func survey(value string) (seen class, units int) {
	for i := range len(value) {
		c := value[i]
		if c >= 0x80 {
			return surveyWide(value)
		}
		seen |= 1 << ascii[c]
	}
	return seen, len(value)
}

func surveyWide(value string) (seen class, n int) {
	for _, r := range value {
		seen |= groupOf(r).class()
		n += units(r)
	}
	return seen, n
}
