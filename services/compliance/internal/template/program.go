package template

import "math/bits"

// counterBits hold any limit: MaxUnits has 12 bits.
const counterBits = 12

// program is a template made ready for the dynamic program: bit e of every word stands for element e.
type program struct {
	elements  int
	variables uint64
	literals  uint64
	trims     uint64              // variables whose values neither begin nor end with a space
	bytes     uint64              // fixed parts of one byte
	accept    [16]uint64          // by class of a character: the variables that take it
	first     [256]uint64         // by byte: the fixed parts that begin with it
	text      [MaxElements]string // the fixed parts
	// limits[k] holds bit k of the limit of each variable, left[k] that of what is left of it, in planes.
	planes int
	limits [counterBits]uint64
	left   [counterBits]uint64
	live   uint64 // variables that are being read
}

// bound says how a program limits variables.
type bound uint8

const (
	strict  bound = iota
	lifted        // no length is too long
	lenient       // the limits of the advice, and fixed text without white space and punctuation
)

// load makes the program of a template.
func (m *Matcher) load(t *Template, rules *Rules, how bound) {
	p := &m.program
	for i := range p.elements {
		if s := p.text[i]; s != "" {
			p.first[s[0]] = 0
		}
	}
	p.elements, p.planes, p.live = len(t.code)-1, 0, 0
	p.variables, p.literals, p.trims, p.bytes = 0, 0, 0, 0
	p.accept, p.limits = [16]uint64{}, [counterBits]uint64{}
	variable := 0
	for i, code := range t.code[1:] {
		e, bit := element(code), uint64(1)<<i
		if e.fixed() {
			p.fix(i, e.of(t.body), how)
			continue
		}
		p.text[i] = ""
		s := slot{e.max(), e.takes()}
		switch {
		case e.kind() == Untyped && rules.UntypedMax > 0:
			s = slot{rules.UntypedMax, anything}
		case how == lenient:
			s = t.extra.lenient[variable]
		}
		p.vary(bit, s, how)
		variable++
	}
	m.steps += p.elements
}

func (p *program) fix(i int, text string, how bound) {
	bit := uint64(1) << i
	if how == lenient {
		text = distinct(text)
	}
	p.text[i] = text
	p.literals |= bit
	if text != "" {
		p.first[text[0]] |= bit
	}
	if len(text) == 1 {
		p.bytes |= bit
	}
}

func (p *program) vary(bit uint64, s slot, how bound) {
	p.variables |= bit
	if s.takes.trims() {
		p.trims |= bit
	}
	for takes := s.takes; takes != 0; takes &= takes - 1 {
		p.accept[bits.TrailingZeros16(uint16(takes))] |= bit
	}
	if how == lifted {
		return
	}
	p.planes = max(p.planes, bits.Len(uint(s.max)))
	for k := range counterBits {
		p.limits[k] |= uint64(s.max>>k&1) * bit
	}
}

// start begins to read the variables of a mask here, with their limits before them.
func (p *program) start(mask uint64) {
	p.live |= mask
	for k := range p.planes {
		p.left[k] = p.left[k]&^mask | p.limits[k]&mask
	}
}

// read takes one character of a class and of so many units into the variables that are being read. It ends those that do
// not take the class or have nothing left.
func (p *program) read(g group, units int) {
	p.live &= p.accept[g]
	if p.planes == 0 {
		return
	}
	for range units {
		some := uint64(0)
		for k := range p.planes {
			some |= p.left[k]
		}
		p.live &= some
		for k, borrow := 0, p.live; borrow != 0; k++ {
			p.left[k] ^= borrow
			borrow &= p.left[k]
		}
	}
}
