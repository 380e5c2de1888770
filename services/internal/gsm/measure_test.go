package gsm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// testCase is one entry of testdata/cases; dispatch encodes the same entries and must come to the same count.
type testCase struct {
	Description string
	Text        []struct {
		S     string
		Times int
	}
	Want struct {
		Alphabet        string
		Units, Segments int
		Unencodable     *struct {
			Char   string
			Offset int
		}
	}
}

func (c *testCase) text() string {
	var b strings.Builder
	for _, part := range c.Text {
		b.WriteString(strings.Repeat(part.S, part.Times))
	}
	return b.String()
}

// TestCases runs every case file: E01-E12 and more. Requirement 52: predicted segments are those that go out
// (dispatch's encoder runs the same files); requirement 53: the character that forces UCS-2 is named.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.json")
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
			t.Run(filepath.Base(file)+"/"+c.Description, func(t *testing.T) { c.check(t) })
		}
	}
}

func (c *testCase) check(t *testing.T) {
	text := c.text()
	size := gsm.Measure(text)
	if size.Alphabet.String() != c.Want.Alphabet || size.Units != c.Want.Units || size.Segments != c.Want.Segments {
		t.Errorf("got %+v, want %+v", size, c.Want)
	}
	r, offset, ok := gsm.Unencodable(text)
	if want := c.Want.Unencodable; ok != (want != nil) || ok && (string(r) != want.Char || offset != want.Offset) {
		t.Errorf("Unencodable = %q, %d, %v, want %+v", r, offset, ok, want)
	}
}

// oracle counts the plain way: character by character, greedily.
func oracle(text string) gsm.Size {
	const set = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	const double = "\f^{}\\[~]|€"
	size := gsm.Size{}
	single, part := 160, 153
	for _, r := range text {
		if !strings.ContainsRune(set+double, r) {
			size.Alphabet, single, part = gsm.UCS2, 70, 67
		}
	}
	room := 0
	for _, r := range text {
		w := 1
		if size.Alphabet == gsm.UCS2 && r > 0xFFFF || size.Alphabet == gsm.GSM7 && strings.ContainsRune(double, r) {
			w = 2
		}
		if size.Units += w; w > room {
			size.Segments, room = size.Segments+1, part
		}
		room -= w
	}
	if size.Units <= single {
		size.Segments = min(size.Segments, 1)
	}
	return size
}

func TestAgainstOracle(t *testing.T) {
	// Pieces of one, two and no septets and of one and two UTF-16 units, at lengths around the borders of segments and
	// of the eight-octet steps.
	pieces := []string{"a", "€", "{", "@", "é", "_", "न", "😀", "abcdefgh", "\n", "`", "abc{efgh"}
	for _, fill := range pieces {
		for _, other := range pieces {
			for _, n := range []int{0, 1, 7, 8, 33, 34, 65, 66, 67, 69, 70, 76, 77, 132, 133, 151, 152, 153, 158, 159, 160, 305} {
				text := strings.Repeat(fill, n) + other + strings.Repeat(fill, n/2)
				if diff := cmp.Diff(oracle(text), gsm.Measure(text)); diff != "" {
					t.Fatalf("%q: %s", text, diff)
				}
			}
		}
	}
}

// TestTables: every character of both tables has its code, and the code its character.
func TestTables(t *testing.T) {
	basic, extended := 0, 0
	for code := range byte(128) {
		if r := gsm.Basic(code); code != gsm.Escape {
			basic++
			if gsm.Code(r) != code || gsm.Width(r, gsm.GSM7) != 1 {
				t.Errorf("code %#x of %q", gsm.Code(r), r)
			}
		}
		if r, ok := gsm.Extended(code); ok {
			extended++
			if gsm.Code(r) != code|gsm.Shifted || gsm.Width(r, gsm.GSM7) != 2 {
				t.Errorf("code %#x of %q", gsm.Code(r), r)
			}
		}
	}
	if basic != 127 || extended != 10 || gsm.Code('₹') != gsm.NoCode || gsm.Width('😀', gsm.UCS2) != 2 {
		t.Errorf("%d and %d characters", basic, extended)
	}
}

func TestMeasureAllocatesNothing(t *testing.T) {
	text := strings.Repeat("नमस्ते {", 40)
	if n := testing.AllocsPerRun(10, func() { gsm.Measure(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMeasure(f *testing.F) {
	for _, s := range []string{"", "hello {world} €", "नमस्ते", "😀`\t", "ok\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if diff := cmp.Diff(oracle(text), gsm.Measure(text)); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}
