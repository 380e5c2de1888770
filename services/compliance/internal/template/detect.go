package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// domains are top-level domains by which a bare domain is told from an abbreviation or a number: those of Indian use
// and those that lead the public abuse lists. A domain outside this list is caught by its http:// or www.
var domains = func() map[string]bool {
	set := map[string]bool{}
	for _, d := range strings.Fields(`com net org info biz name mobi in co io me ai us uk eu ru cn tv cc ly gl gd to ws
		pw tk ml ga cf gq la sh so st su xyz top site online club shop store live life link click app dev page web
		space website tech icu vip win bid loan work today world bar buzz cyou sbs cfd rest fun pro one bank finance
		money cash credit pay games bet casino email mobile chat news gov edu mil cloud digital agency zone`) {
		set[d] = true
	}
	return set
}()

// found is a call to action seen in free text.
type found struct {
	kind  CTAKind // StaticURL for any link with a scheme or www., bareDomain, Number or Address
	value string
}

// bareDomain marks a link without scheme or www.
const bareDomain CTAKind = "domain"

// calls yields what a reader would take for a call to action: links, domains, e-mail addresses, Indian callback
// numbers; at most one for each piece between white space.
func calls(text string) func(func(found) bool) {
	return func(yield func(found) bool) {
		for piece := range strings.FieldsFuncSeq(text, unicode.IsSpace) {
			if c, ok := call(piece); ok && !yield(c) {
				return
			}
		}
	}
}

func call(piece string) (found, bool) {
	if c, ok := linkIn(piece); ok {
		return c, true
	}
	if c, ok := domainIn(piece); ok {
		return c, true
	}
	return numberIn(piece)
}

// linkIn finds http://, https:// or www. in a piece.
func linkIn(piece string) (found, bool) {
	for i := range len(piece) {
		switch piece[i] | 0x20 {
		case 'h':
			if !fold(piece[i:], "http://") && !fold(piece[i:], "https://") {
				continue
			}
		case 'w':
			if !fold(piece[i:], "www.") {
				continue
			}
		default:
			continue
		}
		return found{StaticURL, strings.TrimRight(piece[i:], ".,;:!)'\"]}")}, true
	}
	return found{}, false
}

// domainIn finds dotted labels that end in a known top-level domain, bare or after an @.
func domainIn(piece string) (found, bool) {
	for dot := strings.IndexByte(piece, '.'); dot >= 0; {
		end := dot + 1
		for end < len(piece) && (letter(piece[end]) || piece[end] == '-') {
			end++
		}
		start := dot
		for start > 0 && (label(piece[start-1]) || piece[start-1] == '.') {
			start--
		}
		top := strings.ToLower(piece[dot+1 : end])
		if start < dot && (domains[top] || strings.HasPrefix(top, "xn--")) {
			return widen(piece, start, end), true
		}
		next := strings.IndexByte(piece[dot+1:], '.')
		if next < 0 {
			break
		}
		dot += 1 + next
	}
	return found{}, false
}

// widen turns a domain into the address or the link it stands in.
func widen(piece string, start, end int) found {
	if start > 0 && piece[start-1] == '@' {
		local := start - 1
		for local > 0 && (label(piece[local-1]) || strings.IndexByte("._+", piece[local-1]) >= 0) {
			local--
		}
		return found{Address, piece[local:end]}
	}
	if end < len(piece) && (piece[end] == '/' || piece[end] == '?' || piece[end] == ':') {
		end = len(piece)
	}
	return found{bareDomain, strings.TrimRight(piece[start:end], ".,;:!)'\"]}")}
}

// numberIn finds a run of digits that can be called in India: ten digits from 6-9 with or without +91, 91 or 0, and
// toll-free numbers from 1800 and 1860 (DLT rules 2.4).
func numberIn(piece string) (found, bool) {
	for i := 0; i < len(piece); {
		if !digit(piece[i]) {
			i++
			continue
		}
		start := i
		for i < len(piece) && digit(piece[i]) {
			i++
		}
		if n := piece[start:i]; callable(n) {
			return found{Number, n}, true
		}
	}
	return found{}, false
}

func callable(digits string) bool {
	n := national(digits)
	if len(n) == 10 && n[0] >= '6' {
		return true
	}
	return len(digits) >= 8 && len(digits) <= 11 && (strings.HasPrefix(digits, "1800") || strings.HasPrefix(digits, "1860"))
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// label tells whether c may stand in a domain label; bytes of other scripts may, for internationalised names.
func label(c byte) bool { return letter(c) || digit(c) || c == '-' || c >= utf8.RuneSelf }

// checkCTAs examines the values of a text that matched: links, numbers and addresses against the whitelist, and no
// call to action at all in untyped variables, also when it is spread over adjacent ones.
func (m *Matcher) checkCTAs(t *Template, text string, rules Rules, wrong []Finding) []Finding {
	variable, run := 0, -1 // run: start of the current run of adjacent untyped values
	for i := range t.elements {
		e := &t.elements[i]
		if e.kind == Literal {
			continue
		}
		span := m.spans[variable]
		variable++
		if e.kind != Untyped {
			if !rules.Whitelist.allows(e.kind, text[span.Start:span.End]) {
				wrong = append(wrong, Finding{Code: CTANotWhitelisted, Variable: variable, Position: character(text, span.Start)})
			}
			continue
		}
		if run < 0 {
			run = span.Start
		}
		if i+1 < len(t.elements) && t.elements[i+1].kind == Untyped {
			continue
		}
		if rules.UntypedMax == 0 && calling(text[run:span.End]) {
			wrong = append(wrong, Finding{Code: CTAInUntypedVar, Variable: variable, Position: character(text, run)})
		}
		run = -1
	}
	return wrong
}

// allows checks a value of a typed variable; digits and names are no call to action.
func (w *Whitelist) allows(kind Kind, value string) bool {
	switch kind {
	case URL:
		return w.URL(value)
	case OTT:
		return w.OTT(value)
	case Callback:
		return w.Number(value)
	case Email:
		return w.Email(value)
	default:
		return true
	}
}

// calling tells whether text holds a call to action. Most values have neither dot, digit nor colon: those cost one scan.
func calling(text string) bool {
	if !strings.ContainsAny(text, ".:0123456789") {
		return false
	}
	for range calls(text) {
		return true
	}
	return false
}

// Unlisted finds the first call to action in the fixed text that is not whitelisted. The text was registered, but the
// whitelist may have shrunk since. ok is true when there is none.
func (t *Template) Unlisted(w *Whitelist) (value string, ok bool) {
	for c := range calls(t.skeleton) {
		listed := false
		switch c.kind {
		case Number:
			listed = w.Number(c.value)
		case Address:
			listed = w.Email(c.value)
		case bareDomain:
			listed = w.bare(c.value)
		default:
			listed = w.URL(c.value) || w.OTT(c.value)
		}
		if !listed {
			return c.value, false
		}
	}
	return "", true
}
