package route

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const good = `
routes:
  - {name: jio, env: [live], addr: "smpp.example.net:2775", system_id: a, password: p, binds: 2, tps: 500, receipt_id: hex, response_id: decimal, codes: {"614": HEADER_NOT_MAPPED_TO_TEMPLATE}}
  - {name: vi, env: [live], addr: "vi.example.net:2775", system_id: a}
  - {name: sim, env: [test], addr: "127.0.0.1:2775", system_id: t, tags: {entity: 0x1500, template: 0x1501, chain: 0}}
`

func parse(t *testing.T, text string) *Routes {
	t.Helper()
	routes, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

func TestParse(t *testing.T) {
	jio, sim := parse(t, good).All()[0], parse(t, good).All()[2]
	if jio.Window != 100 || jio.SubmitTimeout != 30*time.Second || jio.Zone() != IST || jio.Tags.Entity != 0x1400 ||
		jio.Source != (Address{5, 0}) || jio.Destination != (Address{1, 1}) {
		t.Errorf("defaults: %+v", jio)
	}
	if sim.Tags != (Tags{0x1500, 0x1501, 0}) || sim.Binds != 1 {
		t.Errorf("as set: %+v", sim)
	}
}

func TestPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := parse(t, `routes: [{name: x, env: [test], addr: "h:1", system_id: a, password_file: "`+file+`"}]`).All()[0]
	if r.Password != "secret" {
		t.Errorf("password not read")
	}
}

func TestParseRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"exactly one of live and test": `routes: [{name: x, env: [live, test], addr: "h:1", system_id: a}]`,
		"same name":                    `routes: [{name: x, env: [live], addr: "h:1", system_id: a}, {name: x, env: [live], addr: "h:2", system_id: a}]`,
		"same account":                 `routes: [{name: x, env: [live], addr: "h:1", system_id: a}, {name: y, env: [test], addr: "h:1", system_id: a}]`,
		"no setting \"tsp\"":           `routes: [{name: x, env: [live], addr: "h:1", system_id: a, tsp: 5}]`,
		"window is not":                `routes: [{name: x, env: [live], addr: "h:1", system_id: a, window: 3}]`,
		"both set":                     `routes: [{name: x, env: [live], addr: "h:1", system_id: a, password: p, password_file: /nowhere}]`,
		"not as_is":                    `routes: [{name: x, env: [live], addr: "h:1", system_id: a, receipt_id: octal}]`,
		"system_id is not":             `routes: [{name: x, env: [live], addr: "h:1"}]`,
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestChooseNeverCrossesEnvironments(t *testing.T) {
	routes := parse(t, good)
	all := func(*Route) bool { return true }
	none := func(*Route) bool { return false }
	only := func(name string) func(*Route) bool { return func(r *Route) bool { return r.Name == name } }
	for _, c := range []struct {
		env    string
		usable func(*Route) bool
		want   string
	}{
		{Live, all, "jio"}, {Live, only("vi"), "vi"}, {Live, none, "jio"}, {Live, only("sim"), "jio"},
		{Test, all, "sim"}, {Test, only("jio"), "sim"}, {Test, none, "sim"},
	} {
		if got := routes.Choose(&Traffic{Env: c.env}, c.usable); got.Name != c.want {
			t.Errorf("%s: %s, want %s", c.env, got.Name, c.want)
		}
	}
	live := parse(t, `routes: [{name: x, env: [live], addr: "h:1", system_id: a}]`)
	if got := live.Choose(&Traffic{Env: Test}, all); got != nil {
		t.Errorf("test traffic on live route %s", got.Name)
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		n        Notation
		id, want string
	}{
		{AsIs, " AbC-01 ", "AbC-01"}, {"", "007", "007"}, {Decimal, "0000123456", "123456"}, {Hex, "0001e240", "123456"},
		{Hex, "0x1E240", "123456"}, {Decimal, "12AB", "12AB"}, {Hex, "-1", "-1"}, {AsIs, "a\x00b\xff", "a?b?"},
		{Hex, "FFFFFFFFFFFFFFFFFFFF", "1208925819614629174706175"}, {Decimal, "", ""},
	} {
		if got := c.n.Canonical(c.id); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.n, c.id, got, c.want)
		}
	}
}

