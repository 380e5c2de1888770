package content

import (
	"slices"
	"unicode/utf8"
)

// place is where a byte of the folded text came from: the byte of its character (32 bits), the characters before it (24)
// and the bytes of its character (8).
type place uint64

func placeOf(at, runes, size int) place { return place(at)<<32 | place(runes)<<8 | place(size) }

func (p place) at() int    { return int(p >> 32) }
func (p place) runes() int { return int(p >> 8 & (1<<24 - 1)) }
func (p place) size() int  { return int(p & 0xFF) }

// fold copies text into the scratch memory: digits of Indian scripts and Arabic ones and full-width forms to ASCII, blanks
// and dashes of all sorts to the plain ones, zero-width characters dropped. It tells whether text was plain ASCII.
func (s *Scanner) fold(text string) (ascii bool) {
	s.text = append(s.text[:0], text...)
	s.n = len(text)
	ascii = isASCII(s.text)
	if !ascii {
		s.origin = slices.Grow(s.origin[:0], len(text))[:len(text)]
		s.n = foldScripts(s.text, s.origin, text)
	}
	var zeros [pad]byte
	s.text = append(s.text[:s.n], zeros[:]...)
	return ascii
}

// foldScripts writes the folded text and its origin, neither longer than text, and answers how long they are.
func foldScripts(out []byte, origin []place, text string) (n int) {
	runes := 0
	for i := 0; i < len(text); runes++ {
		c := text[i]
		if c < utf8.RuneSelf {
			out[n], origin[n] = c, placeOf(i, runes, 1)
			n++
			i++
			continue
		}
		size := 3
		if !isIndian(text, i) {
			_, size = utf8.DecodeRuneInString(text[i:])
		}
		p := placeOf(i, runes, size)
		switch plain := simpler(text[i : i+size]); plain {
		case keep:
			for j := range size {
				out[n+j], origin[n+j] = text[i+j], p
			}
			n += size
		case drop:
		default:
			out[n], origin[n] = byte(plain), p
			n++
		}
		i += size
	}
	return n
}

// isIndian tells well-formed characters of U+0800 to U+0FFF, where the scripts of India are, without decoding them.
func isIndian(text string, i int) bool {
	return i+2 < len(text) && text[i] == 0xE0 && text[i+1]-0xA0 < 0x20 && text[i+2]-0x80 < 0x40
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
	case a == 0xE0 && c < 0xA6: // most letters of India
		return keep
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
		f.Start, f.RuneStart = first.at(), first.runes()
		f.End, f.RuneEnd = last.at()+last.size(), last.runes()+1
	}
}
