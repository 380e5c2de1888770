package content_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// check is what holds of the findings of any text.
func check(t *testing.T, text string, findings []content.Finding) {
	t.Helper()
	end := 0
	for _, f := range findings {
		if f.Start < end || f.End <= f.Start || f.End > len(text) || f.Kind > content.URLData {
			t.Fatalf("%q: %+v overlaps or is out of the text", text, f)
		}
		if f.RuneStart != utf8.RuneCountInString(text[:f.Start]) || f.RuneEnd != utf8.RuneCountInString(text[:f.End]) {
			t.Fatalf("%q: %+v: runes are not those of the bytes", text, f)
		}
		end = f.End
	}
}

// FuzzAppend looks for a text that panics, or whose findings overlap, change with what was scanned before, or are not
// those of the text written in Devanagari digits.
func FuzzAppend(f *testing.F) {
	for _, text := range []string{clean, hits(480), cleanHindi, "\xff\xfe@a.b\xe0\xa5", "password is \u200bA@1", "1 2 3 4 5 6 7 8 9 0 1 2",
		"://a?pan=1&pan=2", strings.Repeat("4111 ", 30), "@", "a/c", "is your otp 1234", "Ａ４@ｙｂｌ"} {
		f.Add(text)
	}
	var used content.Scanner
	f.Fuzz(func(t *testing.T, text string) {
		var fresh content.Scanner
		want := fresh.Append(nil, text)
		check(t, text, want)
		got := used.Append([]content.Finding{{Kind: content.IFSC}}, text)
		if fmt.Sprint(got[1:]) != fmt.Sprint(want) || got[0] != (content.Finding{Kind: content.IFSC}) {
			t.Fatalf("%q: %v, by a used scanner %v", text, want, got)
		}
		hindi := devanagari(text)
		folded := fresh.Append(nil, hindi)
		check(t, hindi, folded)
		if utf8.ValidString(text) && kindsOf(folded) != kindsOf(want) {
			t.Fatalf("%q: %s, with other digits %s", text, kindsOf(want), kindsOf(folded))
		}
	})
}

func devanagari(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + '०'
		}
		return r
	}, text)
}

func kindsOf(findings []content.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprint(&b, f.Kind, f.Certain, f.RuneStart, f.RuneEnd, " ")
	}
	return b.String()
}

// TestFalseAlarms measures how often numbers of payments and of DLT are taken for something else. None may block.
func TestFalseAlarms(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	rrn := func() string { // last digit of the year, day of it, hour, six digits of a counter (NPCI)
		return fmt.Sprintf("6%03d%02d%06d", 1+r.IntN(365), r.IntN(24), r.IntN(1_000_000))
	}
	dlt := func() string { return []string{"10", "11", "12", "13", "17"}[r.IntN(5)] + digitsN(r, 17) }
	tests := []struct {
		name, text string
		value      func() string
		warned     float64 // at most this share is found at all
	}{
		{"RRN alone", "%s", rrn, 0.11},
		{"RRN in its words", "Rs 500 paid to shop@ybl. UPI Ref %s", rrn, 0},
		{"RRN before its word", "%s is the UTR of your transfer", rrn, 0},
		{"DLT id alone", "%s", dlt, 0},
		{"DLT id in its words", "Template %s approved", dlt, 0},
		{"19 digits of any kind", "%s", func() string { return digitsN(r, 19) }, 0.03},
		{"order number of ten digits", "Order %s shipped", func() string { return digitsN(r, 10) }, 0},
		{"air waybill of twelve digits", "AWB %s out for delivery", func() string { return digitsN(r, 12) }, 0},
	}
	const n = 40_000
	var s content.Scanner
	for _, test := range tests {
		found, blocked := 0, 0
		for range n {
			var numbers []content.Finding
			for _, f := range s.Append(nil, fmt.Sprintf(test.text, test.value())) {
				if f.Kind != content.VPA {
					numbers = append(numbers, f)
				}
			}
			if len(numbers) > 0 {
				found++
			}
			if content.Judge(nil, policy.Service, numbers, now).Action == content.Block {
				blocked++
			}
		}
		t.Logf("%-30s found %5.2f %%, blocked %5.2f %%", test.name, 100*float64(found)/n, 100*float64(blocked)/n)
		if float64(found)/n > test.warned || blocked > 0 {
			t.Errorf("%s: %d found, %d blocked of %d", test.name, found, blocked, n)
		}
	}
}
