package template

import "unicode"

// accepts tells whether a variable of this kind may hold r. any lifts the only bound of an untyped one: that it ends
// with its line.
//
// alphanumeric: letters and digits of any script (Indian names are written in Indian scripts), and spaces between
// them, as Vi's and Jio's notes have it; `_ / . -` are refused (T29). Links and addresses end at white space; what
// they hold is checked against the whitelist, so that a foreign host is refused as such.
func (k Kind) accepts(r rune, anything bool) bool {
	switch k {
	case Untyped:
		return anything || r != '\n'
	case Numeric:
		return r >= '0' && r <= '9'
	case Callback:
		return r >= '0' && r <= '9' || r == '+'
	case Alphanumeric:
		return alphanumeric(r)
	case URL, OTT, Email:
		return r > ' ' && (r < 0x80 || !unicode.IsSpace(r))
	default:
		return false
	}
}

func alphanumeric(r rune) bool {
	if r < 0x80 {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == ' '
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || r == '\u200c' || r == '\u200d'
}

// bounds tells whether a variable of this kind may begin or end with r: an alphanumeric value has its spaces inside,
// so that a space too many beside it is a difference in the fixed text.
func (k Kind) bounds(r rune) bool { return k != Alphanumeric || r != ' ' }

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
