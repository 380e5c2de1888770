package content_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

// texts is how many generated texts are compared: CONTENT_TEXTS, or less than the full million.
func texts(t *testing.T) int {
	n := 10_000
	if s := os.Getenv("CONTENT_TEXTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("CONTENT_TEXTS: %v", err)
		}
	}
	return n
}

// TestAgreesWithRegexps compares every finding with what ten regexps and textbook checksums say
// (CONTENT_TEXTS=1000000 for the full run).
func TestAgreesWithRegexps(t *testing.T) {
	var s content.Scanner
	r := rand.New(rand.NewPCG(5, 6))
	n, found, wrong := texts(t), map[content.Kind]int{}, 0
	for range n {
		text := generate(r)
		got := s.Append(nil, text, "4000000000000000006")
		want := ask(text, "4000000000000000006")
		for i := range want { // offsets in runes have their own test
			found[want[i].Kind]++
			if i < len(got) {
				want[i].RuneStart, want[i].RuneEnd = got[i].RuneStart, got[i].RuneEnd
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q\n got %v\nwant %v", text, list(text, got), list(text, want))
			if wrong++; wrong > 5 {
				t.FailNow()
			}
		}
	}
	for k := content.Aadhaar; k <= content.URLData; k++ {
		if found[k] < n/1000 {
			t.Errorf("only %d texts of %d have %s", found[k], n, k)
		}
	}
	t.Logf("%d texts, %d disagreements; findings by kind %v", n, wrong, found)
}

func list(text string, findings []content.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, describe(text, f)+fmt.Sprintf(" at %d", f.Start))
	}
	return out
}

var joints = []string{" ", " ", " ", " ", " ", ", ", ". ", ": ", "-", " - ", "/", "? ", " (", ") ", "=", "\n", "_", " \"", "@", "  ", "."}

// generate makes a text of words with a meaning, values that pass and fail, and marks between them.
func generate(r *rand.Rand) string {
	var b strings.Builder
	for range 2 + r.IntN(12) {
		b.WriteString(piece(r))
		b.WriteString(joints[r.IntN(len(joints))])
	}
	return b.String()
}

var vocabulary = func() (list []string) {
	list = strings.Fields(`Dear customer shipped rupees a/c A/C paid abc.in/t https://abc.in/t? www.abc.in/u?x=1&mobile= http://x.in/p?
		upi pin code hello www.x.org/ ab@ c x9 Rs 500 1,499.00 आज`)
	for w := range words {
		list = append(list, w, strings.ToUpper(w[:1])+w[1:])
	}
	for range 3 {
		list = append(list, "is", "hai", "है", "no", "OTP", "password", "CVV", "PIN", "Aadhaar", "PAN", "account", "ref", "passport", "voter", "vid", "mobile=", "name=")
	}
	slices.Sort(list)
	return list
}()

func piece(r *rand.Rand) string {
	switch r.IntN(3) {
	case 0:
		return values[r.IntN(len(values))](r)
	default:
		return vocabulary[r.IntN(len(vocabulary))]
	}
}

