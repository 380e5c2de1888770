package msisdn_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/ratiotest"
)

var update = flag.Bool("update", false, "write series.txt from libphonenumber's metadata")

// digitSets are the digits of the sets in use in India.
var digitSets = []string{"0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "੦੧੨੩੪੫੬੭੮੯", "૦૧૨૩૪૫૬૭૮૯",
	"୦୧୨୩୪୫୬୭୮୯", "௦௧௨௩௪௫௬௭௮௯", "౦౧౨౩౪౫౬౭౮౯", "೦೧೨೩೪೫೬೭೮೯", "൦൧൨൩൪൫൬൭൮൯", "᱐᱑᱒᱓᱔᱕᱖᱗᱘᱙", "꯰꯱꯲꯳꯴꯵꯶꯷꯸꯹", "０１２３４５６７８９"}

// byHand reads a number by replacing strings: it knows which digits and separators there are and nothing else.
func byHand(s string) (string, bool) {
	for _, set := range digitSets {
		value := 0
		for _, r := range set {
			s = strings.ReplaceAll(s, string(r), fmt.Sprint(value))
			value++
		}
	}
	s = strings.ReplaceAll(s, "＋", "+")
	for _, r := range " \t-.()\u00a0\u2007\u202f\u3000\u2212（）－．\u200e\u200f\u2010\u2011\u2012\u2013\u2014\u2015\u202a\u202b\u202c\u2066\u2067\u2068\u2069" {
		s = strings.ReplaceAll(s, string(r), "")
	}
	for _, prefix := range []string{"+91", "0091", "91", "0", ""} {
		rest, ok := strings.CutPrefix(s, prefix)
		if ok && len(rest) == 10 && rest[0] >= '6' && rest[0] <= '9' && strings.Trim(rest, "0123456789") == "" {
			return "+91" + rest, true
		}
	}
	return "", false
}

// write writes a number in a random form that both sides take.
func write(r *rand.Rand, national string) string {
	prefix := []string{"", "0", "+91", "+91 ", "0091"}[r.IntN(5)]
	separator := []string{"", " ", "-", ".", "\u00a0", "\u2013"}[r.IntN(6)]
	return prefix + national[:5] + separator + national[5:]
}

// TestAgainstLibphonenumber: wherever the rule is undisputed, ten digits beginning with 6 to 9 in an accepted form, both
// give the same E.164; numbers of other countries, toll-free and short ones are refused.
func TestAgainstLibphonenumber(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		in := write(r, fmt.Sprint(6_000_000_000+r.Int64N(4_000_000_000)))
		got, ok := msisdn.E164(in)
		parsed, err := phonenumbers.Parse(in, "IN")
		if err != nil {
			t.Fatal(err)
		}
		if want := phonenumbers.Format(parsed, phonenumbers.E164); !ok || got != want {
			t.Fatalf("%q: %q, %v, libphonenumber %q", in, got, ok, want)
		}
	}
	for range 20_000 {
		in := write(r, fmt.Sprintf("%d%09d", r.IntN(6), r.IntN(1_000_000_000)))
		if got, ok := msisdn.E164(in); ok {
			parsed, err := phonenumbers.Parse(in, "IN")
			if err == nil && !isMobile(parsed) {
				t.Fatalf("%q is read as %q, and is no mobile number", in, got)
			}
		}
	}
}

func isMobile(n *phonenumbers.PhoneNumber) bool {
	kind := phonenumbers.GetNumberType(n)
	return kind == phonenumbers.MOBILE || kind == phonenumbers.FIXED_LINE_OR_MOBILE
}

// oracleKnows tells whether libphonenumber takes the n-th number of a series for a mobile one.
func oracleKnows(series, n int) bool {
	national, country := uint64(series*100_000+n), int32(91)
	return isMobile(&phonenumbers.PhoneNumber{CountryCode: &country, NationalNumber: &national})
}

// TestSeries holds series.txt against libphonenumber's metadata, from which -update writes it: a series counts whole.
func TestSeries(t *testing.T) {
	if *update {
		writeSeries(t)
	}
	for series := 60_000; series < 100_000; series++ {
		n := msisdn.Number(series*100_000 + series*7%100_000)
		if want := oracleKnows(series, series*7%100_000); n.Known() != want && !*update {
			t.Fatalf("series %d: known %v, want %v; run with -update after a new release of the oracle", series, n.Known(), want)
		}
	}
	if msisdn.Number(0).Known() || msisdn.Number(10_000_000_000).Known() {
		t.Error("numbers out of range are known")
	}
}

func writeSeries(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Series given to mobile services in India, by the first five digits: facts of the National Numbering Plan as the\n" +
		"# metadata of libphonenumber 9 have them. Written by `go test -run TestSeries -update`.\n")
	for series := 60_000; series < 100_000; series++ {
		first := series
		for series < 100_000 && oracleKnows(series, 0) {
			series++
		}
		switch last := series - 1; {
		case last == first:
			fmt.Fprintln(&b, first)
		case last > first:
			fmt.Fprintf(&b, "%d-%d\n", first, last)
		}
	}
	if err := os.WriteFile("series.txt", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRatioParse (E1): at least 500 times libphonenumber's Parse, without allocation, over all forms alike.
func BenchmarkRatioParse(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	inputs := make([]string, 512)
	for i := range inputs {
		inputs[i] = write(r, fmt.Sprint(6_000_000_000+r.Int64N(4_000_000_000)))
	}
	const rounds = 100
	b.ReportAllocs()
	ratiotest.Compare(b, 500,
		ratiotest.Side{Ops: rounds * len(inputs), Run: func() {
			for range rounds {
				for _, in := range inputs {
					if _, ok := msisdn.Parse(in); !ok {
						b.Fatal("refused")
					}
				}
			}
		}},
		ratiotest.Side{Name: "libphonenumber", Ops: len(inputs), Run: func() {
			for _, in := range inputs {
				if _, err := phonenumbers.Parse(in, "IN"); err != nil {
					b.Fatal(err)
				}
			}
		}})
}
