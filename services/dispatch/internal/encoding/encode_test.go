package encoding

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// cases are those by which package gsm measures: what is predicted is what is made. An entry is as below.
const cases = "../../../internal/gsm/testdata/cases/*.json"

type testCase struct {
	Description string
	Text        []struct {
		S     string
		Times int
	}
	Want struct {
		Alphabet        string
		Units, Segments int
	}
}

func (c *testCase) text() string {
	var b strings.Builder
	for _, part := range c.Text {
		b.WriteString(strings.Repeat(part.S, part.Times))
	}
	return b.String()
}

func TestCases(t *testing.T) {
	files, err := filepath.Glob(cases)
	if err != nil || len(files) < 13 {
		t.Fatalf("%d case files, want at least 13: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []testCase
		if err := json.Unmarshal(raw, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range cases {
			t.Run(filepath.Base(file)+"/"+c.Description, func(t *testing.T) { checkCase(t, &c) })
		}
	}
}

func checkCase(t *testing.T, c *testCase) {
	text := c.text()
	m, err := Encode(text, 7)
	if err != nil {
		t.Fatal(err)
	}
	if m.Alphabet.String() != c.Want.Alphabet || m.Units != c.Want.Units || m.Size.Segments != c.Want.Segments {
		t.Errorf("got %v %d units %d segments, want %+v", m.Alphabet, m.Units, m.Size.Segments, c.Want)
	}
	checkMessage(t, text, &m)
}

// checkMessage holds a message against its text and the rules, by other means
// than those that made it.
func checkMessage(t *testing.T, text string, m *Message) {
	t.Helper()
	if want := max(1, m.Size.Segments); len(m.Segments) != want {
		t.Fatalf("%d segments made, %d predicted", len(m.Segments), want)
	}
	var back strings.Builder
	for i, segment := range m.Segments {
		if m.UDHI {
			want := []byte{5, 0, 3, 7, byte(len(m.Segments)), byte(i + 1)}
			udh, body, err := SplitUDH(segment)
			if err != nil || !cmp.Equal(udh, want) {
				t.Fatalf("segment %d: header % x, %v, want % x", i+1, udh, err, want)
			}
			segment = body
		}
		part, err := Decode(m.DataCoding, segment)
		if err != nil {
			t.Fatal(err)
		}
		back.WriteString(part) // a split pair would not decode to the original
		checkRoom(t, m, len(segment))
	}
	if back.String() != text {
		t.Fatalf("decodes to %q, want %q", back.String(), text)
	}
}

func checkRoom(t *testing.T, m *Message, octets int) {
	t.Helper()
	limit := map[bool]map[gsm.Alphabet]int{false: {gsm.GSM7: 160, gsm.UCS2: 140}, true: {gsm.GSM7: 153, gsm.UCS2: 134}}
	if octets > limit[m.UDHI][m.Alphabet] {
		t.Fatalf("segment of %d octets", octets)
	}
}

// checkEncodes holds what is made against what was measured.
func checkEncodes(t *testing.T, text string) {
	t.Helper()
	size := gsm.Measure(text)
	m, err := Encode(text, 7)
	var long *TooLongError
	switch {
	case size.Segments > MaxSegments && errors.As(err, &long) && long.Segments == size.Segments:
	case err != nil:
		t.Fatalf("%q: %v", text, err)
	default:
		checkMessage(t, text, &m)
	}
}

func TestEncodesAsMeasured(t *testing.T) {
	// Pieces of one, two and no septets and of one and two UTF-16 units, at
	// lengths around the borders of segments.
	pieces := []string{"a", "€", "{", "é", "_", "न", "😀", "abc{efgh"}
	for _, fill := range pieces {
		for _, other := range pieces {
			for _, n := range []int{0, 1, 33, 34, 65, 66, 67, 69, 70, 132, 133, 151, 152, 153, 158, 159, 160, 305} {
				checkEncodes(t, strings.Repeat(fill, n)+other+strings.Repeat(fill, n/2))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	var long *TooLongError
	if _, err := Encode(strings.Repeat("a", 255*153+1), 0); !errors.As(err, &long) || long.Segments != 256 {
		t.Errorf("err = %v, want 256 segments too long", err)
	}
	var invalid *InvalidUTF8Error
	if _, err := Encode("ok\ufffd\xff", 0); !errors.As(err, &invalid) || invalid.Offset != 5 {
		t.Errorf("err = %v, want invalid at 5", err)
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "hello {world} €", "नमस्ते", "😀`\t", "ok\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.ValidString(text) {
			checkEncodes(t, text)
			return
		}
		if _, err := Encode(text, 0); err == nil {
			t.Fatal("invalid UTF-8 was encoded")
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, text := range benchTexts() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(text, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchTexts() map[string]string {
	return map[string]string{
		"ascii160":  strings.Repeat("Your OTP is 123456. ", 8),
		"ascii480":  strings.Repeat("Your OTP is 123456. ", 24),
		"hindi70":   strings.Repeat("ऑर्डरभेज", 9)[:70*3],
		"hindi160":  strings.Repeat("ऑर्डरभेज", 20),
		"extension": strings.Repeat("{a}[b]", 60),
	}
}
