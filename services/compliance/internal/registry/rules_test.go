package registry

import (
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

func templateFor(t *testing.T, o Object) *Template {
	t.Helper()
	o.Kind, o.ID, o.Entity, o.Category = Templates, "1107160000000000011", "1701158019811140068", "service"
	s, err := NewSnapshot(Rows{Objects: []Object{{Kind: Entities, ID: o.Entity}, o}})
	if err != nil {
		t.Fatal(err)
	}
	return s.Template(o.ID)
}

// Requirement 13: a template with an untyped variable is refused from the cut-over date on, which is each operator's own
// and data.
func TestRequirement13UntypedCutOverPerOperator(t *testing.T) {
	d, operators, err := parseRules([]byte("one_header_per_template: {effective_from: 9999-12-31}\noperators:\n" +
		"  - {name: JIO, typed_variables_from: 2026-02-01}\n  - {name: AIRTEL, typed_variables_from: 2026-01-17}\n"))
	if err != nil || len(operators) != 2 || operators[0] != "AIRTEL" {
		t.Fatal(operators, err)
	}
	untyped, typed := templateFor(t, Object{Detail: Detail{Body: "Hello {#var#}"}}), templateFor(t, Object{Detail: Detail{Body: "Hello {#numeric#}"}})
	between := time.Date(2026, 1, 17, 0, 0, 0, 0, policy.IST)
	for _, c := range []struct {
		template *Template
		operator string
		at       time.Time
		want     policy.Status
	}{
		{untyped, "AIRTEL", between.Add(-time.Second), policy.Active}, {untyped, "AIRTEL", between, policy.Inactive},
		{untyped, "JIO", between, policy.Active}, {untyped, "JIO", between.AddDate(0, 0, 15), policy.Inactive},
		{untyped, "", between.AddDate(1, 0, 0), policy.Active}, {typed, "AIRTEL", between.AddDate(1, 0, 0), policy.Active},
	} {
		if got := c.template.at(&d, c.at, c.operator); got != c.want {
			t.Errorf("%s at %q on %v: %v", c.template.Parsed.Body(), c.operator, c.at, got)
		}
	}
	if _, _, err := parseRules([]byte("operators: [{name: JIO, typed_variables_from: soon}]")); err == nil {
		t.Error("a date that is none is taken")
	}
}

// Requirement 4: a template goes out under headers it is linked to; from the effective date on it must have one only.
func TestRequirement4HeaderMapping(t *testing.T) {
	d := dates{oneHeader: time.Date(2026, 4, 1, 0, 0, 0, 0, policy.IST)}
	one := templateFor(t, Object{Detail: Detail{Body: "x", Headers: []string{"ABCBNK"}}})
	two := templateFor(t, Object{Detail: Detail{Body: "x", Headers: []string{"ABCBNK", "ABCNEW"}}})
	before, after := d.oneHeader.Add(-time.Second), d.oneHeader
	for name, got := range map[string]bool{
		"one": one.linked(&d, "ABCBNK", after), "two before": two.linked(&d, "ABCNEW", before),
		"another": !one.linked(&d, "abcbnk", before), "two after": !two.linked(&d, "ABCBNK", after), "as shipped": two.LinkedAt("ABCBNK", after),
	} {
		if !got {
			t.Error(name)
		}
	}
}