// values make a value of each kind, or something like it.
var values = []func(*rand.Rand) string{
	func(r *rand.Rand) string { return digitsN(r, 1+r.IntN(20)) },
	func(r *rand.Rand) string { return digitsN(r, 4) },
	func(r *rand.Rand) string { return digitsN(r, 6) },
	func(r *rand.Rand) string { return group(r, checked(r, 12, textbookVerhoeff), 4) },
	func(r *rand.Rand) string { return group(r, checked(r, 16, textbookVerhoeff), 4) },
	func(r *rand.Rand) string { return checked(r, 12, textbookVerhoeff) },
	func(r *rand.Rand) string { return group(r, "4"+checked2(r, "4", 15), 4) },
	func(r *rand.Rand) string {
		return []string{"51", "65", "37", "508", "62"}[r.IntN(5)] + digitsN(r, 13+r.IntN(2))
	},
	func(r *rand.Rand) string { return "3782 822463 1000" + digitsN(r, 1) },
	func(r *rand.Rand) string { return strings.Join(strings.Split(digitsN(r, 9+r.IntN(8)), ""), " ") },
	func(r *rand.Rand) string {
		return lettersN(r, 3) + "P" + lettersN(r, 1) + digitsN(r, 4) + lettersN(r, 1)
	},
	func(r *rand.Rand) string { return lettersN(r, 5) + digitsN(r, 4) + lettersN(r, 1) },
	func(r *rand.Rand) string { return lettersN(r, 4) + "0" + digitsN(r, 6) },
	func(r *rand.Rand) string { return lettersN(r, 3) + checked(r, 7, textbookLuhn) },
	func(r *rand.Rand) string { return lettersN(r, 1) + digitsN(r, 7) },
	gstinOf,
	func(r *rand.Rand) string { return strconv.Itoa(6+r.IntN(4)) + digitsN(r, 9) },
	func(r *rand.Rand) string { return "91 " + strconv.Itoa(6+r.IntN(4)) + digitsN(r, 9) },
	func(r *rand.Rand) string { return strconv.Itoa(6+r.IntN(4)) + digitsN(r, 4) + " " + digitsN(r, 5) },
	func(r *rand.Rand) string {
		return "+91-" + strconv.Itoa(6+r.IntN(4)) + digitsN(r, 4) + "-" + digitsN(r, 5)
	},
	func(r *rand.Rand) string {
		return "ram." + lettersN(r, 2) + "@" + []string{"ybl", "OKSBI", "newpay", "x1"}[r.IntN(4)]
	},
	func(r *rand.Rand) string {
		return "a" + lettersN(r, 2) + "@" + lettersN(r, 3) + []string{".in", ".co.in", ".c", ".42"}[r.IntN(4)]
	},
	func(r *rand.Rand) string { return "Ab" + digitsN(r, 1) + "#" + lettersN(r, 3) },
	func(r *rand.Rand) string { return "https://abc.in/t?mobile=" + digitsN(r, 10) + "&x=" + lettersN(r, 2) },
	func(r *rand.Rand) string { return "password is " + lettersN(r, 3) + "@" + digitsN(r, 3) },
	func(*rand.Rand) string { return "4000000000000000006" },
	func(r *rand.Rand) string { return "OTP is " + digitsN(r, 3+r.IntN(7)) },
	func(r *rand.Rand) string { return digitsN(r, 3+r.IntN(7)) + " आपका ओटीपी है" },
	func(r *rand.Rand) string { return digitsN(r, 6) + " is your login code" },
	func(r *rand.Rand) string { return "CVV " + digitsN(r, 2+r.IntN(3)) },
	func(r *rand.Rand) string { return "UPI PIN hai: " + digitsN(r, 4+2*r.IntN(2)) },
	func(r *rand.Rand) string { return "passport no " + lettersN(r, 1) + digitsN(r, 7) },
	func(r *rand.Rand) string { return "a/c no " + digitsN(r, 8+r.IntN(11)) },
}

func gstinOf(r *rand.Rand) string {
	body := fmt.Sprintf("%02d%sP%s%s%s%dZ", r.IntN(40), lettersN(r, 3), lettersN(r, 1), digitsN(r, 4), lettersN(r, 1), 1+r.IntN(9))
	for _, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		if full := body + string(c); textbookGSTIN(full) {
			return full
		}
	}
	return body + "0"
}

func digitsN(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

func lettersN(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('A' + r.IntN(26))
	}
	if r.IntN(4) == 0 {
		return strings.ToLower(string(b))
	}
	return string(b)
}

// checked makes n digits whose last satisfies a check.
func checked(r *rand.Rand, n int, check func(string) bool) string {
	body := strconv.Itoa(2+r.IntN(8)) + digitsN(r, n-2)
	for d := range 10 {
		if full := body + strconv.Itoa(d); check(full) {
			return full
		}
	}
	return body + "0"
}

func checked2(r *rand.Rand, lead string, n int) string {
	body := digitsN(r, n-1)
	for d := range 10 {
		if tail := body + strconv.Itoa(d); textbookLuhn(lead + tail) {
			return tail
		}
	}
	return body + "0"
}

func group(r *rand.Rand, digits string, n int) string {
	joint := []string{" ", "-", ""}[r.IntN(3)]
	var parts []string
	for ; len(digits) > n; digits = digits[n:] {
		parts = append(parts, digits[:n])
	}
	return strings.Join(append(parts, digits), joint)
}