func TestMeaning(t *testing.T) {
	jio := parse(t, good).All()[0]
	for code, want := range map[string]Meaning{
		"0x58": {"OPERATOR_THROTTLED", Throttle, true},
		"0x45": {"OPERATOR_UNAVAILABLE", Temporary, true},
		"633":  {"TEMPLATE_NOT_MATCHED", Permanent, true},
		"651":  {"PROMO_WINDOW", Defer, true},
		"614":  {"HEADER_NOT_MAPPED_TO_TEMPLATE", Permanent, true}, // X08: the route's own table wins
		"9999": {Unmapped, Permanent, false},                       // X09
	} {
		if got := jio.Meaning(code); got != want {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
	for status, want := range map[uint32]string{0x58: "0x58", 0xC3: "0xC3", 0x08: "0x08", 633: "633", 0x400: "1024"} {
		if got := StatusCode(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// TestTablesOfCodes (X07-X09): the same number means what the route's table says; unknown ones are terminal.
func TestTablesOfCodes(t *testing.T) {
	for _, c := range []struct {
		table, code string
		want        Meaning
	}{
		{"", "633", Meaning{"TEMPLATE_NOT_MATCHED", Permanent, true}},
		{"a_old", "633", Meaning{"TEMPLATE_NOT_MATCHED", Permanent, true}}, // X07
		{"", "614", Meaning{"HASH_MISSING_OR_INVALID", Permanent, true}},
		{"a_old", "614", Meaning{"CLI_TEMPLATE_MISMATCH", Permanent, true}}, // X08
		{"", "120", Meaning{Unmapped, Permanent, false}},
		{"e", "120", Meaning{"TEMPLATE_NOT_MATCHED", Permanent, true}},
		{"", "407", Meaning{"SCRUB_TIMEOUT", Temporary, true}},
		{"", "5107", Meaning{"PROMO_WINDOW", Defer, true}},
		{"a_old", "9999", Meaning{Unmapped, Permanent, false}}, // X09
	} {
		r := parse(t, strings.Replace(good, `codes: {"614": HEADER_NOT_MAPPED_TO_TEMPLATE}`, "table: "+strconv.Quote(c.table)+`, codes: {"77": PROMO_WINDOW}`, 1)).All()[0]
		if got := r.Meaning(c.code); got != c.want {
			t.Errorf("table %q, code %s: %+v, want %+v", c.table, c.code, got, c.want)
		}
		if got := r.Meaning("77"); got.Class != Defer {
			t.Errorf("a code of the route's own: %+v", got)
		}
	}
	if _, err := LoadTable("x"); err == nil {
		t.Error("there is a table x")
	}
}

// TestPromoWindow (requirements 24 and 25): asked at submit too, and no promotional attempt goes on after 21:00 IST.
func TestPromoWindow(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04:05", s, IST)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for s, open := range map[string]bool{
		"2026-10-12 09:59:59": false, "2026-10-12 10:00:00": true, "2026-10-12 20:59:59": true, "2026-10-12 21:00:00": false,
	} {
		if PromoOpen(at(s)) != open {
			t.Errorf("%s: want open=%t", s, open)
		}
	}
	for s, want := range map[string]string{
		"2026-10-12 09:59:59": "2026-10-12 10:00:00", "2026-10-12 22:00:00": "2026-10-13 10:00:00", "2026-10-31 21:00:00": "2026-11-01 10:00:00",
	} {
		if got := NextPromoOpening(at(s)); !got.Equal(at(want)) {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
	if got := PromoClosing(at("2026-10-12 11:00:00")); !got.Equal(at("2026-10-12 21:00:00")) {
		t.Errorf("closing: %s", got)
	}
}
