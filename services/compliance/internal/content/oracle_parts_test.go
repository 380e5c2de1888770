package content_test

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

func (o *oracle) add(at, order int, k content.Kind, certain bool, start, end int) {
	o.events = append(o.events, candidate{at: at, order: order, kind: k, certain: certain, start: start, end: end})
}

var secrets = map[string]content.Kind{"otp": content.OTP, "code": content.OTP, "cvv": content.CVV, "pin": content.PIN, "mpin": content.PIN,
	"password": content.Password}

// phrases walks the words that begin one.
func (o *oracle) phrases() {
	var taken int // codes before this belong to a phrase
	for i, t := range o.tokens {
		for _, g := range o.groups(t) {
			kind, ok := secrets[g]
			if !ok || o.isGone(t[0]) || inside(o.past, t[0]) || o.inLink(t[0]) || g == "code" && o.modifier(i) != "verification" {
				continue
			}
			if kind == content.OTP {
				if code := o.codeBefore(i, taken); code != nil {
					o.add(t[0], 0, content.OTP, true, code[0], code[1])
					taken = code[1]
					continue
				}
			}
			if end := o.value(kind, g, i); end > 0 {
				taken = end
			}
		}
	}
}

// modifier is the group of the word before token i in the same clause; numbers between do not count.
func (o *oracle) modifier(i int) string {
	for j := i - 1; j >= 0; j-- {
		if strings.ContainsAny(o.text[o.tokens[j][1]:o.tokens[j+1][0]], breaking) {
			return ""
		}
		if inside(o.past, o.tokens[j][0]) || o.isGone(o.tokens[j][0]) {
			return ""
		}
		if digitRun.MatchString(o.text[o.tokens[j][0]:o.tokens[j][1]]) {
			continue
		}
		if !o.inLink(o.tokens[j][0]) {
			for _, g := range o.groups(o.tokens[j]) {
				if g == "verification" || g == "secret" {
					return g
				}
			}
		}
		return ""
	}
	return ""
}

// codeBefore is the last number before token i, when it can be its code.
func (o *oracle) codeBefore(i, taken int) []int {
	for j := i - 1; j >= 0; j-- {
		t := o.tokens[j]
		if strings.ContainsAny(o.text[t[1]:o.tokens[j+1][0]], breaking) || o.tokens[i][0]-t[1] > 24 {
			return nil
		}
		if n := t[1] - t[0]; digitRun.MatchString(o.text[t[0]:t[1]]) {
			if n < 4 || n > 8 || t[1] <= taken || o.isGone(t[0]) {
				return nil
			}
			return t
		}
	}
	return nil
}

// value judges what follows token i and answers its end.
func (o *oracle) value(kind content.Kind, group string, i int) int {
	after := o.tokens[i][1]
	m := value.FindStringSubmatchIndex(o.text[after:])
	if m == nil {
		return 0
	}
	from, to := max(m[2], m[4]), max(m[3], m[5])
	start, text := after+from, o.text[after+from:after+to]
	first := run.FindString(text)
	if words[strings.ToLower(first)] != nil && first != "" {
		return 0
	}
	if kind == content.Password {
		cut := min(len(text), 64)
		for cut < len(text) && !utf8.RuneStart(text[cut]) {
			cut++
		}
		text = strings.TrimRight(text[:cut], `.,;!?)"'>]`)
		if len(text) >= 4 && strong.MatchString(text) && !strings.Contains(text, ":/") {
			o.add(start, 0, kind, true, start, start+len(text))
			o.gone = append(o.gone, [2]int{start, start + len(text)})
			return start + len(text)
		}
		return 0
	}
	n := len(first)
	if !digitRun.MatchString(first) {
		return 0
	}
	switch {
	case kind == content.OTP && n >= 4 && n <= 8, kind == content.CVV && (n == 3 || n == 4):
		o.add(start, 0, kind, true, start, start+n)
	case kind == content.PIN && (n == 4 || n == 6):
		o.add(start, 0, kind, n == 4 || group == "mpin" || o.modifier(i) == "secret", start, start+n)
	default:
		return 0
	}
	return start + n
}

