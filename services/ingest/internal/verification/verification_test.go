package verification

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Every digit is as likely as every other: chi-square over 60,000 digits, 9 degrees of freedom; 33.7 is passed once in
// 10,000 runs.
func TestItem22CodesAreUniform(t *testing.T) {
	var counts [10]float64
	for range 10000 {
		code, err := newCode(rand.Reader, DefaultCode)
		if err != nil || len(code) != DefaultCode {
			t.Fatal(len(code), err)
		}
		for _, d := range code {
			counts[d-'0']++
		}
	}
	chi := 0.0
	for _, n := range counts {
		chi += (n - 6000) * (n - 6000) / 6000
	}
	if chi > 33.7 {
		t.Errorf("chi-square %.1f of %v", chi, counts)
	}
}

// Bytes from 250 on are drawn again: taken modulo ten they would favour 0 to 5.
func TestCodeRejectsBytesThatDoNotDivide(t *testing.T) {
	drawn := append(bytes.Repeat([]byte{250, 255}, 8), bytes.Repeat([]byte{249, 13}, 8)...)
	code, err := newCode(bytes.NewReader(drawn), 4)
	if err != nil || code != "9393" {
		t.Errorf("%q, %v", code, err)
	}
	if _, err := newCode(bytes.NewReader(drawn[:20]), 4); err == nil {
		t.Error("a code without randomness")
	}
}

