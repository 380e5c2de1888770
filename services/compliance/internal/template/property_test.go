package template

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// expression is the template as RE2 would have it: the oracle of the matcher, values included, since RE2 prefers the
// shortest and the longest as it is told, from left to right. It counts runes, so texts must stay in the basic plane, and
// has no limit for links, so texts must be shorter than that.
func expression(t *Template) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for i, code := range t.code[1:] {
		e := element(code)
		if e.fixed() {
			b.WriteString(regexp.QuoteMeta(e.of(t.body)))
			continue
		}
		longest := i+2 < len(t.code) && !element(t.code[i+2]).fixed()
		b.WriteString("(" + valueExpression(e.kind(), longest) + ")")
	}
	return regexp.MustCompile(b.String() + `\z`)
}

// valueExpression is a variable's value, the shortest or the longest first.
func valueExpression(kind Kind, longest bool) string {
	lazy := "?"
	if longest {
		lazy = ""
	}
	const solid = `[^\s\p{Z}\x00-\x1f\x7f\x{85}]`
	switch kind {
	case Numeric:
		return `[0-9]{1,30}` + lazy
	case Callback:
		return `[0-9+]{1,16}` + lazy
	case Alphanumeric:
		const letter = `\pL\pM\p{Nd}\x{200c}\x{200d}`
		one, more := "["+letter+"]", "["+letter+"]["+letter+" ]{0,38}"+lazy+"["+letter+"]"
		if longest {
			return more + "|" + one
		}
		return one + "|" + more
	case Untyped:
		return `[^\n]{1,30}` + lazy
	case Email:
		return solid + `{1,254}` + lazy
	default:
		return solid + `+` + lazy
	}
}

// tolerant is what a lenient operator would have, as RE2 has it: anything it ignores before, in and after fixed text.
func tolerant(t *Template) *regexp.Regexp {
	const gap = `[\s\x{85}\pZ\pP\pS]*`
	var b strings.Builder
	b.WriteString(`\A` + gap)
	for _, code := range t.code[1:] {
		e := element(code)
		if e.fixed() {
			b.WriteString(gap)
			for _, r := range distinct(e.of(t.body)) {
				b.WriteString(regexp.QuoteMeta(string(r)) + gap)
			}
			continue
		}
		b.WriteString("(?:" + valueExpression(e.kind(), false) + ")")
	}
	return regexp.MustCompile(b.String() + gap + `\z`)
}

var (
	fragments = []string{"a", "ab", "1", "a ", " ", "क", ".", "ab1", "aaaa", "b, "}
	tags      = []string{"{#var#}", "{#numeric#}", "{#alphanumeric#}", "{#cbn#}", "{#email#}", "{#url#}"}
)

// shapeOf makes a template's body from a small alphabet, so that ambiguity is common; nil stands for a variable.
func shapeOf(r *rand.Rand) (body string, parts []string) {
	var b strings.Builder
	for range 1 + r.IntN(7) {
		if r.IntN(2) == 0 {
			p := fragments[r.IntN(len(fragments))]
			b.WriteString(p)
			parts = append(parts, p)
			continue
		}
		b.WriteString(tags[r.IntN(len(tags))])
		parts = append(parts, "")
	}
	return b.String(), parts
}

// near makes a text of a shape, half of them with one character changed.
func near(r *rand.Rand, parts []string) string {
	var s strings.Builder
	for _, p := range parts {
		if p != "" {
			s.WriteString(p)
			continue
		}
		kind := 1 + r.IntN(len(fragments))
		for range 1 + r.IntN(1+r.IntN(25)) {
			s.WriteString(fragments[r.IntN(kind)])
		}
	}
	return mutate(r, s.String())
}

// pair makes a template and a text that is near it.
func pair(r *rand.Rand) (body, text string) {
	body, parts := shapeOf(r)
	return body, near(r, parts)
}

// mutate leaves half of the texts alone and changes one character of the others.
func mutate(r *rand.Rand, s string) string {
	runes := []rune(s)
	if len(runes) == 0 || r.IntN(2) == 0 {
		return s
	}
	i := r.IntN(len(runes))
	switch r.IntN(3) {
	case 0:
		runes[i] = []rune("a1 b\n.\u00a0,")[r.IntN(8)]
	case 1:
		runes = append(runes[:i], runes[i+1:]...)
	default:
		runes = append(runes[:i], append([]rune{'1'}, runes[i:]...)...)
	}
	return string(runes)
}

// shape is the match without the checks of content, which RE2 cannot express, and with the bound on the work. It holds
// the greedy pass against the complete program, values included.
func shape(t testing.TB, m *Matcher, p *Template, text string) bool {
	m.steps = 0
	var rules Rules
	greedy := no
	if p.frames(text) {
		greedy = m.greedy(p, text, &rules)
	}
	spans := slices.Clone(m.spans)
	exact := text != "" && m.exact(p, text, &rules)
	if greedy == yes != exact && greedy != maybe {
		t.Fatalf("greedy says %d, exact %v: %q %q", greedy, exact, p.body, text)
	}
	if greedy == yes && !slices.Equal(spans, m.spans) {
		t.Fatalf("greedy finds %v, exact %v: %q %q", spans, m.spans, p.body, text)
	}
	if !exact {
		m.explain(p, text, &rules)
	}
	if bound := stepBound(p, text); m.steps > bound {
		t.Fatalf("%d steps, at most %d allowed: %q %q", m.steps, bound, p.body, text)
	}
	return exact
}

