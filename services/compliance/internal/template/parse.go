package template

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Limits that bound the work of a match. A text is at most what the public API accepts (2,000 UTF-16 units) and a little
// more, for the fixed part of a template around it.
const (
	MaxElements = 64           // fixed parts and variables together
	MaxUnits    = 2048         // UTF-16 units of a template or a text
	MaxBytes    = 3 * MaxUnits // and its bytes: none has more for a unit
	maxName     = 64           // bytes of a variable's name
)

const tooMany = "at most %d are allowed"

// Variable describes one variable of a template beside its text. Every field may be empty.
type Variable struct {
	Name string // for values by name; all variables have one or none
	Tag  string // the type where the portal keeps it beside the text, such as numeric; with or without {# #}
	Max  int    // the limit in UTF-16 units where the portal registered one, 1..MaxUnits
}

// Template is a parsed content template. It is immutable.
type Template struct {
	// code is a header and one word for each element, as header and element read them; the words of a corpus lie in one
	// array (Pack), and its texts in another.
	code  []uint64
	body  string
	extra *extra
}

// extra is what matching does not need.
type extra struct {
	names   []string // one a variable; nil for var1, var2, …
	lenient []slot   // one a variable
}

// header: bits 0-7 elements, 8-15 variables, 16-18 flags, 24-39 shortest text that can match, 40-55 bytes of fixed text.
type header uint64

const (
	flagUntyped  = 1 << 16 // there is a {#var#}
	flagAdjacent = 1 << 17 // some variables touch: the greedy pass cannot split them
	flagExposed  = 1 << 18 // fixed text beside a variable may be part of a call to action
)

func (h header) elements() int  { return int(h & 0xff) }
func (h header) variables() int { return int(h >> 8 & 0xff) }
func (h header) shortest() int  { return int(h >> 24 & 0xffff) }
func (h header) fixed() int     { return int(h >> 40 & 0xffff) }

// element: bits 0-3 kind, 8-23 class; 24-39 offset of fixed text or limit of a variable, 40-55 length of fixed text.
type element uint64

func (e element) kind() Kind   { return Kind(e & 15) }
func (e element) takes() class { return class(e >> 8) }
func (e element) max() int     { return int(e >> 24 & 0xffff) }
func (e element) fixed() bool  { return e&15 == 0 }

func (e element) size() int { return int(e >> 40 & 0xffff) }

// of is the fixed text, out of the body.
func (e element) of(body string) string { return body[e>>24&0xffff:][:e>>40&0xffff] }

// trims tells whether the variable's values may neither begin nor end with a space: those that have spaces only between
// words, so that a space too many beside one is a difference in the fixed text.
func (c class) trims() bool { return c&(1<<space|1<<control) == 1<<space }

func (t *Template) header() header        { return header(t.code[0]) }
func (t *Template) element(i int) element { return element(t.code[1+i]) }

// Parse reads a template's body as registered with any portal, after NFC and with line ends as LF. names are the names of
// the variables in order, for rendering by name; nil names them var1, var2, … It fails when the body is empty, longer
// than MaxUnits, has more than MaxElements elements, or when the names do not fit its variables.
func Parse(body string, names []string) (*Template, error) {
	if names == nil {
		return Default().Parse(body, nil)
	}
	variables := make([]Variable, len(names))
	for i, n := range names {
		variables[i].Name = n
	}
	t, err := Default().Parse(body, variables)
	if err == nil && len(names) > 0 && t.extra.names == nil {
		return nil, errors.New("variable name \"\" is empty or given twice")
	}
	return t, err
}

// Parse reads a template's body as this portal writes it. variables holds one entry for each variable in order, or is
// nil. It fails as the function Parse does, and when a tag or a limit does not fit.
func (p *Profile) Parse(body string, variables []Variable) (*Template, error) {
	body, _ = Normalise(body)
	if body == "" {
		return nil, errors.New("the template is empty")
	}
	if n := length(body); n > MaxUnits {
		return nil, fmt.Errorf("the template has %d UTF-16 units; "+tooMany, n, MaxUnits)
	}
	b := builder{profile: p, given: variables, t: &Template{body: body, code: make([]uint64, 1, 8), extra: &extra{}}}
	if err := b.split(); err != nil {
		return nil, err
	}
	if variables != nil && len(variables) != b.variables {
		return nil, fmt.Errorf("the template has %d variables, but %d are described", b.variables, len(variables))
	}
	return b.t, b.name()
}

// builder makes a template from its body.
type builder struct {
	profile   *Profile
	given     []Variable
	t         *Template
	variables int
	fixed     int
	flags     uint64
}

// split cuts the body into elements.
func (b *builder) split() error {
	body, start := b.t.body, 0
	for i := 0; i < len(body); {
		v, ok := b.profile.at(body[i:])
		if !ok {
			i++
			continue
		}
		b.fix(start, i)
		if err := b.vary(v.kind); err != nil {
			return err
		}
		i += len(v.text)
		start = i
	}
	b.fix(start, len(body))
	n := len(b.t.code) - 1
	if n > MaxElements {
		return fmt.Errorf("the template has %d fixed parts and variables; "+tooMany, n, MaxElements)
	}
	if b.exposed() {
		b.flags |= flagExposed
	}
	b.t.code[0] = b.flags | uint64(n) | uint64(b.variables)<<8 | uint64(b.fixed+b.variables)<<24 | uint64(b.fixed)<<40
	b.t.code = slices.Clip(b.t.code)
	return nil
}

func (b *builder) fix(start, end int) {
	if start < end {
		b.t.code = append(b.t.code, uint64(start)<<24|uint64(end-start)<<40)
		b.fixed += end - start
	}
}