func TestItem22BoundsOfARequest(t *testing.T) {
	valid := Request{To: "98765 43210", EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011"}
	minutes := func(d time.Duration) func(*Request) { return func(r *Request) { r.Validity = &d } }
	tests := map[string]struct {
		change func(*Request)
		want   string // field and reason; empty: taken
	}{
		"defaults":                  {func(*Request) {}, ""},
		"five minutes":              {minutes(5 * time.Minute), ""},
		"ten minutes":               {minutes(10 * time.Minute), ""},
		"below five minutes":        {minutes(5*time.Minute - 1), "validity_period OUT_OF_RANGE"},
		"above ten minutes":         {minutes(10*time.Minute + 1), "validity_period OUT_OF_RANGE"},
		"no time":                   {minutes(0), "validity_period OUT_OF_RANGE"},
		"three digits":              {func(r *Request) { r.CodeLength = 3 }, "code_length OUT_OF_RANGE"},
		"four digits":               {func(r *Request) { r.CodeLength = 4 }, ""},
		"ten digits":                {func(r *Request) { r.CodeLength = 10 }, ""},
		"eleven digits":             {func(r *Request) { r.CodeLength = 11 }, "code_length OUT_OF_RANGE"},
		"negative length":           {func(r *Request) { r.CodeLength = -1 }, "code_length OUT_OF_RANGE"},
		"landline":                  {func(r *Request) { r.To = "01123456789" }, "to RECIPIENT_INVALID"},
		"no number":                 {func(r *Request) { r.To = "" }, "to REQUIRED"},
		"purpose of 64 letters":     {func(r *Request) { r.Purpose = strings.Repeat("भ", 64) }, ""},
		"purpose of 65 letters":     {func(r *Request) { r.Purpose = strings.Repeat("a", 65) }, "purpose FORMAT"},
		"purpose with NUL":          {func(r *Request) { r.Purpose = "a\x00b" }, "purpose FORMAT"},
		"address":                   {func(r *Request) { r.Address = "2001:db8::1" }, ""},
		"no address":                {func(r *Request) { r.Address = "localhost" }, "client_address FORMAT"},
		"named variable":            {func(r *Request) { r.Variables = []message.Variable{{Value: "a"}, {Name: "n", Value: "b"}} }, "variables[1].name CONFLICT"},
		"variable counted from one": {func(r *Request) { r.Variables = []message.Variable{{Value: "a"}, {Value: "\x00"}} }, "variables[1].value FORMAT"},
		"template of five digits":   {func(r *Request) { r.TemplateID = "11071" }, "template_id TEMPLATE_ID_INVALID"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := valid
			test.change(&r)
			_, err := r.normal(time.Now())
			got := ""
			if e, ok := errors.AsType[*errs.Error](err); ok && len(e.Violations) == 1 {
				got = e.Violations[0].Field + " " + e.Violations[0].Reason
			}
			if got != test.want || (err == nil) != (test.want == "") {
				t.Errorf("%q (%v), want %q", got, err, test.want)
			}
			if err == nil && (r.To != "+919876543210" || r.CodeLength == 0 || r.Purpose == "" || r.Validity == nil) {
				t.Errorf("not in normal form: %+v", r)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	b := Limits{}.WithDefaults().Budget
	for _, test := range []struct {
		sent, verified int
		want           bool
	}{{0, 0, false}, {19, 0, false}, {20, 0, true}, {28, 8, true}, {28, 9, false}, {1000, 299, true}, {1000, 300, false}} {
		if got := b.Suspects(test.sent, test.verified); got != test.want {
			t.Errorf("%d sent, %d verified: %v", test.sent, test.verified, got)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		s    Session
		want string
	}{
		"open":                     {Session{State: StateOpen, Expire: now.Add(1)}, StatusPending},
		"at its end":               {Session{State: StateOpen, Expire: now}, StatusExpired},
		"three checks":             {Session{State: StateOpen, Expire: now.Add(1), Checks: 3}, StatusFailed},
		"the third check right":    {Session{State: StateVerified, Expire: now, Checks: 3}, StatusVerified},
		"cancelled after its time": {Session{State: StateCancelled, Expire: now}, StatusCancelled},
		"closed":                   {Session{State: StateClosed, Expire: now}, StatusExpired},
		"closed with three checks": {Session{State: StateClosed, Expire: now, Checks: 3}, StatusFailed},
	} {
		if got := test.s.Status(now); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestMaterialKeepsItsPartsApart(t *testing.T) {
	a, b, seen := uuid.New(), uuid.New(), map[string]bool{}
	for _, m := range []string{
		material(a, [16]byte{1}, "login", "123456"), material(b, [16]byte{1}, "login", "123456"), material(a, [16]byte{2}, "login", "123456"),
		material(a, [16]byte{1}, "pay", "123456"), material(a, [16]byte{1}, "login1", "23456"), material(a, [16]byte{1}, "login", "1234567"),
	} {
		seen[m] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d of 6 differ", len(seen))
	}
}

func TestTyped(t *testing.T) {
	for in, want := range map[string]string{
		"123456": "123456", " 123-456 ": "123456", "1234": "1234", "123": "", "12345678901": "", "12345a": "", "": "",
		"１２３４５６": "", strings.Repeat(" ", 50) + "123456": "",
	} {
		got, ok := typed(in)
		if ok != (want != "") || (ok && got != want) {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func TestItem23NetworksOfAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32",
		"2001:db8:1:2::3": "2001:db8:1::/48", "2001:db8:1:ffff::9": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := network(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if network(netip.Addr{}) != "" {
		t.Error("no address has a network")
	}
}

func TestSandboxIsOfEnvTest(t *testing.T) {
	for _, test := range []struct {
		env, number string
		want        Outcome
	}{
		{"test", "+919899955500", OutcomeFixed}, {"test", "+919899955517", OutcomeFixed}, {"test", "+917099955590", OutcomeWrong},
		{"test", "+919899955591", OutcomeExpired}, {"test", "+919899955592", OutcomeLimited}, {"test", "+919899955593", OutcomeSuspects},
		{"test", "+919876543210", OutcomeNone}, {"live", "+919899955500", OutcomeNone}, {"live", "+919899955590", OutcomeNone},
	} {
		if got := outcomeOf(test.env, test.number); got != test.want {
			t.Errorf("%s in %s: %d", test.number, test.env, got)
		}
	}
}
