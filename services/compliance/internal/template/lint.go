package template

import (
	_ "embed" // thresholds and words
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

//go:embed lint.yaml
var lintData []byte

// lintRules are the thresholds and words of lint.yaml.
type lintRules struct {
	Variables    int
	Exceptional  int
	FixedPercent int      `yaml:"fixed_percent"`
	FixedBytes   int      `yaml:"fixed_bytes"`
	OptOut       []string `yaml:"opt_out"`
	Promotional  []string
	OneTime      []string `yaml:"one_time"`
	Shorteners   []string
}

var linting = func() (r lintRules) {
	if err := yaml.Unmarshal(lintData, &r); err != nil {
		panic(err) // the file is part of the program, and a test reads it
	}
	return r
}()

// Severity tells how a portal takes a finding.
type Severity string

// The severities: an error is refused, a warning asked about, a note worth knowing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Codes of what Lint finds.
const (
	LintUntyped     = "UNTYPED_VARIABLE"
	LintCount       = "VARIABLE_COUNT"
	LintAdjacent    = "VARIABLES_ADJACENT"
	LintAtEnd       = "VARIABLE_AT_END"
	LintFixedRatio  = "FIXED_TEXT_RATIO"
	LintFixedShort  = "FIXED_TEXT_SHORT"
	LintNoVariables = "VARIABLES_MISSING"
	LintBrand       = "BRAND_MISSING"
	LintOptOut      = "OPT_OUT_MISSING"
	LintCategory    = "CATEGORY_HINT"
	LintPlaceholder = "PLACEHOLDER_LOOK_ALIKE"
	LintDoubleSpace = "DOUBLE_SPACE"
	LintAngle       = "ANGLE_BRACKETS"
	LintTypographic = "TYPOGRAPHIC_CHAR"
	LintInvisible   = "INVISIBLE_CHAR"
	LintCTA         = "CTA_NOT_WHITELISTED"
	LintShortener   = "PUBLIC_SHORTENER"
)

// maxCalls bounds the findings about calls to action.
const maxCalls = 8

// Lint is one finding about a template.
type Lint struct {
	Code     string
	Severity Severity
	Variable int    // 1-based ordinal; 0 when it is about the text
	Sentence string // what was found
	Remedy   string // what to do
}

// Registration is what a template is to be registered as.
type Registration struct {
	Category  string     // promotional, service, transactional or government; empty when it is not known
	Brands    []string   // names of which one stands in the body: brand, trade name, header; nil leaves the check out
	Whitelist *Whitelist // the entity's calls to action; nil leaves the check out
}

// Lint tells what a portal would refuse or ask about if the template were registered, errors first.
func (t *Template) Lint(r Registration) []Lint {
	l := linter{t: t, r: r, text: t.skeleton(), folded: strings.ToLower(t.skeleton())}
	l.variables()
	l.proportions()
	l.content()
	l.category()
	l.characters()
	l.calls()
	rank := map[Severity]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(l.found, func(a, b Lint) int { return rank[a.Severity] - rank[b.Severity] })
	return l.found
}

// HasOptOut tells whether the template offers a way out, as every promotional one must: words for it, and a link, a
// number or an address to use.
func (t *Template) HasOptOut() bool {
	text := t.skeleton()
	if !hasAny(strings.ToLower(text), linting.OptOut) {
		return false
	}
	for _, code := range t.code[1:] {
		if element(code).kind().checked() {
			return true
		}
	}
	return len(scan(text, nil)) > 0 || shortCode(text)
}

// shortCode tells whether a number of five or six digits stands in the text, or 1909: where STOP is sent to.
func shortCode(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(word) == 5 || len(word) == 6 || word == "1909" {
			return true
		}
	}
	return false
}

type linter struct {
	t      *Template
	r      Registration
	text   string // fixed text with a letter for each variable
	folded string
	found  []Lint
}

func (l *linter) add(code string, severity Severity, variable int, sentence, remedy string) {
	l.found = append(l.found, Lint{code, severity, variable, sentence, remedy})
}

