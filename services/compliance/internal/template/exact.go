package template

import (
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// exact decides whether any split of the text matches, and finds the spans of the one promised in the package comment.
// Row e holds the positions from which elements e, e+1, … can match the rest of the text.
func (m *Matcher) exact(t *Template, text string, rules Rules) bool {
	m.spans = m.spans[:0]
	n := len(t.elements)
	m.clear(n+1, len(text))
	m.set(n, len(text))
	for e := n - 1; e >= 0; e-- {
		if t.elements[e].kind == Literal {
			m.literalBack(t.elements[e].literal, text, e)
		} else {
			m.variableBack(&t.elements[e], text, e, &rules)
		}
	}
	if !m.has(0, 0) {
		return false
	}
	m.walk(t, text, rules)
	return true
}

func (m *Matcher) literalBack(literal, text string, e int) {
	for q := range m.positions(e + 1) {
		if p := q - len(literal); p >= 0 && strings.HasPrefix(text[p:], literal) {
			m.set(e, p)
		}
	}
}

// variableBack marks every start from which the variable can reach a marked end. Of all ends the nearest is the best
// one, for length and for class alike, so one number is enough to remember.
func (m *Matcher) variableBack(v *element, text string, e int, rules *Rules) {
	const none = math.MaxInt
	nearest, seen, limit := none, 0, v.limit(rules)
	anything := rules.UntypedMax > 0
	for p := len(text); p > 0; m.steps++ {
		r, size := utf8.DecodeLastRuneInString(text[:p])
		edge := v.kind.bounds(r)
		if edge && m.has(e+1, p) {
			nearest = seen
		}
		p -= size
		seen += units(r)
		switch {
		case !v.kind.accepts(r, anything):
			nearest = none
		case edge && nearest != none && seen-nearest <= limit:
			m.set(e, p)
		}
	}
}

// walk goes forward over the rows and takes, for each variable, the shortest end from which the rest matches; the
// longest when another variable follows.
func (m *Matcher) walk(t *Template, text string, rules Rules) {
	pos := 0
	for e := range t.elements {
		v := &t.elements[e]
		if v.kind == Literal {
			pos += len(v.literal)
			continue
		}
		longest := e+1 < len(t.elements) && t.elements[e+1].kind != Literal
		end := m.end(v, text, pos, e+1, longest, &rules)
		m.spans = append(m.spans, Span{pos, end})
		pos = end
	}
}

func (m *Matcher) end(v *element, text string, pos, row int, longest bool, rules *Rules) int {
	best, n, limit := pos, 0, v.limit(rules)
	for q, r := range text[pos:] {
		n += units(r)
		if n > limit || !v.kind.accepts(r, rules.UntypedMax > 0) {
			break
		}
		m.steps++
		if q += pos + utf8.RuneLen(r); v.kind.bounds(r) && m.has(row, q) {
			best = q
			if !longest {
				break
			}
		}
	}
	return best
}

// clear makes room for rows of the positions 0..size, all unmarked.
func (m *Matcher) clear(rows, size int) {
	m.words = size/64 + 1
	need := rows * m.words
	if cap(m.rows) < need {
		m.rows = make([]uint64, need)
		return
	}
	m.rows = m.rows[:need]
	clear(m.rows)
}

func (m *Matcher) set(row, pos int) { m.rows[row*m.words+pos/64] |= 1 << (pos % 64) }

func (m *Matcher) has(row, pos int) bool { return m.rows[row*m.words+pos/64]>>(pos%64)&1 != 0 }

// positions yields the marked positions of a row in order.
func (m *Matcher) positions(row int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for w, word := range m.rows[row*m.words : (row+1)*m.words] {
			for ; word != 0; word &= word - 1 {
				m.steps++
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