func (o *oracle) addresses() {
	for from := 0; ; {
		m := ten["address"].FindStringSubmatchIndex(o.text[from:])
		if m == nil {
			return
		}
		start, at, end := from+m[0], from+m[3], from+m[1]
		for o.isGone(start) && start < at {
			start++
		}
		domain := strings.TrimRight(o.text[at+1:end], ".-")
		end = at + 1 + len(domain)
		from = at + 1
		switch {
		case o.isGone(at) || start == at:
			continue
		case isMail.MatchString(domain):
			o.add(at, 0, content.Email, true, start, end)
		case isHandle.MatchString(domain) && at-start >= 2 && !strings.HasPrefix(o.text[end:], "_"):
			o.add(at, 0, content.VPA, slices.Contains(words[strings.ToLower(domain)], "handle"), start, end)
		default:
			continue
		}
		o.gone = append(o.gone, [2]int{at, end})
		from = end
	}
}

var contexts = []string{"aadhaar", "vid", "card", "account", "reference", "pan", "passport", "voter"}

func (o *oracle) context() {
	for _, t := range o.tokens {
		if o.isGone(t[0]) || o.inLink(t[0]) {
			continue
		}
		word := o.text[t[0]:t[1]]
		groups := o.groups(t)
		if strings.EqualFold(word, "c") && t[0] >= 2 && strings.EqualFold(o.text[t[0]-2:t[0]], "a/") && (t[0] == 2 || !token.MatchString(o.text[t[0]-3:t[0]-2])) {
			groups = []string{"account"}
		}
		for _, g := range groups {
			if slices.Contains(contexts, g) {
				c := candidate{at: t[0], order: 2, start: t[0], end: t[1], context: g}
				o.words, o.events = append(o.words, c), append(o.events, c)
			}
		}
	}
}

// near is the last of some groups that ends at most 32 bytes before start.
func (o *oracle) near(start int, groups ...string) string {
	last := ""
	for _, w := range o.words {
		if slices.Contains(groups, w.context) && w.end <= start {
			last = ""
			if start-w.end <= 32 {
				last = w.context
			}
		}
	}
	return last
}

func (o *oracle) nearNumber(start int) string { return o.near(start, contexts[:5]...) }

func (o *oracle) resolve() []content.Finding {
	slices.SortStableFunc(o.events, func(a, b candidate) int { return cmp.Or(a.at-b.at, a.order-b.order) })
	for _, e := range o.events {
		switch {
		case e.order != 0 && (o.isGone(e.at) || o.isGone(e.start)):
		case e.context != "":
			o.hindsight(e)
		default:
			o.take(e)
		}
	}
	return o.out
}

func (o *oracle) take(e candidate) {
	for n := len(o.out); n > 0 && o.out[n-1].End > e.start; n = len(o.out) {
		if e.end-e.start <= o.out[n-1].End-o.out[n-1].Start {
			return
		}
		o.out = o.out[:n-1]
	}
	if o.inLink(e.at) && e.kind != content.IFSC {
		e.certain = e.certain || e.kind == content.Email
		e.kind = content.URLData
	}
	if e.kind == content.IFSC {
		for i := range o.out {
			if f := &o.out[i]; f.Kind == content.Account && f.End == o.lastAccount(e.start) && e.start-f.End <= 64 {
				f.Certain = true
			}
		}
	}
	o.out = append(o.out, content.Finding{Kind: e.kind, Certain: e.certain, Start: e.start, End: e.end})
}

func (o *oracle) lastAccount(before int) (end int) {
	for _, e := range o.events {
		if e.context == "" && e.kind == content.Account && e.at < before && !o.isGone(e.start) {
			end = e.end
		}
	}
	return end
}

func (o *oracle) hindsight(e candidate) {
	if len(o.out) == 0 {
		return
	}
	f := &o.out[len(o.out)-1]
	gap, k := e.start-f.End, f.Kind
	switch {
	case e.context == "reference" && gap <= 16 && !f.Certain && (k == content.Aadhaar || k == content.VID || k == content.Phone):
		o.out = o.out[:len(o.out)-1]
	case gap > 24:
	case e.context == "aadhaar" && (k == content.Aadhaar || k == content.VID), e.context == "vid" && k == content.VID,
		e.context == "pan" && k == content.PAN, e.context == "voter" && k == content.VoterID:
		f.Certain = true
	}
}
