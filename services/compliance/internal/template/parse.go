package template

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what an element of a template is: fixed text, or a variable of a type (DLT rules 2.2).
type Kind uint8

// The kinds. Untyped is the legacy {#var#}.
const (
	Literal Kind = iota
	Untyped
	Numeric
	Alphanumeric
	URL
	OTT
	Callback
	Email
)

// Limits that bound the work of a match: 2x64+1 elements over 8 KiB are at most 3.2 million steps, some 5 ms, and the
// texts that come near it cannot be sent as an SMS anyway.
const (
	MaxVariables = 64
	MaxBytes     = 8 << 10
)

// tag is one spelling of a variable with its limit in UTF-16 units.
type tag struct {
	spelling string
	kind     Kind
	max      int
}

// tags lists the spellings the portals write, case-sensitive: anything else between {# and #} is fixed text
// (T17). Limits: 30 for the legacy tag and for digits, 40 for alphanumeric (DLT rules 2.2). No limit is published for
// links and addresses; theirs are those of RFC 7230 practice and RFC 5321, and 15 digits of E.164 with a plus.
var tags = []tag{
	{"{#var#}", Untyped, 30},
	{"{#numeric#}", Numeric, 30},
	{"{#number#}", Numeric, 30},
	{"{#alphanumeric#}", Alphanumeric, 40},
	{"{#url#}", URL, 2048},
	{"{#urlott#}", OTT, 2048},
	{"{#cbn#}", Callback, 16},
	{"{#email#}", Email, 254},
}

// element is a piece of a template: fixed text, or a variable of 1..max UTF-16 units.
type element struct {
	kind    Kind
	literal string
	max     int
}

// Template is a parsed content template. It is immutable.
type Template struct {
	body      string
	elements  []element
	names     []string // one a variable
	variables int
	untyped   bool
	adjacent  bool   // some variables touch: the greedy pass cannot split them
	fixed     int    // bytes of fixed text, and one for each variable: the shortest text that can match
	skeleton  string // the fixed text with a letter for each variable
}

// Parse reads a template's body as registered, after NFC and with line ends as LF. names are the names of the
// variables in order, for rendering by name; nil names them var1, var2, … It fails when the body is empty, longer
// than MaxBytes, holds more than MaxVariables variables, or when the names do not fit them.
func Parse(body string, names []string) (*Template, error) {
	body, _ = Normalise(body)
	if body == "" {
		return nil, errors.New("the template is empty")
	}
	if len(body) > MaxBytes {
		return nil, fmt.Errorf("the template has %d bytes; at most %d are allowed", len(body), MaxBytes)
	}
	t := &Template{body: body}
	t.split()
	if t.variables > MaxVariables {
		return nil, fmt.Errorf("the template has %d variables; at most %d are allowed", t.variables, MaxVariables)
	}
	return t, t.name(names)
}

// split cuts the body into elements.
func (t *Template) split() {
	var skeleton strings.Builder
	start := 0
	for i := 0; i < len(t.body); {
		v, ok := tagAt(t.body[i:])
		if !ok {
			i++
			continue
		}
		t.fix(t.body[start:i], &skeleton)
		t.vary(v, &skeleton)
		i += len(v.spelling)
		start = i
	}
	t.fix(t.body[start:], &skeleton)
	t.skeleton = skeleton.String()
}

func tagAt(s string) (tag, bool) {
	if !strings.HasPrefix(s, "{#") {
		return tag{}, false
	}
	for _, v := range tags {
		if strings.HasPrefix(s, v.spelling) {
			return v, true
		}
	}
	return tag{}, false
}

func (t *Template) fix(literal string, skeleton *strings.Builder) {
	if literal == "" {
		return
	}
	t.elements = append(t.elements, element{kind: Literal, literal: literal})
	t.fixed += len(literal)
	skeleton.WriteString(literal)
}

func (t *Template) vary(v tag, skeleton *strings.Builder) {
	if n := len(t.elements); n > 0 && t.elements[n-1].kind != Literal {
		t.adjacent = true
	}
	t.elements = append(t.elements, element{kind: v.kind, max: v.max})
	t.variables++
	t.fixed++
	t.untyped = t.untyped || v.kind == Untyped
	skeleton.WriteByte('x')
}

// name gives each variable its name.
func (t *Template) name(names []string) error {
	if names == nil {
		for i := range t.variables {
			t.names = append(t.names, fmt.Sprintf("var%d", i+1))
		}
		return nil
	}
	if len(names) != t.variables {
		return fmt.Errorf("the template has %d variables, but %d names are given", t.variables, len(names))
	}
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if n == "" || seen[n] {
			return fmt.Errorf("variable name %q is empty or given twice", n)
		}
		seen[n] = true
	}
	t.names = append([]string{}, names...)
	return nil
}

// Body is the template as registered, normalised.
func (t *Template) Body() string { return t.body }

// Names are the names of the variables in their order.
func (t *Template) Names() []string { return append([]string(nil), t.names...) }

// HasUntyped tells whether a legacy {#var#} is in it, which portals refuse since 17 January 2026.
func (t *Template) HasUntyped() bool { return t.untyped }
