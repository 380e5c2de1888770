package msisdn_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// TestCases runs every case file: M01-M06 and more (requirement 50). A case is added without Go.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			ID     string
			Inputs []string
			Want   string // empty: refused
		}
		if err := json.Unmarshal(raw, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range cases {
			t.Run(c.ID, func(t *testing.T) {
				for _, in := range c.Inputs {
					check(t, in, c.Want)
				}
			})
		}
	}
}

func check(t *testing.T, in, want string) {
	t.Helper()
	got, ok := msisdn.E164(in)
	if got != want || ok != (want != "") {
		t.Errorf("%q: %q, %v, want %q", in, got, ok, want)
	}
	if msisdn.IsE164(in) != (in == want && in != "") {
		t.Errorf("IsE164(%q) = %v", in, msisdn.IsE164(in))
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 16)
	for _, in := range []string{"+919876543210", "9876543210", "+91 98765 43210", "+৯১ ৯৮৭৬৫ ৪৩২১০", "1401234567"} {
		if n := testing.AllocsPerRun(10, func() {
			n, _ := msisdn.Parse(in)
			buf = n.Append(buf[:0])
		}); n != 0 {
			t.Errorf("%q: %v allocations", in, n)
		}
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = msisdn.E164("+919876543210") }); n != 0 {
		t.Errorf("E164 of E.164: %v allocations", n)
	}
}

// TestNumbersAreNotPrinted: no verb shows a number in clear.
func TestNumbersAreNotPrinted(t *testing.T) {
	n, _ := msisdn.Parse("9876543210")
	for _, verb := range []string{"%v", "%d", "%s", "%+v", "%#v", "%x", "%q"} {
		if got := fmt.Sprintf(verb, n); got != "+9198XXXXXX10" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if got := msisdn.Mask("98765"); strings.ContainsAny(got, "0123456789") {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"+91 98765 43210", "००९१९८७६५४३२१०", "＋９１　９８７６５－４３２１０", "1401234567", "98765\xff43210"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := msisdn.Parse(s)
		if !ok {
			if n.Known() {
				t.Errorf("%q is refused and known", s)
			}
			return
		}
		form := n.E164()
		if again, ok := msisdn.Parse(form); !ok || again != n || !msisdn.IsE164(form) {
			t.Errorf("%q gives %s, which is read as %s", s, form, again.E164())
		}
		if want, ok := byHand(s); !ok || want != form {
			t.Errorf("%q gives %s, want %s, %v", s, form, want, ok)
		}
	})
}
