package msisdn

import (
	"fmt"
	"unicode/utf8"
)

// Number is a national number, 6000000000 to 9999999999; the zero value is none.
type Number uint64

// Bounds of national numbers.
const (
	lowest  = 6_000_000_000
	highest = 9_999_999_999
)

// lengthE164 is the length of the E.164 form: a plus and twelve digits.
const lengthE164 = 13

// Append appends the E.164 form, +919876543210, to dst.
func (n Number) Append(dst []byte) []byte {
	var form [lengthE164]byte
	copy(form[:3], "+91")
	for i := lengthE164 - 1; i > 2; i-- {
		form[i] = '0' + byte(n%10)
		n /= 10
	}
	return append(dst, form[:]...)
}

// E164 is the form in which numbers are stored and sent.
func (n Number) E164() string { return string(n.Append(make([]byte, 0, lengthE164))) }

// Format implements fmt.Formatter: whatever the verb, no number is printed in clear.
func (n Number) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, Mask(n.E164())) }

// Mask hides the middle of an E.164 number: +9198XXXXXX10. Anything else is hidden whole.
func Mask(e164 string) string {
	if len(e164) != lengthE164 {
		return "XXXXXXXXXX"
	}
	return e164[:5] + "XXXXXX" + e164[11:]
}

// E164 reads s as Parse does and gives its E.164 form, which is s itself, without allocation, where s has it already.
func E164(s string) (e164 string, ok bool) {
	n, ok := Parse(s)
	switch {
	case !ok:
		return "", false
	case len(s) == lengthE164 && s[0] == '+': // one plus and no room for separators
		return s, true
	}
	return n.E164(), true
}

// IsE164 tells whether s is the E.164 form of an Indian mobile number.
func IsE164(s string) bool {
	if len(s) != lengthE164 || s[:3] != "+91" {
		return false
	}
	for i := 3; i < lengthE164; i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s[3] >= '6'
}

// Parse reads an Indian mobile number: ten digits with no prefix, 0, 91, +91 or 0091, in any digit set in use in India,
// with the separators people write. A prefix is taken off only where the count of digits says it is one: 9198765432 is a
// subscriber of its own. ok is false for everything else: 140 and 160 series, toll-free and fixed-line numbers, numbers of
// machines (13 digits), numbers of other countries. It does not allocate.
func Parse(s string) (n Number, ok bool) {
	value, count, plus := uint64(0), 0, false
	for i := 0; i < len(s); {
		c := s[i]
		digit, size := uint64(c-'0'), 1 // above 9: no ASCII digit
		if digit > 9 {
			if plain>>c&1 == 1 { // shifted out for c beyond 63
				i++
				continue
			}
			var k kind
			k, digit, size = classify(s[i:])
			switch {
			case k == other, k == plusSign && (plus || count > 0):
				return 0, false
			case k != digitOf:
				plus = plus || k == plusSign
				i += size
				continue
			}
		}
		if count++; count > maxDigits {
			return 0, false
		}
		value, i = value*10+digit, i+size
	}
	return national(value, count, plus)
}

// maxDigits are those of the longest accepted form, 0091 and ten.
const maxDigits = 14

// national takes the prefix off count digits of this value.
func national(value uint64, count int, plus bool) (n Number, ok bool) {
	const country, above = 91, highest + 1
	switch prefix := value / above; {
	case count == 12 && prefix == country, count == 14 && prefix == country && !plus: // 91, +91, 0091
	case count == 10 && !plus, count == 11 && prefix == 0 && !plus: // none, 0
	default:
		return 0, false
	}
	n = Number(value % above)
	return n, n >= lowest
}

// kind of a character in a written number.
type kind uint8

const (
	other kind = iota
	digitOf
	plusSign
	separator
)

// plain are the separators among the first 64 ASCII characters.
const plain uint64 = 1<<' ' | 1<<'\t' | 1<<'-' | 1<<'.' | 1<<'(' | 1<<')'

// classify reads the first character of s, which is neither an ASCII digit nor a plain separator.
func classify(s string) (k kind, digit uint64, size int) {
	if c := s[0]; c == '+' {
		return plusSign, 0, 1
	} else if c < utf8.RuneSelf {
		return other, 0, 1
	}
	r, size := utf8.DecodeRuneInString(s)
	if isSeparator(r) {
		return separator, 0, size
	}
	if r == 0xFF0B {
		return plusSign, 0, size
	}
	for _, zero := range zeros {
		if d := uint32(r - zero); d <= 9 {
			return digitOf, uint64(d), size
		}
	}
	return other, 0, size
}

// zeros are those of the digit sets in use in India; each set is ten code points long: Arabic-Indic and its extended form
// (Urdu), Devanagari, Bengali, Gurmukhi, Gujarati, Oriya, Tamil, Telugu, Kannada, Malayalam, Ol Chiki, Meetei Mayek, and
// the full-width forms of East Asian keyboards.
var zeros = [...]rune{
	0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x1C50, 0xABF0, 0xFF10,
}

// isSeparator tells whether people write r, beyond ASCII, between digits: spaces, dashes, the full-width forms of
// separators, and the invisible direction marks that come along when a number is copied from a contact list.
func isSeparator(r rune) bool {
	switch r {
	case 0x00A0, 0x2007, 0x202F, 0x3000, 0x2212, 0xFF08, 0xFF09, 0xFF0D, 0xFF0E:
		return true
	}
	return r >= 0x200E && r <= 0x2015 || r >= 0x202A && r <= 0x202C || r >= 0x2066 && r <= 0x2069
}
