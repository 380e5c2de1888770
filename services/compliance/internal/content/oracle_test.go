package content_test

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

// The oracle says with regexps and textbook checksums what the scanner says with tables and one pass. It reads plain
// texts: folding has its cases.
const (
	separators = `[ "'():=-]`
	breaking   = "\n\r.,;!?/\\|<>[]{}&*%+#$^~`@"
)

var words = func() map[string][]string { // word to its groups
	var d struct {
		Words                                                  map[string][]string
		Verification, Secret, Filler, Fields, Endings, Handles []string
	}
	raw, err := os.ReadFile("data.yaml")
	if err != nil {
		panic(err)
	}
	if err := yaml.Unmarshal(raw, &d); err != nil {
		panic(err)
	}
	d.Words["verification"], d.Words["secret"], d.Words["filler"] = d.Verification, d.Secret, d.Filler
	d.Words["field"], d.Words["ending"], d.Words["handle"] = d.Fields, d.Endings, d.Handles
	m := map[string][]string{}
	for group, list := range d.Words {
		for _, w := range list {
			m[w] = append(m[w], group)
		}
	}
	return m
}()

func of(group string) string {
	var list []string
	for w, groups := range words {
		if slices.Contains(groups, group) {
			list = append(list, regexp.QuoteMeta(w))
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return `(?:` + strings.Join(list, "|") + `)`
}

// ten are the regexps, one for each detector.
var ten = map[string]*regexp.Regexp{
	"number":  regexp.MustCompile(`\b[0-9]{9,19}\b`),
	"fours":   regexp.MustCompile(`\b[0-9]{4}(?:[ -][0-9]{4})+\b`),
	"spelled": regexp.MustCompile(`\b[0-9](?:[ -][0-9]\b){9,}`),
	"amex":    regexp.MustCompile(`\b[0-9]{4}[ -][0-9]{6}[ -][0-9]{5}\b`),
	"phone":   regexp.MustCompile(`(?:\b91[ -])?\b(?:[6-9][0-9]{9}|[6-9][0-9]{4}[ -][0-9]{5})\b`),
	"shape": regexp.MustCompile(`(?i)\b(?:([A-Z]{3}[ABCFGHJKLPT][A-Z][0-9]{4}[A-Z])|([A-Z]{3}[0-9]{7})|([A-Z]{4}0[A-Z0-9]{6})|` +
		`([A-PR-WY][1-9][0-9]{5}[1-9])|([0-9]{2}[A-Z]{3}[ABCFGHJKLPT][A-Z][0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]))\b`),
	"address": regexp.MustCompile(`([A-Za-z0-9][0-9A-Za-z_.%+-]{0,63})@([A-Za-z0-9][A-Za-z0-9.-]{2,63})`),
	"link":    regexp.MustCompile(`(?i)(?:://|\.` + of("ending") + `[/?])[^ \t\r\n]*`),
	"field":   regexp.MustCompile(`(?i)\b` + of("field") + `=([^&# \t\r\n]{1,64})`),
	"phrase": regexp.MustCompile(`(?i)(?:\b(?:otp|code|cvv2?|cvc|u?pin|[mt]pin|upipin|password|passwd|pwd|passcode|paasward)\b|ओटीपी|कोड|सीवीवी|पिन|पासवर्ड)` +
		`((?:` + separators + `+` + of("filler") + `){0,4}` + separators + `+)([0-9A-Za-z_@#$%^&*+]\S*)`),
}

var (
	token   = regexp.MustCompile(`[0-9A-Za-z_]+|[^\x00-\x7F]+`)
	fillers = `(?:\b` + of("filler") + `\b|आपका|आपकी|है|का|की|नंबर)`
	value   = regexp.MustCompile(`(?i)^(?:` + separators + `*` + fillers + `){0,4}(?:` + separators + `*(\b[0-9A-Za-z_]\S*)|` +
		separators + `+([@#$%^&*+]\S*))`)
	run      = regexp.MustCompile(`^[0-9A-Za-z_]+`)
	digitRun = regexp.MustCompile(`^[0-9]+$`)
	strong   = regexp.MustCompile(`[0-9@#$%^&*+=_]`)
	isMail   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,}$`)
	isHandle = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{2,}$`)
	issuer   = regexp.MustCompile(`^(?:4(?:.{12}|.{15}|.{18})|5[1-5].{14}|(?:222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}|` +
		`(?:5018|5019|5020|6759|676[0-3]).{9,15}|3[47].{13}|(?:30[0-5]|36.|3[89].).{11}|(?:60|65|81|82).{14}|(?:508|353|356).{13}|` +
		`(?:352[89]|35[3-8].).{12}|62.{14,17})$`)
)

