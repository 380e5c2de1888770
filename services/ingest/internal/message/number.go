package message

import "strings"

// indicZeros are the zeros of the digit sets in use in India; each set is ten code points long: Arabic-Indic and its
// extended form (Urdu), Devanagari, Bengali, Gurmukhi, Gujarati, Oriya, Tamil, Telugu, Kannada, Malayalam.
var indicZeros = [...]rune{
	0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
}

// NormalizeNumber gives the E.164 form of an Indian mobile number (+91 and 10 digits, the first 6 to 9; DLT rules 6.4).
// It takes 10 digits with no prefix, 0, 91, +91 or 0091, in any Indian digit set, with the usual separators. A prefix
// is taken off only where the count of digits says it is one: 9198765432 is a subscriber of its own. ok is false for
// everything else: 140/160 series, toll-free, landlines, M2M, numbers of other countries.
func NormalizeNumber(s string) (e164 string, ok bool) {
	var buf [16]byte
	digits, plus := buf[:0], false
	for _, r := range s {
		d, isDigit := digit(r)
		switch {
		case isDigit && len(digits) < 15:
			digits = append(digits, d)
		case r == '+' && !plus && len(digits) == 0:
			plus = true
		case !isSeparator(r):
			return "", false
		}
	}
	national, ok := nationalPart(string(digits), plus)
	if !ok || national[0] < '6' {
		return "", false
	}
	return "+91" + national, true
}

// nationalPart takes the prefix off digits; ok is false when their count fits no form.
func nationalPart(digits string, plus bool) (national string, ok bool) {
	switch {
	case len(digits) == 12 && strings.HasPrefix(digits, "91"):
		return digits[2:], true
	case plus:
		return "", false
	case len(digits) == 10:
		return digits, true
	case len(digits) == 11 && digits[0] == '0':
		return digits[1:], true
	case len(digits) == 14 && strings.HasPrefix(digits, "0091"):
		return digits[4:], true
	}
	return "", false
}

// digit gives the ASCII digit of r in any Indian digit set.
func digit(r rune) (d byte, ok bool) {
	if r >= '0' && r <= '9' {
		return byte(r), true
	}
	if r < 0x0660 {
		return 0, false
	}
	for _, zero := range indicZeros {
		if r >= zero && r <= zero+9 {
			return '0' + byte(r-zero), true
		}
	}
	return 0, false
}

// isSeparator tells whether people write r between digits: spaces, hyphens, dots, parentheses, and the invisible
// direction marks that come along when a number is copied from a contact list.
func isSeparator(r rune) bool {
	switch r {
	case ' ', '\t', '-', '.', '(', ')', 0x00A0, 0x202F, 0x2010, 0x2011, 0x2012, 0x2013:
		return true
	}
	return r == 0x200E || r == 0x200F || (r >= 0x202A && r <= 0x202C) || (r >= 0x2066 && r <= 0x2069)
}

// MaskNumber hides the middle of an E.164 number: +9198XXXXXX10. Anything else is hidden whole.
func MaskNumber(e164 string) string {
	if len(e164) != 13 {
		return "XXXXXXXXXX"
	}
	return e164[:5] + "XXXXXX" + e164[11:]
}
