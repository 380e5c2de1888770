package content

import "unicode/utf8"

// place is where a byte of the folded text came from.
type place struct {
	at    int32 // byte of its character
	runes int32 // characters before it
	size  uint8 // bytes of its character
}

// fold copies text into the scratch memory: digits of Indian scripts and Arabic ones and full-width forms to ASCII, blanks
// and dashes of all sorts to the plain ones, zero-width characters dropped. It tells whether text was plain ASCII.
func (s *Scanner) fold(text string) (ascii bool) {
	s.text = append(s.text[:0], text...)
	ascii = isASCII(s.text)
	if !ascii {
		s.text, s.origin = s.text[:0], s.origin[:0]
		for i, runes := 0, int32(0); i < len(text); runes++ {
			i += s.character(text, i, runes)
		}
	}
	s.n = len(s.text)
	var zeros [pad]byte
	s.text = append(s.text, zeros[:]...)
	return ascii
}

func isASCII(b []byte) bool {
	var all uint64
	for ; len(b) >= 8; b = b[8:] {
		all |= load8(b, 0)
	}
	for _, c := range b {
		all |= uint64(c)
	}
	return all&0x8080808080808080 == 0
}

const (
	keep = -1 // copy the character as it is
	drop = -2 // it is invisible
)

// character folds the character at i and answers its size.
func (s *Scanner) character(text string, i int, runes int32) int {
	c := text[i]
	if c < utf8.RuneSelf {
		s.push(c, place{int32(i), runes, 1})
		return 1
	}
	_, size := utf8.DecodeRuneInString(text[i:])
	p := place{int32(i), runes, uint8(size)}
	switch plain := simpler(text[i : i+size]); plain {
	case keep:
		for j := range size {
			s.push(text[i+j], p)
		}
	case drop:
	default:
		s.push(byte(plain), p)
	}
	return size
}

func (s *Scanner) push(c byte, p place) {
	s.text, s.origin = append(s.text, c), append(s.origin, p)
}

// simpler answers the ASCII byte a character stands for, keep or drop.
func simpler(c string) int {
	switch len(c) {
	case 2:
		return simpler2(c[0], c[1])
	case 3:
		return simpler3(c[0], c[1], c[2])
	}
	return keep
}

func simpler2(a, b byte) int {
	switch {
	case a == 0xC2 && b == 0xA0: // no-break space
		return ' '
	case a == 0xC2 && b == 0xAD: // soft hyphen
		return drop
	case a == 0xD9 && b >= 0xA0 && b <= 0xA9: // Arabic-Indic digits
		return '0' + int(b-0xA0)
	case a == 0xDB && b >= 0xB0 && b <= 0xB9: // their extended (Urdu) forms
		return '0' + int(b-0xB0)
	}
	return keep
}

func simpler3(a, b, c byte) int {
	switch {
	// The digits of Devanagari, Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada and Malayalam lie 0x80 apart.
	case a == 0xE0 && b >= 0xA5 && b <= 0xB5 && b&1 == 1 && c >= 0xA6 && c <= 0xAF:
		return '0' + int(c-0xA6)
	case a == 0xEF && b == 0xBC && c >= 0x81: // full-width forms
		return '!' + int(c-0x81)
	case a == 0xEF && b == 0xBD && c <= 0x9E:
		return '`' + int(c-0x80)
	case a == 0xEF && b == 0xBB && c == 0xBF: // zero-width no-break space
		return drop
	case a == 0xE2 && b == 0x80:
		return punctuation(c)
	case a == 0xE2 && b == 0x81 && c == 0xA0: // word joiner
		return drop
	case a == 0xE3 && b == 0x80 && c == 0x80: // ideographic space
		return ' '
	}
	return keep
}

// punctuation folds U+2000 to U+203F by its last byte.
func punctuation(c byte) int {
	switch {
	case c <= 0x8A, c == 0xAF: // blanks
		return ' '
	case c <= 0x8F: // zero-width space, joiners, marks of direction
		return drop
	case c <= 0x95: // hyphens and dashes
		return '-'
	case c == 0xA8, c == 0xA9: // line and paragraph separator
		return '\n'
	}
	return keep
}

// unfold turns offsets in the folded text into those of the text as given.
func (s *Scanner) unfold(ascii bool) {
	for i := s.own; i < len(s.dst); i++ {
		f := &s.dst[i]
		if ascii {
			f.RuneStart, f.RuneEnd = f.Start, f.End
			continue
		}
		first, last := s.origin[f.Start], s.origin[f.End-1]
		f.Start, f.RuneStart = int(first.at), int(first.runes)
		f.End, f.RuneEnd = int(last.at)+int(last.size), int(last.runes)+1
	}
}