// vary adds a variable: of the kind that stands beside the text where {#var#} stands in it.
func (b *builder) vary(kind Kind) error {
	var given Variable
	if b.variables < len(b.given) {
		given = b.given[b.variables]
	}
	if given.Tag != "" {
		beside, err := b.profile.word(given.Tag)
		if err != nil {
			return fmt.Errorf("variable %d: %w", b.variables+1, err)
		}
		if kind != Untyped && beside != kind {
			return fmt.Errorf("variable %d is of type %s in the text and %s beside it", b.variables+1, kind, beside)
		}
		kind = beside
	}
	strict, lenient := b.profile.limits[kind].strict, b.profile.limits[kind].lenient
	if given.Max < 0 || given.Max > MaxUnits {
		return fmt.Errorf("variable %d: a limit of %d is not 1 to %d", b.variables+1, given.Max, MaxUnits)
	}
	if given.Max > 0 {
		strict.max, lenient.max = given.Max, given.Max
	}
	if n := len(b.t.code); n > 1 && !element(b.t.code[n-1]).fixed() {
		b.flags |= flagAdjacent
	}
	if kind == Untyped {
		b.flags |= flagUntyped
	}
	b.t.code = append(b.t.code, uint64(kind)|uint64(strict.takes)<<8|uint64(strict.max)<<24)
	b.t.extra.lenient = append(b.t.extra.lenient, lenient)
	b.variables++
	return nil
}

// name gives each variable its name.
func (b *builder) name() error {
	seen := make(map[string]bool, len(b.given))
	for _, v := range b.given {
		if v.Name == "" {
			continue
		}
		if seen[v.Name] || len(v.Name) > maxName {
			return fmt.Errorf("variable name %q is given twice or longer than %d bytes", v.Name, maxName)
		}
		seen[v.Name] = true
		b.t.extra.names = append(b.t.extra.names, v.Name)
	}
	if n := len(b.t.extra.names); n > 0 && n < b.variables {
		return fmt.Errorf("%d of %d variables have a name; name all of them or none", n, b.variables)
	}
	return nil
}

// exposed tells whether a word or a number goes on from fixed text into a variable, so that together they may be a call
// to action though neither is.
func (b *builder) exposed() bool {
	code := b.t.code[1:]
	for i := range code {
		if !element(code[i]).fixed() {
			continue
		}
		text := element(code[i]).of(b.t.body)
		if i > 0 && opens(text) || i+1 < len(code) && leads(text) {
			return true
		}
	}
	return false
}

// leads tells whether the end of fixed text may be the beginning of a call to action.
func leads(text string) bool {
	word := text[strings.LastIndexAny(text, " \n")+1:]
	number := strings.TrimRight(text, " -.()")
	return strings.ContainsAny(word, ".:/@") || number != "" && digit(number[len(number)-1]) || fold(word, "www")
}

// opens tells whether the beginning of fixed text may be the end of a call to action.
func opens(text string) bool {
	word := text
	if i := strings.IndexAny(text, " \n"); i >= 0 {
		word = text[:i]
	}
	number := strings.TrimLeft(text, " -.()")
	return strings.ContainsAny(strings.TrimRight(word, ".,;:!)"), ".:/@") || number != "" && digit(number[0])
}

// variables yields the variables with their ordinals, from 1.
func (t *Template) variables() iter.Seq2[int, element] {
	return func(yield func(int, element) bool) {
		variable := 0
		for _, code := range t.code[1:] {
			if e := element(code); !e.fixed() {
				if variable++; !yield(variable, e) {
					return
				}
			}
		}
	}
}

// Body is the template as registered, normalised.
func (t *Template) Body() string { return t.body }

// cacheLine is the size of what memory loads at once, in octets.
const cacheLine = 64

// Load reads a little of every cache line that a match reads. What it answers means nothing: it is to be kept, so that the
// loads are done.
func (t *Template) Load() int {
	touched := int(t.code[0] + t.code[len(t.code)-1])
	for at := 0; at < len(t.body); at += cacheLine {
		touched += int(t.body[at])
	}
	return touched
}

// FixedBytes is the length of the fixed text: the more, the more specific the template.
func (t *Template) FixedBytes() int { return t.header().fixed() }

// HasUntyped tells whether a legacy {#var#} is in it, which portals refuse since 17 January 2026.
func (t *Template) HasUntyped() bool { return t.code[0]&flagUntyped != 0 }

// Names are the names of the variables in their order.
func (t *Template) Names() []string {
	if t.extra.names != nil {
		return slices.Clone(t.extra.names)
	}
	var names []string
	for i := range t.header().variables() {
		names = append(names, fmt.Sprintf("var%d", i+1))
	}
	return names
}

// Variables describes the variables in their order, with the limits and types in force.
func (t *Template) Variables() []Variable {
	var list []Variable
	names := t.Names()
	for variable, e := range t.variables() {
		list = append(list, Variable{Name: names[variable-1], Tag: e.kind().String(), Max: e.max()})
	}
	return list
}

// Pack lays the words and the texts of templates side by side in two arrays, as a corpus that is searched or looked up
// at random wants them: fewer cache lines, and two objects for the garbage collector instead of two for each. It changes
// where templates lie and nothing else, and may be called only before they are shared.
func Pack(templates []*Template) {
	words, size := 0, 0
	for _, t := range templates {
		words += len(t.code)
		size += len(t.body)
	}
	code := make([]uint64, 0, words)
	var text strings.Builder
	text.Grow(size)
	for _, t := range templates {
		code = append(code, t.code...)
		text.WriteString(t.body)
	}
	all, word, at := text.String(), 0, 0
	for _, t := range templates {
		t.code = code[word : word+len(t.code) : word+len(t.code)]
		t.body = all[at : at+len(t.body)]
		word += len(t.code)
		at += len(t.body)
	}
}
