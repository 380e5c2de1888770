package template_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

const shipped = "Dear {#alphanumeric#}, order {#alphanumeric#} shipped. Track: {#url#} - ABCBNK"

func parse(t testing.TB, body string, names ...string) *template.Template {
	t.Helper()
	p, err := template.Parse(body, names)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func values(m *template.Matcher, text string) (got []string) {
	for _, s := range m.Spans() {
		got = append(got, text[s.Start:s.End])
	}
	return got
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		names []string
	}{
		"empty":              {"", nil},
		"too long":           {strings.Repeat("a", template.MaxUnits+1), nil},
		"too many variables": {strings.Repeat("{#var#}a", template.MaxElements/2+1), nil},
		"too few names":      {"{#var#} {#var#}", []string{"a"}},
		"name twice":         {"{#var#} {#var#}", []string{"a", "a"}},
	} {
		if _, err := template.Parse(c.body, c.names); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSpansAreDeterministic(t *testing.T) {
	for _, c := range []struct {
		body, text string
		want       []string
	}{
		{"Dear {#var#}, order {#var#} shipped.", "Dear Ram, order 9, order 5 shipped.", []string{"Ram", "9, order 5"}},
		{"{#var#}{#var#}!", strings.Repeat("a", 45) + "!", []string{strings.Repeat("a", 30), strings.Repeat("a", 15)}},
		{"{#var#}ab{#var#}abab{#numeric#}!", "xababyabab1!", []string{"x", "aby", "1"}},
	} {
		var m template.Matcher
		if found := m.Match(parse(t, c.body), c.text, template.Rules{}); found != nil {
			t.Errorf("%s: %+v", c.body, found)
		}
		if diff := cmp.Diff(c.want, values(&m, c.text)); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
	}
}

// TestUntypedOverride covers template 1107160000000000055 of the demo registry: in env test its variable takes anything.
func TestUntypedOverride(t *testing.T) {
	p := parse(t, "{#var#} - ABCBNK")
	for _, value := range []string{strings.Repeat("€", 153), "a\nb", strings.Repeat("क", 71), "😀", "https://evil.xyz", "a\u200bb",
		strings.Repeat("a", 2000)} {
		var m template.Matcher
		if found := m.Match(p, value+" - ABCBNK", template.Rules{UntypedMax: 2000}); found != nil {
			t.Errorf("%.20q: %+v", value, found)
		}
	}
	var m template.Matcher
	found := m.Match(p, strings.Repeat("a", 2001)+" - ABCBNK", template.Rules{UntypedMax: 2000})
	want := []template.Finding{{Code: template.VariableTooLong, Position: 1, Variable: 1, Length: 2001, Max: 2000, Fix: template.FixVariableTooLong}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// TestRenderEqualsText: filling the template gives the text that matches it, with the same values.
func TestRenderEqualsText(t *testing.T) {
	p := parse(t, shipped, "name", "order", "link")
	w, err := template.NewWhitelist([]template.CTA{{Kind: template.DynamicURL, Value: "https://abc.in/t?"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"
	for name, v := range map[string][]template.Value{
		"by position": {{Text: "Asha"}, {Text: "2345"}, {Text: "https://abc.in/t?o=2345"}},
		"by name": {{Name: "link", Text: "https://abc.in/t?o=2345"}, {Name: "order", Text: "2345"},
			{Name: "name", Text: "Asha"}},
	} {
		text, _, ok := p.Render(v)
		if !ok || text != want {
			t.Fatalf("%s: %q %v", name, text, ok)
		}
	}
	var m template.Matcher
	if found := m.Match(p, want, template.Rules{Whitelist: w}); found != nil {
		t.Errorf("%+v", found)
	}
}

func TestRenderRefuses(t *testing.T) {
	p := parse(t, "{#var#} {#var#}")
	for name, v := range map[string][]template.Value{
		"none":       nil,
		"too few":    {{Text: "a"}},
		"too many":   {{Text: "a"}, {Text: "b"}, {Text: "c"}},
		"mixed":      {{Text: "a"}, {Name: "var2", Text: "b"}},
		"name twice": {{Name: "var1", Text: "a"}, {Name: "var1", Text: "b"}},
		"unknown":    {{Name: "var1", Text: "a"}, {Name: "var3", Text: "b"}},
	} {
		_, found, ok := p.Render(v)
		if want := (template.Finding{Code: template.VariableCount, Length: len(v), Max: 2}); ok || found != want {
			t.Errorf("%s: %+v %v", name, found, ok)
		}
	}
}

func TestUnlistedFixedText(t *testing.T) {
	w, err := template.NewWhitelist([]template.CTA{
		{Kind: template.DynamicURL, Value: "https://abc.in/t?"}, {Kind: template.StaticURL, Value: "https://abc.in/help"},
		{Kind: template.Number, Value: "18001234567"}, {Kind: template.Address, Value: "care@abc.in"}})
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		"Go to https://abc.in/help. - ABC":         "",
		"Go to https://abc.in/t?{#numeric#} - ABC": "",
		"Go to https://abc.in/t? - ABC":            "https://abc.in/t?",
		"Go to abc.in/help now":                    "",
		"Go to evil.xyz now":                       "evil.xyz",
		"Call 18001234567":                         "",
		"Call 9876543210":                          "9876543210",
		"Mail care@abc.in, thanks":                 "",
		"Mail x@evil.in":                           "x@evil.in",
		"Paid Rs.{#numeric#}.{#numeric#} to Ram":   "",
	} {
		got, ok := parse(t, body).Unlisted(w)
		if got != want || ok != (want == "") {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestWhitelistRefuses(t *testing.T) {
	for _, c := range []template.CTA{
		{Kind: template.StaticURL, Value: "abc.in"}, {Kind: template.StaticURL, Value: "https://abc.in/t?"},
		{Kind: template.DynamicURL, Value: "https://abc.in/t"}, {Kind: template.ShortURL, Value: "https://bit.ly/x"},
		{Kind: template.Number, Value: "12"}, {Kind: template.Number, Value: "98765 43210"}, {Kind: template.Number, Value: "123456789"},
		{Kind: template.Address, Value: "care"}, {Kind: template.Address, Value: "care@abc"}, {Kind: template.Address, Value: "ca re@abc.in"},
		{Kind: template.ShortURL, Value: "www.abc.in/ABCBNK/x"}, {Kind: "else", Value: "x"},
	} {
		if _, err := template.NewWhitelist([]template.CTA{c}); err == nil {
			t.Errorf("%+v accepted", c)
		}
	}
}