// stepBound is the most steps a match with its explanation may take: six passes over the text (greedy, complete, without
// limits, forward, difference, lenient), each with the fixed parts at every place.
func stepBound(p *Template, text string) int {
	parts := 0
	for _, code := range p.code[1:] {
		if e := element(code); e.fixed() {
			parts += 1 + len(e.of(p.body))/16
		}
	}
	return 6*(len(text)+1)*(2+parts) + 6*MaxElements
}

// pairs is how many pairs of template and text are compared with RE2: ONLINESMS_PAIRS of them, as make bench-compliance
// has a million, or as many as a gate has time for.
func pairs(t *testing.T) int {
	if s := os.Getenv("ONLINESMS_PAIRS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if raceEnabled || testing.Short() {
		return 3_000
	}
	return 50_000
}

// sameValues holds the values against RE2's.
func sameValues(t *testing.T, m *Matcher, text string, places []int) {
	t.Helper()
	for i, s := range m.spans {
		if s.Start != places[2*i] || s.End != places[2*i+1] {
			t.Fatalf("%q: value %d is at %v, RE2 has %v", text, i+1, s, places)
		}
	}
}

// TestRequirement11MatcherAgreesWithRE2 holds the matcher against Go's regular expressions: match, no match, values, and
// the advice as well.
func TestRequirement11MatcherAgreesWithRE2(t *testing.T) {
	const perTemplate = 20
	r := rand.New(rand.NewPCG(1, 2))
	var m Matcher
	matched, passed, all := 0, 0, pairs(t)
	for range all / perTemplate {
		body, parts := shapeOf(r)
		p := mustParse(body)
		re, loose := expression(p), tolerant(p)
		for i := range perTemplate {
			text, _ := Normalise(near(r, parts))
			places := re.FindStringSubmatchIndex(text)
			want := places != nil
			if got := shape(t, &m, p, text); got != want {
				t.Fatalf("%q %q: matcher %v, RE2 %v", body, text, got, want)
			}
			if want {
				matched++
				sameValues(t, &m, text, places[2:])
			}
			if i%4 == 0 {
				want = text != "" && loose.MatchString(text)
				m.load(p, &Rules{}, lenient)
				m.thin.fill(text)
				if got := text != "" && m.backLenient(text) >= 0; got != want {
					t.Fatalf("%q %q: lenient %v, RE2 %v", body, text, got, want)
				}
				passed++
			}
		}
	}
	if matched < all/10 || matched > all*9/10 {
		t.Errorf("%d of %d matched: the pairs prove little", matched, all)
	}
	t.Logf("%d pairs, %d match, 0 differences; %d of the advice, 0 differences", all, matched, passed)
}

func TestAdversarialStaysInBudget(t *testing.T) {
	var m Matcher
	for _, c := range []struct{ body, text string }{
		{strings.Repeat("{#var#}a", 15) + "b", strings.Repeat("a", 400)},
		{strings.Repeat("{#var#}a", 32), strings.Repeat("a", MaxUnits)},
		{strings.Repeat("{#var#}", 16) + "!", strings.Repeat("a", 481)},
		{strings.Repeat("{#url#}", 64), strings.Repeat("a", MaxUnits)},
		{"{#url#}" + strings.Repeat("a", 1000) + "b", strings.Repeat("a", MaxUnits)},
	} {
		p, err := Parse(c.body, nil)
		if err != nil {
			t.Fatal(err)
		}
		shape(t, &m, p, c.text)
	}
}

// TestIgnoredIsWhatUnicodeSays: ASCII goes by a table, the rest by Unicode's.
func TestIgnoredIsWhatUnicodeSays(t *testing.T) {
	for r := rune(0); r < 0x3000; r++ {
		if want := unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsSymbol(r); ignored(r) != want {
			t.Errorf("%U: %v", r, ignored(r))
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("Dear {#var#}, order {#numeric#}", "Dear Ram, order 9")
	f.Add("{#var#}{#alphanumeric#}a{#url#}", "a a https://abc.in/t?x")
	f.Fuzz(func(t *testing.T, body, text string) {
		p, err := Parse(body, nil)
		if err != nil || len(text) > 500 || strings.Contains(body, "{#url") {
			return
		}
		text, _ = Normalise(text)
		var m Matcher
		got := shape(t, &m, p, text)
		for _, found := range m.Match(p, text, Rules{}) {
			if found.Offset > len(text) || found.Position > 0 && utf8.RuneCountInString(text[:found.Offset])+1 != found.Position || found.Detail() == "" {
				t.Fatalf("%q %q: %+v", p.body, text, found)
			}
		}
		for _, r := range text {
			if r >= 0x10000 || r == utf8.RuneError {
				return // RE2 counts runes, the limits count UTF-16 units
			}
		}
		if want := expression(p).MatchString(text); got != want {
			t.Fatalf("%q %q: matcher %v, RE2 %v", p.body, text, got, want)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add("Dear {#var#}, order {#numeric#}", "Ram", "9")
	f.Fuzz(func(t *testing.T, body, a, b string) {
		p, err := Parse(body, nil)
		if err != nil || p.header().variables() != 2 {
			return
		}
		text, _, ok := p.Render([]Value{{Text: a}, {Text: b}})
		if !ok || !strings.Contains(text, a) {
			t.Fatalf("%q %q %q: %q", body, a, b, text)
		}
	})
}
