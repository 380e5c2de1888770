package template

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Finding is one thing wrong with a text. It never holds a piece of the text, only of the template, and classes of
// characters.
type Finding struct {
	Code     string
	Position int    // 1-based character of the normalised text; 0 when none can be named
	Offset   int    // byte of the normalised text, where Position is named
	Expected string // what the template has there; empty when it does not apply
	Found    string // the class of what the text has there, as "a digit"; empty when it does not apply
	Fix      Fix    // the likely mistake; empty when none is likely
	Lenient  bool   // an operator that ignores white space and punctuation would pass the text
	Variable int    // 1-based ordinal of the variable; 0 when it does not apply
	Length   int    // UTF-16 units found, or variables given
	Max      int    // UTF-16 units allowed, or variables the template has
}

// place names a byte of the text as the place of a finding.
func (f Finding) place(text string, offset int) Finding {
	f.Position, f.Offset = utf8.RuneCountInString(text[:offset])+1, offset
	return f
}

// unseen is the finding of an invisible character. Its code point says nothing about the sender's data.
func unseen(text string, at int) Finding {
	r, _ := utf8.DecodeRuneInString(text[at:])
	return Finding{Code: InvisibleChar, Found: fmt.Sprintf("U+%04X", r)}.place(text, at)
}

// Detail is a sentence for the sender: what is wrong, where, and what mends it. It quotes neither text nor values.
func (f Finding) Detail() string {
	switch f.Code {
	case NotMatched:
		return f.difference()
	case VariableTooLong:
		return fmt.Sprintf("Variable %d has %d characters (UTF-16 units); at most %d are allowed. Shorten the value.", f.Variable, f.Length, f.Max)
	case VariableCount:
		return fmt.Sprintf("The template has %d variables and %d values were given; give each one once, all by name or all in order.", f.Max, f.Length)
	case InvisibleChar:
		return fmt.Sprintf("Character %d (%s) is invisible or a control character; remove it.", f.Position, f.Found)
	case CTANotWhitelisted:
		return fmt.Sprintf("The link, number or address in variable %d is not whitelisted for the entity; register it on DLT.", f.Variable)
	case CTAInUntypedVar:
		return fmt.Sprintf("Variable %d is untyped and holds a link, number or address; register the template with a typed variable for it.", f.Variable)
	default:
		return ""
	}
}

func (f Finding) difference() string {
	if f.Position == 0 {
		return "The text cannot be compared with its template; expected is " + f.Expected + "."
	}
	s := fmt.Sprintf("The text differs from its template at character %d: the template has there: %s; the text has %s.", f.Position, f.Expected, f.Found)
	if f.Fix != "" {
		s += " " + f.Fix.Remedy()
	}
	if f.Lenient {
		s += " Some operators ignore this difference, others refuse the message."
	}
	return s
}

// Metadata are the finding's facts as words and figures, for whoever builds tools on them.
func (f Finding) Metadata() map[string]string {
	m := map[string]string{}
	for key, n := range map[string]int{"position": f.Position, "variable": f.Variable} {
		if n > 0 {
			m[key] = strconv.Itoa(n)
		}
	}
	for key, s := range map[string]string{"expected": f.Expected, "found": f.Found, "fix": string(f.Fix)} {
		if s != "" {
			m[key] = s
		}
	}
	if f.Position > 0 {
		m["offset"] = strconv.Itoa(f.Offset)
	}
	switch f.Code {
	case VariableTooLong:
		m["length"], m["max"] = strconv.Itoa(f.Length), strconv.Itoa(f.Max)
	case VariableCount:
		m["given"], m["expected"] = strconv.Itoa(f.Length), strconv.Itoa(f.Max)
	case NotMatched:
		m["lenient"] = strconv.FormatBool(f.Lenient)
	}
	return m
}
