package template

import (
	"math/bits"
	"unicode/utf8"
)

// grow makes room for a row at every offset of a text.
func grow(rows []uint64, size int) []uint64 {
	if cap(rows) <= size {
		return make([]uint64, size+1, 2*size+1)
	}
	return rows[:size+1]
}

// exact decides whether any split of the text matches, and finds the values of the one promised in the package comment.
func (m *Matcher) exact(t *Template, text string, rules *Rules) bool {
	m.load(t, rules, strict)
	return m.solve(t, text)
}

// solve runs the program that is loaded.
func (m *Matcher) solve(t *Template, text string) bool {
	m.forget()
	if !m.back(text) {
		return false
	}
	m.walk(t, text)
	return true
}

// back goes from the end of the text to its beginning. Row p gets the elements e for which elements e, e+1, … can match
// the rest from p.
func (m *Matcher) back(text string) bool {
	p := &m.program
	n := len(text)
	rows := grow(m.backward, n)
	m.backward = rows
	rows[n] = 0
	ends := uint64(1) << (p.elements - 1) // elements that may end here: the last one at the end
	for q := n; q > 0; {
		r, size := rune(text[q-1]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeLastRuneInString(text[:q])
		}
		g, at := groupOf(r), q-size
		starts := ends & p.variables
		if g == space {
			starts &^= p.trims
		}
		if starts != 0 {
			p.start(starts)
		}
		row := uint64(0)
		if p.live != 0 {
			p.read(g, units(r))
			row = p.live
		}
		if g == space {
			row &^= p.trims
		}
		if c := p.first[text[at]]; c != 0 {
			row |= c & p.bytes & ends
			row |= m.fixedAt(text, at, c&^p.bytes, rows)
		}
		rows[at] = row
		q, ends = at, row>>1
		m.steps++
	}
	return rows[0]&1 != 0
}

// fixedAt answers which of some fixed parts stand at an offset with the rest after them matched.
func (m *Matcher) fixedAt(text string, at int, parts uint64, rows []uint64) (found uint64) {
	for ; parts != 0; parts &= parts - 1 {
		e := bits.TrailingZeros64(parts)
		literal := m.text[e]
		end := at + len(literal)
		m.steps++
		if end > len(text) || !m.follows(rows, e+1, end) {
			continue
		}
		m.steps += len(literal) / 16
		if text[at:end] == literal {
			found |= 1 << e
		}
	}
	return found
}

// follows tells whether elements e, e+1, … can match the rest from an offset.
func (m *Matcher) follows(rows []uint64, e, at int) bool {
	if e == m.elements {
		return at == len(rows)-1
	}
	return rows[at]>>e&1 != 0
}

// walk goes forward over the rows and takes, for each variable, the shortest end from which the rest matches; the
// longest when another variable follows.
func (m *Matcher) walk(t *Template, text string) {
	pos := 0
	for e := range m.elements {
		if m.literals>>e&1 != 0 {
			pos += len(m.text[e])
			continue
		}
		longest := e+1 < m.elements && m.literals>>(e+1)&1 == 0
		end := m.end(text, pos, e, longest)
		m.spans = append(m.spans, Span{pos, end})
		if !t.element(e).kind().checked() {
			seen, _ := survey(text[pos:end])
			m.note(seen, text, Span{pos, end})
		}
		pos = end
	}
}

// end finds the end of variable e that begins at pos.
func (m *Matcher) end(text string, pos, e int, longest bool) int {
	best, bit := pos, uint64(1)<<e
	m.live = 0
	m.start(bit)
	for q := pos; q < len(text); {
		r, size := utf8.DecodeRuneInString(text[q:])
		g := groupOf(r)
		m.read(g, units(r))
		m.steps++
		if m.live&bit == 0 {
			break
		}
		if q += size; (g != space || m.trims&bit == 0) && m.follows(m.backward, e+1, q) {
			best = q
			if !longest {
				break
			}
		}
	}
	return best
}
