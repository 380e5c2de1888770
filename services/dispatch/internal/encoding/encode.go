package encoding

import (
	"fmt"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// MaxSegments is the most segments a concatenated message can have: its total
// is one octet (3GPP TS 23.040 §9.2.3.24.1).
const MaxSegments = 255

// udhLen is the length of a concatenation header with an 8-bit reference.
const udhLen = 6

// Message is a text, encoded and cut.
type Message struct {
	gsm.Size
	DataCoding byte     // SMPP data_coding: 0x00 or 0x08
	UDHI       bool     // segments begin with a header: set bit 0x40 of esm_class
	Segments   [][]byte // short_message of each submit_sm, at most 160 or 140 octets
}

// TooLongError is a text of more than MaxSegments segments.
type TooLongError struct {
	Segments int
}

// Error implements error.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("encoding: %d segments, at most %d", e.Segments, MaxSegments)
}

// InvalidUTF8Error is a text that is not valid UTF-8: it could not be sent
// without changing it.
type InvalidUTF8Error struct {
	Offset int // of the first bad octet
}

// Error implements error.
func (e *InvalidUTF8Error) Error() string {
	return fmt.Sprintf("encoding: invalid UTF-8 at octet %d", e.Offset)
}

// Encode encodes a text and cuts it into segments; ref is the reference number
// that ties the segments of one message together for its recipient. The empty
// text gives one empty segment. Errors are *TooLongError and *InvalidUTF8Error.
func Encode(text string, ref byte) (Message, error) {
	size := gsm.Measure(text)
	if size.Segments > MaxSegments {
		return Message{}, &TooLongError{Segments: size.Segments}
	}
	if size.Alphabet == gsm.UCS2 && !utf8.ValidString(text) {
		return Message{}, &InvalidUTF8Error{Offset: firstInvalid(text)}
	}
	m := Message{Size: size, DataCoding: size.Alphabet.DataCoding(), UDHI: size.Segments > 1}
	if m.UDHI {
		m.Segments = cut(text, size, ref)
		return m, nil
	}
	block := make([]byte, 0, 2*size.Units)
	for _, r := range text {
		block = appendRune(block, r, size.Alphabet)
	}
	m.Segments = [][]byte{block}
	return m, nil
}

// cut encodes into segments with headers; all share one block of memory.
func cut(text string, size gsm.Size, ref byte) [][]byte {
	_, part := size.Alphabet.Limits()
	block := make([]byte, 0, size.Segments*udhLen+2*size.Units)
	out := make([][]byte, 0, size.Segments)
	start, room := 0, 0
	for _, r := range text {
		w := gsm.Width(r, size.Alphabet)
		if w > room {
			out = appendSegment(out, block[start:])
			start, room = len(block), part
			block = append(block, 5, 0, 3, ref, byte(size.Segments), byte(len(out)+1))
		}
		room -= w
		block = appendRune(block, r, size.Alphabet)
	}
	return appendSegment(out, block[start:])
}

func appendSegment(out [][]byte, segment []byte) [][]byte {
	if len(segment) == 0 {
		return out
	}
	return append(out, segment[:len(segment):len(segment)])
}

// appendRune writes one character, which must be in the alphabet.
func appendRune(dst []byte, r rune, a gsm.Alphabet) []byte {
	if a == gsm.UCS2 {
		if r > 0xFFFF {
			r -= 0x10000
			hi, lo := 0xD800+r>>10, 0xDC00+r&0x3FF
			return append(dst, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		}
		return append(dst, byte(r>>8), byte(r))
	}
	c := gsm.Code(r)
	if c&gsm.Shifted != 0 {
		return append(dst, gsm.Escape, c&^gsm.Shifted)
	}
	return append(dst, c)
}

func firstInvalid(text string) int {
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
			return i
		}
	}
	return len(text)
}