// variables looks at number, types and places of variables.
func (l *linter) variables() {
	elements := l.t.code[1:]
	variable := 0
	for i, code := range elements {
		e := element(code)
		if e.fixed() {
			continue
		}
		variable++
		if e.kind() == Untyped {
			l.add(LintUntyped, Error, variable, fmt.Sprintf("Variable %d has no type.", variable),
				"Give it the type of what it holds: numeric, alphanumeric, url, urlott, cbn or email. Portals refuse {#var#} since 17 January 2026.")
		}
		if i > 0 && variable > 1 && l.touches(elements[i-1], i) {
			l.add(LintAdjacent, Warning, variable, fmt.Sprintf("Only signs or spaces stand between variables %d and %d.", variable-1, variable),
				"Put fixed words between them, or make them one; variables side by side need a reason, such as a long name or address.")
		}
		if i == len(elements)-1 {
			l.add(LintAtEnd, Note, variable, "The text ends with a variable.", "End with fixed text, such as the brand; some portals require it.")
		}
	}
	switch {
	case variable > linting.Exceptional:
		l.add(LintCount, Warning, 0, fmt.Sprintf("There are %d variables.", variable),
			fmt.Sprintf("Use at most %d; more than %d are registered only when another authority approves the reasons.", linting.Variables, linting.Exceptional))
	case variable > linting.Variables:
		l.add(LintCount, Note, 0, fmt.Sprintf("There are %d variables.", variable),
			fmt.Sprintf("Use at most %d, or state the reason for a third one at registration.", linting.Variables))
	case variable == 0 && (l.r.Category == "service" || l.r.Category == "transactional"):
		l.add(LintNoVariables, Warning, 0, "There are no variables.", "Service and transactional templates say something about one customer; put it into a variable.")
	}
}

// touches tells whether a variable at place i stands beside another, with nothing that is a word between them.
func (l *linter) touches(before uint64, i int) bool {
	e := element(before)
	if !e.fixed() {
		return true
	}
	return i > 1 && strings.IndexFunc(e.of(l.t.body), func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) < 0
}

// proportions looks at how much of the template is fixed.
func (l *linter) proportions() {
	fixed := 0
	for _, code := range l.t.code[1:] {
		if e := element(code); e.fixed() {
			fixed += utf8.RuneCountInString(e.of(l.t.body))
		}
	}
	if all := utf8.RuneCountInString(l.t.body); fixed*100 < all*linting.FixedPercent {
		l.add(LintFixedRatio, Error, 0, fmt.Sprintf("%d of %d characters are fixed, that is %d %%.", fixed, all, fixed*100/all),
			fmt.Sprintf("At least %d %% of the message must be fixed text.", linting.FixedPercent))
	}
	if n := l.t.FixedBytes(); n < linting.FixedBytes {
		l.add(LintFixedShort, Error, 0, fmt.Sprintf("There are %d bytes of fixed text.", n),
			fmt.Sprintf("Write at least %d; with less, almost any text would be one of this template.", linting.FixedBytes))
	}
}

// content looks for what every body must say.
func (l *linter) content() {
	if l.r.Brands != nil && !slices.ContainsFunc(l.r.Brands, func(b string) bool { return b != "" && strings.Contains(l.folded, strings.ToLower(b)) }) {
		l.add(LintBrand, Error, 0, "The brand is not in the fixed text.", "Name the brand or trade name in the body, for example at the end.")
	}
	if l.r.Category == "promotional" && !l.t.HasOptOut() {
		l.add(LintOptOut, Error, 0, "There is no way to opt out.",
			"Say how, with a link, a number or a short code, such as \"Opt out: {#url#}\" or \"SMS STOP to 56161\".")
	}
}

// category compares the words with the category.
func (l *linter) category() {
	promotional, code := word(l.folded, linting.Promotional), word(l.folded, linting.OneTime)
	switch l.r.Category {
	case "service", "transactional", "government":
		if promotional != "" {
			l.add(LintCategory, Warning, 0, fmt.Sprintf("%q is the language of promotion.", promotional),
				"Register it as promotional, or leave it out: anything mixed with promotion is promotional as a whole.")
		}
	}
	switch {
	case code != "" && (l.r.Category == "promotional" || l.r.Category == "service"):
		l.add(LintCategory, Note, 0, fmt.Sprintf("%q speaks of a one-time password.", code),
			"Register it as transactional when it answers what the customer began within the last 30 minutes.")
	case code != "" && l.r.Category == "transactional" && len(scan(l.text, nil)) > 0:
		l.add(LintCategory, Note, 0, "A message with a one-time password holds a link or number.", "Leave it out: customers are told not to trust such messages.")
	}
}

