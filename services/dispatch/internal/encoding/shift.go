package encoding

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// Shift names the national language tables of a header (3GPP TS 23.038 §6.2.1.2.4, annex A): 1 Turkish, 2 Spanish, 3
// Portuguese, 4 Bengali, 5 Gujarati, 6 Hindi, 7 Kannada, 8 Malayalam, 9 Oriya, 10 Punjabi, 11 Tamil, 12 Telugu, 13 Urdu.
// Zero is the default table; so are reserved values (§6.2.1.2.2).
type Shift struct {
	Locking byte // table of plain codes
	Single  byte // table of the codes after an escape
}

// Elements of a user data header that name national language tables (3GPP TS 23.040 §9.2.3.24.15, §9.2.3.24.16).
const (
	elementSingleShift  = 0x24
	elementLockingShift = 0x25
)

// languages is how many national language identifiers there are, the default, 0, among them.
const languages = 14

// national are the tables by language and code. A language without a locking table has the default one.
var national = sync.OnceValue(func() *struct{ locking, single [languages][128]rune } {
	t := &struct{ locking, single [languages][128]rune }{}
	for language := range languages {
		for code := range t.locking[language] {
			t.locking[language][code] = gsm.Basic(byte(code))
		}
		if table := lockingTables[language]; table != "" {
			copy(t.locking[language][:], []rune(table))
		}
		copy(t.single[language][:], []rune(singleTables[language]))
	}
	return t
})

// ParseShift finds the national language elements in a header that SplitUDH gave. Without any, both are zero. An element
// that overruns is ErrHeader.
func ParseShift(udh []byte) (s Shift, err error) {
	err = eachElement(udh, func(id byte, value []byte) error {
		if len(value) != 1 {
			return nil
		}
		language := value[0]
		if language >= languages {
			language = 0 // reserved: the default table
		}
		switch id {
		case elementSingleShift:
			s.Single = language
		case elementLockingShift:
			s.Locking = language
		}
		return nil
	})
	return s, err
}

// decodeShifted reads septets, one an octet, by national language tables. A code that a single shift table does not have
// reads as that of the locking one (§6.2.1.2.2).
func decodeShifted(data []byte, s Shift) string {
	t := national()
	locking, single := &t.locking[s.Locking], &t.single[s.Single]
	var b strings.Builder
	b.Grow(3 * len(data))
	shifted := false
	for _, c := range data {
		switch {
		case c >= 128:
			b.WriteRune(utf8.RuneError)
		case shifted && c == gsm.Escape:
			b.WriteByte(' ')
		case shifted && single[c] != 0:
			b.WriteRune(single[c])
		case c == gsm.Escape:
			shifted = true
			continue
		case locking[c] != 0:
			b.WriteRune(locking[c])
		default:
			b.WriteRune(utf8.RuneError)
		}
		shifted = false
	}
	return b.String()
}

// Part is the user data of one short message.
type Part struct {
	DataCoding byte
	UDH        []byte // as SplitUDH gave it; empty without one
	Body       []byte
}

// Join reads the parts of a concatenated message, in order, as one text: a pair of codes that was cut between two parts
// is read whole. Errors are those of Decode and ErrHeader.
func Join(parts []Part) (string, error) {
	var b strings.Builder
	for i := 0; i < len(parts); {
		first, err := ParseShift(parts[i].UDH)
		if err != nil {
			return "", err
		}
		data := parts[i].Body
		n := i + 1
		for ; n < len(parts) && parts[n].DataCoding == parts[i].DataCoding; n++ {
			next, err := ParseShift(parts[n].UDH)
			if err != nil {
				return "", err
			}
			if next != first {
				break
			}
			data = append(data[:len(data):len(data)], parts[n].Body...)
		}
		text, err := decode(parts[i].DataCoding, data, first)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		i = n
	}
	return b.String(), nil
}

// decode is Decode with national language tables, which only the GSM alphabet has.
func decode(dataCoding byte, data []byte, s Shift) (string, error) {
	alphabet := dataCoding
	if alphabet&0xF0 == 0x10 {
		alphabet &= 0x0C
	}
	if alphabet == 0 && s != (Shift{}) {
		return decodeShifted(data, s), nil
	}
	return Decode(dataCoding, data)
}
