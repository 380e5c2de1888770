package encoding_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
)

// Handsets in India may write with the tables of 3GPP TS 23.038 annex A; each word here is its codes by hand.
func TestNationalLanguageTables(t *testing.T) {
	for name, c := range map[string]struct {
		shift []byte // elements of the header
		body  []byte
		want  string
	}{
		"Hindi, locking":        {[]byte{0x25, 1, 6}, []byte{0x40, 0x15}, "बक"},
		"Hindi digits, single":  {[]byte{0x24, 1, 6}, []byte{0x1B, 0x1C, 0x1B, 0x1D, 'A'}, "०१A"},
		"Tamil digits, single":  {[]byte{0x24, 1, 11}, []byte{0x1B, 0x1C, 0x1B, 0x25}, "௦௯"},
		"Turkish, single":       {[]byte{0x24, 1, 1}, []byte{0x1B, 0x53}, "Ş"},
		"reserved is default":   {[]byte{0x25, 1, 99}, []byte("STOP"), "STOP"},
		"code single lacks":     {[]byte{0x24, 1, 1}, []byte{0x1B, 'x'}, "x"},
		"escape after escape":   {[]byte{0x24, 1, 6}, []byte{0x1B, 0x1B, 'x'}, " x"},
		"not a septet":          {[]byte{0x25, 1, 6}, []byte{0x80}, "\uFFFD"},
		"default extension":     {nil, []byte{0x1B, 0x65}, "€"},
		"Portuguese, both":      {[]byte{0x25, 1, 3, 0x24, 1, 3}, []byte{0x1B, 0x41, 0x04}, "Àê"},
		"Spanish, single shift": {[]byte{0x24, 1, 2}, []byte{0x1B, 0x61}, "á"},
	} {
		udh := append([]byte{byte(len(c.shift))}, c.shift...)
		got, err := encoding.Join([]encoding.Part{{UDH: udh, Body: c.body}})
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// The first columns of two tables of annex A, character by character.
func TestTablesOfAnnexA(t *testing.T) {
	for language, want := range map[byte]string{
		6: "ँंःअआइईउऊऋ\nऌऍ\rऎएऐऑऒओऔकखगघङच\x1bछजझञ !टठडढणत)(थद,ध.न0123456789:;ऩपफ?बभमयरऱलळऴवशषसह़ऽािीुूृॄॅॆेैॉॊोौ्ॐ",
		5: "ઁંઃઅઆઇઈઉઊઋ\nઌઍ\r\x00એઐઑ\x00ઓઔકખગઘઙચ\x1bછજઝઞ !ટઠડઢણત)(થદ,ધ.ન0123456789:;\x00પફ?બભમયર\x00લળ\x00વશષસહ઼ઽાિીુૂૃૄૅ\x00ેૈૉ\x00ોૌ્ૐ",
	} {
		for code, r := range []rune(want) {
			if r == 0 || r == 0x1B {
				continue
			}
			if got, err := encoding.Join([]encoding.Part{{UDH: []byte{3, 0x25, 1, language}, Body: []byte{byte(code)}}}); err != nil || got != string(r) {
				t.Errorf("language %d code %#x: %q, want %q", language, code, got, r)
			}
		}
	}
}

// Every table has a character for each digit and letter that annex A gives it, and the escape is none.
func TestEveryLanguageReadsDigitsAndLetters(t *testing.T) {
	for language := range byte(14) {
		udh := []byte{6, 0x25, 1, language, 0x24, 1, language}
		if got, err := encoding.Join([]encoding.Part{{UDH: udh, Body: []byte("0123456789 abcxyz\r\n")}}); err != nil || got != "0123456789 abcxyz\r\n" {
			t.Errorf("language %d: %q, %v", language, got, err)
		}
		if got, err := encoding.Join([]encoding.Part{{UDH: udh, Body: []byte("\x1b\x65\x1b\x3c\x1b\x3e")}}); err != nil || (language != 13 && got != "€[]") {
			t.Errorf("language %d, escapes: %q, %v", language, got, err)
		}
	}
}

// What is cut between two parts reads whole: surrogate pairs, escape pairs.
func TestJoinReadsWhatWasCut(t *testing.T) {
	emoji := []byte{0xD8, 0x3D, 0xDE, 0x00} // U+1F600
	for name, c := range map[string]struct {
		parts []encoding.Part
		want  string
	}{
		"surrogate pair":   {[]encoding.Part{{DataCoding: 8, Body: emoji[:2]}, {DataCoding: 8, Body: emoji[2:]}}, "😀"},
		"escape pair":      {[]encoding.Part{{Body: []byte{'a', 0x1B}}, {Body: []byte{0x65, 'b'}}}, "a€b"},
		"two codings":      {[]encoding.Part{{Body: []byte("a")}, {DataCoding: 8, Body: emoji}}, "a😀"},
		"two shift tables": {[]encoding.Part{{UDH: []byte{3, 0x24, 1, 6}, Body: []byte{0x1B, 0x1C}}, {UDH: []byte{3, 0x24, 1, 11}, Body: []byte{0x1B, 0x1C}}}, "०௦"},
	} {
		if got, err := encoding.Join(c.parts); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
	if _, err := encoding.Join([]encoding.Part{{UDH: []byte{3, 0x25, 9, 1}, Body: []byte("x")}}); !errors.Is(err, encoding.ErrHeader) {
		t.Errorf("an element that overruns: %v", err)
	}
}

// Whatever is sent is read back from its segments.
func FuzzJoin(f *testing.F) {
	f.Add("a€b", uint8(7))
	f.Add(strings.Repeat("न", 80)+"😀", uint8(1))
	f.Fuzz(func(t *testing.T, text string, ref uint8) {
		m, err := encoding.Encode(text, ref)
		if err != nil || !utf8.ValidString(text) {
			return
		}
		parts := make([]encoding.Part, 0, len(m.Segments))
		for _, s := range m.Segments {
			p := encoding.Part{DataCoding: m.DataCoding, Body: s}
			if m.UDHI {
				if p.UDH, p.Body, err = encoding.SplitUDH(s); err != nil {
					t.Fatal(err)
				}
			}
			parts = append(parts, p)
		}
		if got, err := encoding.Join(parts); err != nil || got != text {
			t.Errorf("%q reads as %q, %v", text, got, err)
		}
	})
}
