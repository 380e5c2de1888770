package template

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalise gives text in NFC with CRLF and CR as LF, the form in which templates and texts are compared and sent.
// Nothing is trimmed; bytes that are not UTF-8 become U+FFFD. changed tells whether the text was in another form.
func Normalise(text string) (normal string, changed bool) {
	at := plainRun(text)
	for at < len(text) && text[at] < utf8.RuneSelf && text[at] != '\r' {
		at++
	}
	if at == len(text) {
		return text, false
	}
	normal = text
	if strings.IndexByte(normal, '\r') >= 0 {
		normal = strings.ReplaceAll(normal, "\r\n", "\n")
		normal = strings.ReplaceAll(normal, "\r", "\n")
	}
	normal = strings.ToValidUTF8(normal, "\ufffd")
	if !norm.NFC.IsNormalString(normal) {
		normal = norm.NFC.String(normal)
	}
	return normal, normal != text
}

// invisible finds the first character that a reader cannot see or that turns the text around: C0 and C1 controls but
// LF, bidi controls, zero-width characters, tags. The joiners U+200C and U+200D are allowed inside words of Indic
// scripts, between letters and after a virama, whose conjuncts and final forms need them. It answers the byte offset, -1
// when there is none.
func invisible(text string) int {
	if at := plainRun(text); at < len(text) {
		return invisibleFrom(text, at)
	}
	return -1
}

// plainRun is how many octets at the start are ASCII that prints, or LF. It looks at eight at a time while none is LF.
func plainRun(text string) int {
	at := 0
	for at < len(text) {
		if len(text)-at >= 8 && odd(load(text[at:at+8])) == 0 {
			at += 8
			continue
		}
		if c := text[at]; c >= 0x7f || c < ' ' && c != '\n' {
			break
		}
		at++
	}
	return at
}

// load reads eight octets, the first lowest.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// odd is 0 when all of eight octets are of 0x20-0x7E: one that is beyond ASCII, 0x7F or a control leaves a high bit, its own
// or a neighbour's.
func odd(v uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	return (v | (v + ones) | (v - 0x20*ones)) & highs
}

// invisibleFrom is invisible from an offset before which all is ASCII.
func invisibleFrom(text string, start int) int {
	before := rune(0)
	for i, r := range text[start:] {
		i += start
		switch {
		case r >= 0x20 && r < 0x7f, r == '\n':
		case r == '\u200c' || r == '\u200d':
			after, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
			if !indic(before) || !indic(after) && !virama(before) {
				return i
			}
		case hidden(r):
			return i
		}
		before = r
	}
	return -1
}

// virama tells whether r is the sign of an Indic script that takes a consonant's vowel away.
func virama(r rune) bool {
	return r >= 0x0900 && r <= 0x0d7f && r&0x7f == 0x4d || r == 0x0dca
}

// hidden holds the ranges that are refused anywhere.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0 and C1 controls
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0x180e, r == 0xfeff: // soft hyphen, joiner, Arabic mark, vowel separator, BOM
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e: // zero width and direction
	case r >= 0x2028 && r <= 0x2029, r >= 0x2060 && r <= 0x206f: // separators, word joiner, isolates
	case r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0: // Hangul fillers
	case r >= 0xe0000 && r <= 0xe007f: // tags
	default:
		return false
	}
	return true
}

// indic tells whether r is a letter or mark of an Indic script, Devanagari to Sinhala.
func indic(r rune) bool {
	return r >= 0x0900 && r <= 0x0dff && (unicode.IsLetter(r) || unicode.IsMark(r))
}

// units counts the UTF-16 code units of a rune: the unit of all limits, stricter than runes for emoji.
func units(r rune) int {
	if r >= 0x10000 {
		return 2
	}
	return 1
}

// length counts the UTF-16 code units of a text.
func length(text string) int {
	n := 0
	for _, r := range text {
		n += units(r)
	}
	return n
}

// ignored tells whether a lenient operator passes over r in fixed text: white space, punctuation, symbols.
func ignored(r rune) bool {
	if r < utf8.RuneSelf {
		g := ascii[r]
		return g > letters && g != control || r >= '\t' && r <= '\r'
	}
	return unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsSymbol(r)
}

// agreement is the length of the common beginning of a and b, in bytes of whole characters.
func agreement(a, b string) int {
	const chunk = 16
	n, most := 0, min(len(a), len(b))
	for n+chunk <= most && a[n:n+chunk] == b[n:n+chunk] {
		n += chunk
	}
	for n < most && a[n] == b[n] {
		n++
	}
	for n > 0 && (n < len(a) && !utf8.RuneStart(a[n]) || n < len(b) && !utf8.RuneStart(b[n])) {
		n--
	}
	return n
}

// distinct is text without white space, punctuation and symbols: what a lenient operator compares.
func distinct(text string) string {
	return strings.Map(func(r rune) rune {
		if ignored(r) {
			return -1
		}
		return r
	}, text)
}