// tenRegexps is the work a scanner of regexps does: every match with the place of its value, and the check digits.
func tenRegexps(text string) (n int) {
	for name, r := range ten {
		for _, m := range r.FindAllStringSubmatchIndex(text, -1) {
			switch name {
			case "number", "fours", "amex", "spelled":
				digits := strings.NewReplacer(" ", "", "-", "").Replace(text[m[0]:m[1]])
				if textbookVerhoeff(digits) || textbookLuhn(digits) {
					n++
				}
			default:
				n++
			}
		}
	}
	return n
}

// candidate is what one regexp found, at the token by which the scanner would have found it.
type candidate struct {
	at, order  int
	kind       content.Kind
	start, end int
	certain    bool
	context    string // a context word instead of a finding
}

type oracle struct {
	text   string
	ids    []string
	events []candidate
	tokens [][]int
	gone   [][2]int // spans taken whole: passwords, addresses
	past   [][2]int // the same of the pass before
	links  [][]int
	words  []candidate // context words
	out    []content.Finding
}

func ask(text string, ids ...string) []content.Finding {
	o := &oracle{text: text, ids: ids, tokens: token.FindAllStringIndex(text, -1)}
	for range 3 { // what is taken whole begins no link, and in links nothing is a phrase
		o.findLinks()
		o.events, o.past, o.gone = nil, o.gone, nil
		o.phrases()
		o.addresses()
	}
	o.findLinks()
	o.context()
	o.numbers()
	o.shapes()
	o.fields()
	return o.resolve()
}

func (o *oracle) findLinks() {
	o.links = nil
	for _, m := range ten["link"].FindAllStringIndex(o.masked(), -1) {
		from := m[0] + strings.IndexAny(o.text[m[0]:m[1]], "/?")
		if o.text[m[0]] == ':' {
			from = m[0] + 3
		}
		o.links = append(o.links, []int{from, m[1]})
	}
}

// masked is the text without what was taken whole.
func (o *oracle) masked() string {
	masked := []byte(o.text)
	for _, g := range o.gone {
		for i := g[0]; i < g[1]; i++ {
			masked[i] = '@'
		}
	}
	return string(masked)
}

func (o *oracle) inLink(i int) bool {
	return slices.ContainsFunc(o.links, func(l []int) bool { return i >= l[0] && i < l[1] })
}

func (o *oracle) isGone(i int) bool { return inside(o.gone, i) }

func inside(spans [][2]int, i int) bool {
	return slices.ContainsFunc(spans, func(g [2]int) bool { return i >= g[0] && i < g[1] })
}

func (o *oracle) groups(t []int) []string { return words[strings.ToLower(o.text[t[0]:t[1]])] }

func textbookVerhoeff(digits string) bool {
	d := [10]string{"0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043", "8765932104", "9876543210"}
	p := [8]string{"0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"}
	c := 0
	for i := range len(digits) {
		c = int(d[c][p[i%8][digits[len(digits)-1-i]-'0']-'0'] - '0')
	}
	return c == 0
}

func textbookLuhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		n := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// textbookGSTIN is the check character as the GST network describes it.
func textbookGSTIN(s string) bool {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	s = strings.ToUpper(s)
	state := s[:2]
	if (state < "01" || state > "38") && state != "97" && state != "99" {
		return false
	}
	factor, sum := 2, 0
	for i := 13; i >= 0; i-- {
		n := factor * strings.IndexByte(alphabet, s[i])
		factor = 3 - factor
		sum += n/36 + n%36
	}
	return alphabet[(36-sum%36)%36] == s[14]
}

func aadhaarForm(digits string) bool {
	back := []byte(digits)
	slices.Reverse(back)
	return digits[0] >= '2' && string(back) != digits && textbookVerhoeff(digits)
}