// hasAny tells whether a word or phrase of a list stands in folded text.
func hasAny(folded string, list []string) bool { return word(folded, list) != "" }

// word answers the first word or phrase of a list that stands in folded text, not inside another word.
func word(folded string, list []string) string {
	for _, w := range list {
		for at := 0; ; {
			i := strings.Index(folded[at:], w)
			if i < 0 {
				break
			}
			start, end := at+i, at+i+len(w)
			before, _ := utf8.DecodeLastRuneInString(folded[:start])
			after, _ := utf8.DecodeRuneInString(folded[end:])
			if first, _ := utf8.DecodeRuneInString(w); (!wordly(before) || !wordly(first)) && !wordly(after) {
				return w
			}
			at = end
		}
	}
	return ""
}

func wordly(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r))
}

// characters looks for what is read or matched otherwise than it seems.
func (l *linter) characters() {
	if at := invisible(l.text); at >= 0 {
		l.add(LintInvisible, Error, 0, fmt.Sprintf("Character %s is invisible.", unseen(l.text, at).Found), "Remove it; messages with it are refused.")
	}
	if strings.Contains(l.text, "  ") {
		l.add(LintDoubleSpace, Warning, 0, "There are two spaces side by side.", "Leave one; the second is easily lost, and then nothing matches.")
	}
	if strings.ContainsAny(l.text, "<>") {
		l.add(LintAngle, Warning, 0, "There is a < or >.", "Leave it out; some portals refuse it.")
	}
	if p := placeholder(l.text); p != "" {
		l.add(LintPlaceholder, Warning, 0, fmt.Sprintf("%q looks like a variable but is fixed text.", p),
			"Write variables exactly as the portal does, such as {#numeric#}: in small letters, with both braces.")
	}
	for _, r := range l.text {
		if r >= utf8.RuneSelf && slices.ContainsFunc(alike[:3], func(a alikeSet) bool { return strings.ContainsRune(a.set, r) }) {
			l.add(LintTypographic, Warning, 0, fmt.Sprintf("%q (U+%04X) is a typographic sign.", r, r),
				"Use the plain one of the keyboard: this one turns the message into Unicode, 70 characters a segment, and is easily replaced.")
			break
		}
	}
}

// placeholder finds fixed text that was meant to be a variable.
func placeholder(text string) string {
	for _, signs := range [...][2]string{{"{#", "#}"}, {"{", "}"}, {"##", "##"}, {"#", "#"}, {"<", ">"}, {"[", "]"}} {
		_, rest, ok := strings.Cut(text, signs[0])
		if !ok {
			continue
		}
		name, _, ok := strings.Cut(rest, signs[1])
		if ok && name != "" && len(name) <= 20 && strings.IndexFunc(name, func(r rune) bool { return !wordly(r) && r != '_' && r != '#' }) < 0 {
			return signs[0] + name + signs[1]
		}
	}
	if strings.Contains(text, "XXXX") {
		return "XXXX"
	}
	return ""
}

// calls looks at the calls to action of the fixed text.
func (l *linter) calls() {
	for i, call := range scan(l.text, nil) {
		if i == maxCalls {
			return
		}
		if host, short := l.shortener(&call); short {
			l.add(LintShortener, Error, 0, fmt.Sprintf("The link is on %s, which shortens links for anyone.", host),
				"Use a link of your own, or a short link with your header in it, https://host/HEADER/token, and whitelist it.")
		}
		if l.r.Whitelist != nil && !l.r.Whitelist.lists(&call) {
			l.add(LintCTA, Error, 0, fmt.Sprintf("%q is not whitelisted.", call.value), "Whitelist it for the entity at its DLT portal, or leave it out.")
		}
	}
}

// shortener tells whether a link is on a public shortener and not registered.
func (l *linter) shortener(call *found) (string, bool) {
	if call.kind != StaticURL && call.kind != bareDomain {
		return "", false
	}
	host := strings.ToLower(call.value)
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	if i := strings.IndexAny(host, "/?:"); i >= 0 {
		host = host[:i]
	}
	return host, slices.Contains(linting.Shorteners, strings.TrimPrefix(host, "www.")) && !l.r.Whitelist.lists(call)
}
