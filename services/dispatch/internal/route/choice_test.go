package route

import (
	"fmt"
	"strings"
	"testing"
)

const several = `routes:
  - {name: trans, env: [live], addr: "a:1", system_id: t, categories: [service, transactional, government], rank: 1}
  - {name: promo, env: [live], addr: "a:1", system_id: p, categories: [promotional], alpha_promo: false}
  - {name: bank, env: [live], addr: "b:1", system_id: b, entities: ["1701158019811140068"], headers: [ABCBNK], categories: [transactional]}
  - {name: north, env: [live], addr: "c:1", system_id: n, prefixes: ["9198"], categories: [service], rank: 0, six_only: true}
  - {name: heavy, env: [live], addr: "d:1", system_id: h, categories: [government], rank: 0, weight: 3}
  - {name: light, env: [live], addr: "e:1", system_id: l, categories: [government], rank: 0, weight: 1}
  - {name: sim, env: [test], addr: "f:1", system_id: s}
`

// Requirement 60: promotion and other traffic have binds of their own, and what a bind does not carry is refused before
// submit; the choice goes by category, entity, header, number, rank and what is bound.
func TestRequirement60Choice(t *testing.T) {
	routes := parse(t, several)
	all := func(*Route) bool { return true }
	not := func(names string) func(*Route) bool {
		return func(r *Route) bool { return !strings.Contains(names, r.Name) }
	}
	const entity = "1701158019811140068"
	for i, c := range []struct {
		t      Traffic
		usable func(*Route) bool
		want   string
	}{
		{Traffic{Env: Live, Category: Promotional, Header: "512345"}, all, "promo"},
		{Traffic{Env: Live, Category: Promotional, Header: "512345"}, not("promo"), "promo"}, // waits, and never on trans
		{Traffic{Env: Live, Category: Promotional, Header: "ABCBNK"}, all, ""},               // alpha_promo: false (code 435)
		{Traffic{Env: Live, Category: Transactional, Entity: entity, Header: "ABCBNK"}, all, "bank"},
		{Traffic{Env: Live, Category: Transactional, Entity: entity, Header: "ABCXYZ"}, all, "trans"},
		{Traffic{Env: Live, Category: Transactional, Entity: entity, Header: "ABCBNK"}, not("bank"), "trans"}, // failover
		{Traffic{Env: Live, Category: Service, Header: "ABCBNK", To: "919876543210"}, all, "north"},
		{Traffic{Env: Live, Category: Service, Header: "ABCBNK", To: "917876543210"}, all, "trans"},
		{Traffic{Env: Live, Category: Service, Header: "ABC", To: "919876543210"}, all, "trans"}, // six_only
		{Traffic{Env: Test, Category: Promotional, Header: "ABCBNK"}, all, "sim"},
		{Traffic{Env: "other"}, all, ""},
	} {
		got := ""
		if r := routes.Choose(&c.t, c.usable); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%d %+v: %q, want %q", i, c.t, got, c.want)
		}
		if _, chosen := routes.Explain(&c.t, c.usable); chosen != got {
			t.Errorf("%d: explained as %q", i, chosen)
		}
	}
}

func TestWeightsShareTheLoad(t *testing.T) {
	routes := parse(t, several)
	counts := map[string]int{}
	for i := range uint32(4000) {
		counts[routes.Choose(&Traffic{Env: Live, Category: Government, Key: i * 2_654_435_761}, func(*Route) bool { return true }).Name]++
	}
	if counts["heavy"] < 2800 || counts["heavy"] > 3200 || counts["heavy"]+counts["light"] != 4000 {
		t.Errorf("3 to 1 became %v", counts)
	}
}

func TestExplainSaysWhyEachRouteIsLeftOut(t *testing.T) {
	routes := parse(t, several)
	steps, chosen := routes.Explain(&Traffic{Env: Live, Category: Promotional, Header: "512345"}, func(r *Route) bool { return r.Name != "promo" })
	if chosen != "promo" || len(steps) != 7 {
		t.Fatalf("%q, %v", chosen, steps)
	}
	for _, s := range steps {
		if (s.Refusal == "") != (s.Route == "promo") || s.Usable == (s.Route == "promo") {
			t.Errorf("%+v", s)
		}
	}
}

// Requirements 41 and 42: the parameters of a route are data: tag, what it holds, form, length; 0x1402 is the chain's
// hash, the telemarketer's id, or absent.
func TestRequirement41And42TLVProfile(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for settings, want := range map[string]string{
		``:                 "1400=E 1401=T 1402=" + hash,
		`tags: {chain: 0}`: "1400=E 1401=T",
		`tlvs: [{tag: 0x1402, name: tm, value: telemarketer, telemarketer: "1302157243747322354", max: 30}]`:                     "1400=E 1401=T 1402=1302157243747322354",
		`tlvs: [{tag: 0x1402, name: tm, value: telemarketer, telemarketer: "1302157243747322354", type: cstring, max: 20}]`:      "1400=E 1401=T 1402=1302157243747322354\x00",
		`tags: {entity: 0, template: 0, chain: 0}, tlvs: [{tag: 0x1500, value: entity}, {tag: 0x1501, value: text, text: "hi"}]`: "1500=E 1501=hi",
		`tlvs: [{tag: 0x1402, value: hash, max: 30}]`:                                                                            "1400=E 1401=T", // does not fit: left out, never cut
	} {
		r := parse(t, `routes: [{name: x, env: [live], addr: "h:1", system_id: a, `+settings+`}]`).All()[0]
		var got []string
		for _, p := range r.Profile() {
			if value, ok := p.Of("E", "T", hash); ok {
				got = append(got, fmt.Sprintf("%04x=%s", p.Tag, value))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", settings, got, want)
		}
	}
	for _, bad := range []string{
		`tlvs: [{value: hash}]`, `tlvs: [{tag: 1, value: x}]`, `tlvs: [{tag: 1, value: hash, type: int}]`, `tlvs: [{tag: 1, value: telemarketer}]`,
		`tlvs: [{tag: 1, value: hash}, {tag: 1, value: entity}]`, `categories: [otp]`, `prefixes: ["+91"]`, `weight: -1`,
	} {
		if _, err := Parse([]byte(`routes: [{name: x, env: [live], addr: "h:1", system_id: a, ` + bad + `}]`)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
