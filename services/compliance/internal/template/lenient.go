package template

import (
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// Lenient tells whether an operator would pass the text that ignores white space and punctuation in fixed text and counts
// limits in characters: advice, never the gate, since it takes a comma for the value of an empty variable. Calls to
// action and invisible characters are refused as ever.
func (m *Matcher) Lenient(t *Template, text string, rules Rules) bool {
	m.steps = 0
	if _, long := tooLarge(text); long {
		return false
	}
	return m.tolerated(t, text, &rules)
}

func (m *Matcher) tolerated(t *Template, text string, rules *Rules) bool {
	if text == "" || rules.UntypedMax == 0 && invisible(text) >= 0 {
		return false
	}
	m.load(t, rules, lenient)
	m.thin.fill(text)
	m.forget()
	start := m.backLenient(text)
	if start < 0 {
		return false
	}
	m.walkLenient(t, text, start)
	return m.checkCTAs(t, text, rules, nil) == nil
}

// backLenient is back with fixed text that ignores characters before, in and after it. Row p of closed gets the elements
// that may end at p or, fixed parts, some ignored characters before p. It answers where element 0 begins, -1 for nowhere.
func (m *Matcher) backLenient(text string) int {
	p := &m.program
	n := len(text)
	m.backward, m.closed = grow(m.backward, n), grow(m.closed, n)
	rows, closed := m.backward, m.closed
	final, empty := uint64(1)<<(p.elements-1), p.empty()
	rows[n] = final & empty
	closed[n] = final | rows[n]>>1
	for q, only := n, true; q > 0; m.steps++ { // only ignored characters from q on
		r, size := utf8.DecodeLastRuneInString(text[:q])
		g, at := groupOf(r), q-size
		ends := rows[q] >> 1
		if only {
			ends |= final
		}
		if g == space {
			ends &^= p.trims
		}
		p.start(ends & p.variables)
		p.read(g, 1)
		row := p.live
		if g == space {
			row &^= p.trims
		}
		after := uint64(0)
		if only = only && ignored(r); ignored(r) {
			row |= rows[q] & p.literals
			after = closed[q] & p.literals
		}
		if start := int(m.thin.from[at]); start < len(m.thin.text) {
			row |= m.spelled(at, p.first[m.thin.text[start]])
		}
		closed[at] = row>>1 | after
		row |= closed[at] & empty
		closed[at] |= row >> 1
		rows[at] = row
		q = at
	}
	return m.beginning(text)
}

// empty are the fixed parts of which nothing is left.
func (p *program) empty() uint64 {
	empty := p.literals
	for i := range p.elements {
		if p.text[i] != "" {
			empty &^= 1 << i
		}
	}
	return empty
}

// spelled answers which of some fixed parts stand at an offset with the rest after them matched.
func (m *Matcher) spelled(at int, parts uint64) (found uint64) {
	for ; parts != 0; parts &= parts - 1 {
		e := bits.TrailingZeros64(parts)
		if end := m.spelledAt(at, m.text[e]); end >= 0 && m.closed[end]>>e&1 != 0 {
			found |= 1 << e
		}
	}
	return found
}

// beginning finds the first place with only ignored characters before it from which all elements match.
func (m *Matcher) beginning(text string) int {
	for at, r := range text {
		if m.backward[at]&1 != 0 {
			return at
		}
		if !ignored(r) {
			break
		}
	}
	return -1
}

// thinned is a text without the ignored characters, and where the others stand.
type thinned struct {
	text  string
	from  []uint16 // by byte of the full text: how much of the thin one is before it
	until []uint16 // by byte of the thin text: where in the full one its character ends
}

func (t *thinned) fill(text string) {
	t.text = distinct(text)
	t.from, t.until = slices.Grow(t.from[:0], len(text)+1)[:len(text)+1], slices.Grow(t.until[:0], len(t.text))[:len(t.text)]
	n := 0
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		t.from[at] = uint16(n)
		if !ignored(r) {
			end := n + utf8.RuneLen(r)
			for ; n < end; n++ {
				t.until[n] = uint16(at + size)
			}
		}
		at += size
	}
	t.from[len(text)] = uint16(n)
}

// spelledAt finds the end of a fixed part that begins at an offset, or behind ignored characters there, ignored ones in
// between; -1 when it does not stand there.
func (m *Matcher) spelledAt(at int, literal string) int {
	start := int(m.thin.from[at])
	m.steps += 1 + len(literal)/16
	if !strings.HasPrefix(m.thin.text[start:], literal) {
		return -1
	}
	return int(m.thin.until[start+len(literal)-1])
}

// walkLenient finds values: each variable takes the least.
func (m *Matcher) walkLenient(t *Template, text string, pos int) {
	for e := range m.elements {
		if m.literals>>e&1 != 0 {
			pos = m.passLenient(text, pos, e)
			continue
		}
		end := m.endLenient(text, pos, e)
		m.spans = append(m.spans, Span{pos, end})
		if !t.element(e).kind().checked() {
			seen, _ := survey(text[pos:end])
			m.note(seen, text, Span{pos, end})
		}
		pos = end
	}
}

// endLenient finds the first end of variable e from which the rest matches.
func (m *Matcher) endLenient(text string, pos, e int) int {
	m.live = 0
	m.start(1 << e)
	for q := pos; q < len(text); {
		r, size := utf8.DecodeRuneInString(text[q:])
		g := groupOf(r)
		m.read(g, 1)
		m.steps++
		q += size
		if (g != space || m.trims>>e&1 == 0) && (m.follows(m.backward, e+1, q) || e+1 == m.elements && m.thin.from[q] == m.thin.from[len(text)]) {
			return q
		}
	}
	return len(text)
}

// passLenient goes over a fixed part and the ignored characters around it, as few as let the rest match.
func (m *Matcher) passLenient(text string, pos, e int) int {
	if literal := m.text[e]; literal != "" {
		end := m.spelledAt(pos, literal)
		for end < 0 || m.closed[end]>>e&1 == 0 {
			pos += runeSize(text, pos)
			end = m.spelledAt(pos, literal)
		}
		pos = end
	}
	for pos < len(text) && !m.follows(m.backward, e+1, pos) {
		pos += runeSize(text, pos)
	}
	return pos
}

func runeSize(text string, at int) int {
	_, size := utf8.DecodeRuneInString(text[at:])
	return size
}
