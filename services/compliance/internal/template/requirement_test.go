package template_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// TestRequirement12EveryVariableIsTyped: kinds and limits of every portal's variables are data, and every value has at
// least one character.
func TestRequirement12EveryVariableIsTyped(t *testing.T) {
	limits := map[string]int{"var": 30, "numeric": 30, "alphanumeric": 40, "url": 2048, "urlott": 2048, "cbn": 16, "email": 254}
	for _, c := range []struct{ profile, body, want string }{
		{"default", "{#var#} {#numeric#} {#number#} {#alphanumeric#} {#url#} {#urlott#} {#cbn#} {#email#}", "var numeric numeric alphanumeric url urlott cbn email"},
		{"airtel", "{#numeric#} {#alphanumeric#}", "numeric alphanumeric"},
		{"bsnl", "{#numeric#} {#url#}", "numeric url"},
		{"vi", "{#cbn#} {#email#}", "cbn email"},
		{"jio", "{#number#} {#numeric#} {#url#}", "numeric url"}, // {#numeric#} is fixed text there
		{"tata", "{#var#} {#numeric#}", "var"},
		{"smartping", "{#var#}", "var"},
		{"plain", "#numeric# #number# {#var", "numeric numeric"},
	} {
		p, err := template.ProfileNamed(c.profile).Parse("ABC "+c.body+" thanks", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range p.Variables() {
			got = append(got, v.Tag)
			if v.Max != limits[v.Tag] {
				t.Errorf("%s: %s takes %d", c.profile, v.Tag, v.Max)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", c.profile, diff)
		}
	}
	for tag, empty := range map[string]string{"{#var#}": "", "{#numeric#}": "", "{#alphanumeric#}": "", "{#url#}": "", "{#email#}": ""} {
		var m template.Matcher
		found := m.Match(parse(t, "Ref "+tag+"; thank you"), "Ref "+empty+"; thank you", template.Rules{})
		if len(found) == 0 || found[0].Code != template.NotMatched {
			t.Errorf("%s: an empty value: %+v", tag, found)
		}
	}
}

// TestTypesBesideTheText: some portals keep {#var#} in the text and the type and limit in fields of their own.
func TestTypesBesideTheText(t *testing.T) {
	tata := template.ProfileNamed("tata")
	p, err := tata.Parse("Paid Rs {#var#} to {#var#}. - ABC", []template.Variable{{Name: "sum", Tag: "{#number#}"}, {Name: "to", Tag: "alphanumeric", Max: 10}})
	if err != nil || !tata.Beside() {
		t.Fatal(err)
	}
	want := []template.Variable{{Name: "sum", Tag: "numeric", Max: 30}, {Name: "to", Tag: "alphanumeric", Max: 10}}
	if diff := cmp.Diff(want, p.Variables()); diff != "" || p.HasUntyped() {
		t.Error(diff)
	}
	for name, wrong := range map[string][]template.Variable{
		"count":      {{Tag: "numeric"}},
		"tag":        {{Tag: "numeric"}, {Tag: "text"}},
		"limit":      {{Max: -1}, {}},
		"name once":  {{Name: "a"}, {}},
		"name twice": {{Name: "a"}, {Name: "a"}},
		"long name":  {{Name: strings.Repeat("a", 65)}, {Name: "b"}},
	} {
		if _, err := tata.Parse("Paid Rs {#var#} to {#var#}. - ABC", wrong); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := template.Default().Parse("Paid Rs {#numeric#}", []template.Variable{{Tag: "url"}}); err == nil {
		t.Error("a type that contradicts the text is accepted")
	}
}

// TestRequirement13UntypedVariablesAreKnown: what a portal refuses from its cut-over date on is told by the template.
func TestRequirement13UntypedVariablesAreKnown(t *testing.T) {
	for body, want := range map[string]bool{
		"Dear {#var#}, hi":                    true,
		"Dear {#alphanumeric#}, hi {#var#}":   true,
		"Dear {#alphanumeric#}, {#numeric#}":  false,
		"Dear {#Var#}, fixed text":            false,
		"Dear customer, there is no variable": false,
	} {
		if got := parse(t, body).HasUntyped(); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
	typed, err := template.ProfileNamed("smartping").Parse("Dear {#var#}, hi", []template.Variable{{Tag: "alphanumeric"}})
	if err != nil || typed.HasUntyped() {
		t.Errorf("typed beside the text: %v", err)
	}
}

// TestRequirement16FixedTextIsExaminedAgain: a call to action of the fixed text is found when the whitelist loses it.
func TestRequirement16FixedTextIsExaminedAgain(t *testing.T) {
	p := parse(t, "Your order is on its way, see https://abc.in/help or call 1800 123 4567. - ABC")
	number, link := template.CTA{Kind: template.Number, Value: "18001234567"}, template.CTA{Kind: template.StaticURL, Value: "https://abc.in/help"}
	for _, c := range []struct {
		list []template.CTA
		want string
	}{{[]template.CTA{number, link}, ""}, {[]template.CTA{number}, "https://abc.in/help"}, {[]template.CTA{link}, "18001234567"}, {nil, "https://abc.in/help"}} {
		w, err := template.NewWhitelist(c.list)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Unlisted(w); got != c.want || ok != (c.want == "") {
			t.Errorf("%v: %q", c.list, got)
		}
	}
}

// TestRequirement20NothingIsRewritten: the bytes of the values are those of the text that was given, and the text is of
// the template as it stands.
func TestRequirement20NothingIsRewritten(t *testing.T) {
	p := parse(t, "Dear {#alphanumeric#}, \u0906\u092a {#numeric#}. - ABC")
	text := "Dear Jos\u00e9 Rao, \u0906\u092a 12. - ABC"
	same, changed := template.Normalise(text)
	var m template.Matcher
	if found := m.Match(p, same, template.Rules{}); found != nil || changed || same != text {
		t.Fatalf("%+v, %v", found, changed)
	}
	var b strings.Builder
	at := 0
	for i, s := range m.Spans() {
		b.WriteString(text[at:s.Start] + values(&m, text)[i])
		at = s.End
	}
	if b.String()+text[at:] != text {
		t.Errorf("%q", b.String())
	}
}

// TestRequirement21BothModesRenderEqual: values by order and by name give the same text, the text matches exactly when
// the values are allowed, and rendering the values found in it gives it again.
func TestRequirement21BothModesRenderEqual(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	bodies := []string{"Dear {#alphanumeric#}, order {#numeric#} shipped. - ABC", "{#numeric#}.{#numeric#} paid by {#alphanumeric#}",
		"{#var#}{#numeric#}-{#alphanumeric#}!", "{#alphanumeric#} {#alphanumeric#} है। {#numeric#}"}
	letters := []rune("ab क1234.é😀 -")
	var m template.Matcher
	matched := 0
	for range 6_000 {
		p := parse(t, bodies[r.IntN(len(bodies))])
		names := p.Names()
		ordered, named := make([]template.Value, len(names)), make([]template.Value, len(names))
		for i := range ordered {
			var value []rune
			digits := r.IntN(2) * 7
			for range r.IntN(6) {
				value = append(value, letters[r.IntN(len(letters)-digits)+digits*3/7])
			}
			ordered[i] = template.Value{Text: string(value)}
			named[i] = template.Value{Name: names[i], Text: string(value)}
		}
		r.Shuffle(len(named), func(i, j int) { named[i], named[j] = named[j], named[i] })
		one, _, ok := p.Render(ordered)
		two, _, also := p.Render(named)
		if !ok || !also || one != two {
			t.Fatalf("%q: %q and %q", p.Body(), one, two)
		}
		text, changed := template.Normalise(one)
		if found := m.Match(p, text, template.Rules{}); found != nil {
			continue
		}
		matched++
		var again []template.Value
		for _, v := range values(&m, text) {
			again = append(again, template.Value{Text: v})
			if n := len(utf16.Encode([]rune(v))); n < 1 || n > 40 {
				t.Fatalf("%q: a value of %d units", text, n)
			}
		}
		if three, _, _ := p.Render(again); three != text || changed && text == one {
			t.Fatalf("%q: %q again is %q", p.Body(), text, three)
		}
	}
	if matched < 150 {
		t.Errorf("%d matched: the values prove little", matched)
	}
}

// TestRequirement22OptOut: every promotional template must have words for opting out and a way to do it.
func TestRequirement22OptOut(t *testing.T) {
	for body, want := range map[string]bool{
		"Sale at ABC. Opt out: {#url#}":                true,
		"Sale at ABC. Unsubscribe: {#cbn#}":            true,
		"Sale at ABC. SMS STOP to 56161":               true,
		"Sale at ABC. STOP ABCBNK to 1909":             true,
		"Sale at ABC. To stop, call 98765 43210":       true,
		"Sale at ABC. Unsubscribe at https://abc.in/u": true,
		"सेल। बंद करने के लिए {#url#}":                 true,
		"Sale at ABC. {#url#}":                         false,
		"Sale at ABC. Stop by at our store":            false,
		"Nonstop sale at ABC. {#url#}":                 false,
		"Sale at ABC":                                  false,
	} {
		if got := parse(t, body).HasOptOut(); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

func TestProfilesRefuse(t *testing.T) {
	const tags = "tags: {var: {max: 30, takes: line}, numeric: {max: 30, takes: digits}, alphanumeric: {max: 40, takes: digits letters}, url: {max: 9, takes: solid}, urlott: {max: 9, takes: solid}, cbn: {max: 9, takes: digits}, email: {max: 9, takes: solid}}\n"
	if list, err := template.ParseProfiles([]byte(tags + `profiles: [{name: x, spellings: {"{#a#}": var}}]`)); err != nil || len(list) != 1 || list[0].Name() != "x" {
		t.Fatalf("%v", err)
	}
	for want, yaml := range map[string]string{
		"not found in type":   "more: 1",
		"there is none":       tags,
		"has no limit":        "tags: {var: {max: 30, takes: line}}",
		"none of digits":      "tags: {var: {max: 30, takes: words}}",
		"no characters":       "tags: {var: {max: 30}}",
		"is none of var":      "tags: {text: {max: 30, takes: line}}",
		"not 1 to":            "tags: {var: {max: 5000, takes: line}}",
		"needs a name":        tags + `profiles: [{spellings: {"{#a#}": var}}]`,
		"does not begin":      tags + `profiles: [{name: x, spellings: {"var": var}}]`,
		"x: kind \"nothing\"": tags + `profiles: [{name: x, spellings: {"{#a#}": nothing}}]`,
	} {
		if _, err := template.ParseProfiles([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if template.ProfileNamed("nobody") != nil || len(template.Profiles()) < 8 {
		t.Error("profiles")
	}
}

// TestFindingsSpeak: every finding has a sentence, and none quotes a value.
func TestFindingsSpeak(t *testing.T) {
	p := parse(t, "Dear {#alphanumeric#}, order {#numeric#} shipped. - ABC")
	const secret = "Ashwini"
	for _, text := range []string{"Dear " + secret + "-x, order 5 shipped. - ABC", "Dear " + secret + ", order x shipped. - ABC",
		"Dear " + secret + ", order 5 shipped - ABC", "dear " + secret, "Dear " + secret + ", order " + strings.Repeat("1", 31) + " shipped. - ABC",
		"Dear " + secret + "\u200b, order 5 shipped. - ABC", "Dear " + secret + ", order 9123456780 shipped. - ABC", strings.Repeat(secret, 500)} {
		var m template.Matcher
		for _, f := range m.Match(p, text, template.Rules{}) {
			said := f.Detail()
			for k, v := range f.Metadata() {
				said += " " + k + " " + v
			}
			if f.Detail() == "" || strings.Contains(said, secret) || strings.Contains(said, "9123456780") {
				t.Errorf("%q: %+v", said, f)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Dear {#var#}, {#numeric#}#number#{#", "default")
	f.Add("{#var#}{#var#}", "tata")
	f.Fuzz(func(t *testing.T, body, name string) {
		profile := template.ProfileNamed(name)
		if profile == nil {
			profile = template.Default()
		}
		p, err := profile.Parse(body, nil)
		if err != nil {
			return
		}
		fixed := p.FixedBytes()
		if fixed > len(p.Body()) || len(p.Names()) != len(p.Variables()) || len(p.Names()) > template.MaxElements {
			t.Fatalf("%q: %d fixed bytes, %v", body, fixed, p.Names())
		}
		again, err := profile.Parse(p.Body(), nil)
		if err != nil || again.Body() != p.Body() || again.FixedBytes() != fixed {
			t.Fatalf("%q is not parsed as itself: %v", p.Body(), err)
		}
		p.Lint(template.Registration{Category: "promotional", Brands: []string{"ABC"}})
		p.Unlisted(nil)
	})
}
