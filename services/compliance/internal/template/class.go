package template

import (
	"fmt"
	"strings"
	"unicode"
)

// Kind is what an element of a template is: fixed text, or a variable of a type.
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

// kindNames are the words of the tags, as profiles and portals write them.
var kindNames = [...]string{"", "var", "numeric", "alphanumeric", "url", "urlott", "cbn", "email"}

// String is the word of the tag: var, numeric, alphanumeric, url, urlott, cbn, email.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// parseKind reads the word of a tag.
func parseKind(word string) (Kind, error) {
	for k, name := range kindNames {
		if name == word && k > 0 {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("kind %q is none of var, numeric, alphanumeric, url, urlott, cbn, email", word)
}

// checked tells whether values of this kind are compared with the whitelist whole.
func (k Kind) checked() bool { return k >= URL }

// expected says in words what a variable of this kind holds.
func (k Kind) expected() string {
	switch k {
	case Numeric:
		return "a digit"
	case Callback:
		return "a callback number"
	case Alphanumeric:
		return "a letter or digit"
	case URL, OTT:
		return "a link"
	case Email:
		return "an e-mail address"
	default:
		return "at least one character"
	}
}

// group is the class of a character: every character is in exactly one, so that a set of classes is a mask.
type group uint8

const (
	digits     group = iota // 0-9
	letters                 // a-z, A-Z
	space                   // U+0020
	newline                 // LF
	underscore              // _
	slash                   // /
	dot                     // .
	hyphen                  // -
	plus                    // +
	comma                   // ,
	at                      // @
	graphic                 // what else ASCII prints
	wide                    // letters, marks and digits of other scripts, and their joiners
	blank                   // white space outside ASCII
	other                   // what else there is outside ASCII
	control                 // C0 and DEL
)

// class is a set of groups.
type class uint16

func (g group) class() class { return 1 << g }

const (
	anything = ^class(0)
	oneLine  = anything &^ (1 << newline)
	solid    = anything &^ (1<<space | 1<<newline | 1<<blank | 1<<control)
)

// words are the names of sets of characters in profiles; a single character stands for itself.
var words = map[string]class{
	"digits": digits.class(), "letters": letters.class() | wide.class(), "space": space.class(), "line": oneLine, "solid": solid,
	"_": underscore.class(), "/": slash.class(), ".": dot.class(), "-": hyphen.class(), "+": plus.class(), ",": comma.class(),
	"@": at.class(),
}

// parseClass reads names of sets of characters, separated by spaces.
func parseClass(names string) (class, error) {
	var c class
	for name := range strings.FieldsSeq(names) {
		set, ok := words[name]
		if !ok {
			return 0, fmt.Errorf("characters %q are none of digits, letters, space, line, solid, _ / . - + , @", name)
		}
		c |= set
	}
	if c == 0 {
		return 0, fmt.Errorf("no characters are named")
	}
	return c, nil
}

// ascii holds the group of every ASCII character.
var ascii = func() (t [128]group) {
	for c := range t {
		switch r := byte(c); {
		case digit(r):
			t[c] = digits
		case letter(r):
			t[c] = letters
		case r < ' ' || r == 0x7f:
			t[c] = control
		default:
			t[c] = graphic
		}
	}
	for c, g := range map[byte]group{' ': space, '\n': newline, '_': underscore, '/': slash, '.': dot, '-': hyphen, '+': plus,
		',': comma, '@': at} {
		t[c] = g
	}
	return t
}()

// groupOf is the group of a character.
func groupOf(r rune) group {
	switch {
	case uint32(r) < 128:
		return ascii[r]
	case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r), r == '\u200c', r == '\u200d':
		return wide
	case unicode.IsSpace(r):
		return blank
	default:
		return other
	}
}

// groupNames say in words what was found, without saying which character.
var groupNames = [...]string{digits: "a digit", letters: "a letter", space: "a space", newline: "a line break", underscore: "an underscore",
	slash: "a slash", dot: "a full stop", hyphen: "a hyphen", plus: "a plus sign", comma: "a comma", at: "an at sign",
	graphic: "a punctuation mark", wide: "a letter of another script", blank: "a special space", other: "a special character",
	control: "a control character"}
