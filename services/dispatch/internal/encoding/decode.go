package encoding

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// ErrHeader says that a user data header does not fit its message.
var ErrHeader = errors.New("encoding: malformed user data header")

// DataCodingError is a data_coding Decode does not read as text.
type DataCodingError struct {
	DataCoding byte
}

// Error implements error.
func (e *DataCodingError) Error() string {
	return fmt.Sprintf("encoding: data_coding 0x%02X is no text", e.DataCoding)
}

// Decode reads user data without header as text: data_coding 0x00 (GSM, one
// septet an octet), 0x01 (ASCII), 0x03 (Latin-1), 0x08 (UCS-2), and the message
// classes of the GSM and UCS-2 groups 0x10-0x1F (3GPP TS 23.038 §4). What cannot
// be read becomes U+FFFD; an unknown extension code reads as its default
// character, as §6.2.1.1 asks. Any other coding is a *DataCodingError.
func Decode(dataCoding byte, data []byte) (string, error) {
	if dataCoding&0xF0 == 0x10 {
		dataCoding &= 0x0C
	}
	switch dataCoding {
	case 0x00:
		return decodeGSM7(data), nil
	case 0x01, 0x03:
		return decodeLatin1(data), nil
	case 0x08:
		return decodeUCS2(data), nil
	}
	return "", &DataCodingError{DataCoding: dataCoding}
}

func decodeGSM7(data []byte) string {
	var b strings.Builder
	b.Grow(len(data))
	shift := false
	for _, c := range data {
		if c == gsm.Escape && !shift {
			shift = true
			continue
		}
		b.WriteRune(septet(c, shift))
		shift = false
	}
	return b.String()
}

// septet reads one octet as a character, of the extension table where it has one there.
func septet(c byte, shift bool) rune {
	if c >= 128 {
		return utf8.RuneError
	}
	if shift {
		if r, ok := gsm.Extended(c); ok {
			return r
		}
	}
	if c == gsm.Escape {
		return ' ' // §6.2.1.1: an escape after an escape shows as space
	}
	return gsm.Basic(c)
}

func decodeLatin1(data []byte) string {
	var b strings.Builder
	b.Grow(len(data))
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// decodeUCS2 reads pairs too, since every handset writes UTF-16; a last odd
// octet becomes U+FFFD.
func decodeUCS2(data []byte) string {
	units := make([]uint16, 0, len(data)/2+1)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, uint16(data[0])<<8|uint16(data[1]))
	}
	if len(data) == 1 {
		units = append(units, utf8.RuneError)
	}
	return string(utf16.Decode(units))
}

// Concat is the concatenation element of a header. Total is 1 and Seq is 1 for
// a message that stands alone.
type Concat struct {
	Ref   uint16 // 8 or 16 bits on the wire
	Total byte   // 1..255
	Seq   byte   // 1..Total
}

// SplitUDH parts short_message into its user data header, length octet included,
// and the text after it, for a message whose esm_class has bit 0x40. It answers
// ErrHeader when the header is longer than the message.
func SplitUDH(data []byte) (udh, body []byte, err error) {
	if len(data) == 0 || int(data[0]) >= len(data) {
		return nil, nil, ErrHeader
	}
	n := int(data[0]) + 1
	return data[:n:n], data[n:], nil
}

// ParseConcat finds the concatenation element in a header that SplitUDH gave:
// 0x00 with an 8-bit or 0x08 with a 16-bit reference (3GPP TS 23.040
// §9.2.3.24.1, §9.2.3.24.8). Without one, the message stands alone. An element
// that overruns or contradicts itself is ErrHeader.
func ParseConcat(udh []byte) (Concat, error) {
	alone := Concat{Total: 1, Seq: 1}
	found := alone
	err := eachElement(udh, func(id byte, value []byte) error {
		c := alone
		switch {
		case found != alone:
			return nil
		case id == 0x00 && len(value) == 3:
			c = Concat{Ref: uint16(value[0]), Total: value[1], Seq: value[2]}
		case id == 0x08 && len(value) == 4:
			c = Concat{Ref: uint16(value[0])<<8 | uint16(value[1]), Total: value[2], Seq: value[3]}
		}
		if c.Seq == 0 || c.Seq > c.Total {
			return ErrHeader
		}
		found = c
		return nil
	})
	if err != nil {
		return alone, err
	}
	return found, nil
}

// eachElement calls visit for the elements of a header, its length octet included, until one is refused. An element that
// overruns is ErrHeader.
func eachElement(udh []byte, visit func(id byte, value []byte) error) error {
	if len(udh) == 0 {
		return nil
	}
	for rest := udh[1:]; len(rest) > 0; {
		if len(rest) < 2 || int(rest[1]) > len(rest)-2 {
			return ErrHeader
		}
		id, value := rest[0], rest[2:2+rest[1]]
		rest = rest[2+rest[1]:]
		if err := visit(id, value); err != nil {
			return err
		}
	}
	return nil
}
