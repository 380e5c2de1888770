package gsm

import (
	"math/bits"
	"unicode/utf8"
)

// Size is what a text costs.
type Size struct {
	Alphabet Alphabet
	Units    int // septets (extension characters count two) or UTF-16 code units
	Segments int // 0 for the empty text; may exceed 255, the most a header can count
}

// Measure counts without encoding and without allocating. An invalid octet
// counts as U+FFFD, one UCS-2 unit.
func Measure(text string) Size {
	units, shifts, at := septets(text)
	if at < len(text) {
		units, pairs := utf16Units(text)
		return Size{UCS2, units, segments(text, UCS2, units, pairs)}
	}
	return Size{GSM7, units, segments(text, GSM7, units, shifts)}
}

// Unencodable finds the first character that is not in the GSM alphabet, which
// forces the whole text into UCS-2, and its octet offset. ok is false when there
// is none.
func Unencodable(text string) (r rune, offset int, ok bool) {
	_, _, at := septets(text)
	if at == len(text) {
		return 0, 0, false
	}
	r, _ = utf8.DecodeRuneInString(text[at:])
	return r, at, true
}

// septets counts GSM septets and extension characters up to the first character
// outside the alphabet; at is its offset, or len(text).
func septets(text string) (units, shifts, at int) {
	for at < len(text) {
		if n := plainRun(text[at:]); n > 0 {
			at, units = at+n, units+n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		switch c := Code(r); {
		case c == NoCode:
			return units, shifts, at
		case c&Shifted != 0:
			units, shifts = units+2, shifts+1
		default:
			units++
		}
		at += size
	}
	return units, shifts, at
}

// Words of eight equal octets, for looking at eight octets at a time.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// load reads the eight octets from at on, the first lowest.
func load(s string, at int) uint64 {
	_ = s[at+7]
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24 |
		uint64(s[at+4])<<32 | uint64(s[at+5])<<40 | uint64(s[at+6])<<48 | uint64(s[at+7])<<56
}

// plainRun returns how many octets at the start, in eights, are ASCII characters
// of one septet each, as odd tells them. Four words at a time leave the processor
// something to overlap.
func plainRun(s string) int {
	n := 0
	for ; n <= len(s)-32; n += 32 {
		four := s[n : n+32]
		if (odd(load(four, 0))|odd(load(four, 8))|odd(load(four, 16))|odd(load(four, 24)))&highs != 0 {
			break
		}
	}
	for n <= len(s)-8 && odd(load(s[n:n+8], 0))&highs == 0 {
		n += 8
	}
	return n
}

// odd has a high bit set when any of eight octets is none of 0x20-0x5A and
// 0x61-0x7A: beyond ASCII; above 0x7A with bit 5 folded in; a control; the grave
// accent. An octet that is fine cannot raise its neighbour's bit, and one that is
// not may: the answer is for all eight. The underscore is of one septet too, yet
// left to the slow way.
func odd(v uint64) uint64 {
	return v | ((v | 0x20*ones) + 5*ones) | (v - 0x20*ones) | ((v ^ 0x60*ones) - ones)
}

// utf16Units counts UTF-16 code units and surrogate pairs of a text. In valid
// UTF-8 every octet that is not a continuation begins a character, and those
// from 0xF0 on begin a pair.
func utf16Units(text string) (units, pairs int) {
	if !utf8.ValidString(text) {
		return utf16UnitsInvalid(text)
	}
	at := 0
	for ; len(text)-at >= 8; at += 8 {
		v := load(text, at)
		continuations := v & highs &^ (v << 1)              // 10xxxxxx
		fours := v & (v << 1) & (v << 2) & (v << 3) & highs // 1111xxxx
		n := bits.OnesCount64(fours)
		units += 8 - bits.OnesCount64(continuations) + n
		pairs += n
	}
	for ; at < len(text); at++ {
		switch b := text[at]; {
		case b >= 0xF0:
			units, pairs = units+2, pairs+1
		case b&0xC0 != 0x80:
			units++
		}
	}
	return units, pairs
}

func utf16UnitsInvalid(text string) (units, pairs int) {
	for _, r := range text {
		units++
		if r > 0xFFFF {
			units, pairs = units+1, pairs+1
		}
	}
	return units, pairs
}

// segments counts segments. Only characters of two units make the count differ
// from the quotient.
func segments(text string, a Alphabet, units, doubles int) int {
	single, part := a.Limits()
	switch {
	case units == 0:
		return 0
	case units <= single:
		return 1
	case doubles == 0:
		return (units + part - 1) / part
	}
	n, room := 1, part
	for _, r := range text {
		w := Width(r, a)
		if w > room {
			n, room = n+1, part
		}
		room -= w
	}
	return n
}

// Width returns the units of one character, which must be in the alphabet.
func Width(r rune, a Alphabet) int {
	if a == UCS2 && r > 0xFFFF || a == GSM7 && Code(r)&Shifted != 0 {
		return 2
	}
	return 1
}
