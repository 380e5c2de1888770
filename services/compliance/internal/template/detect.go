package template

import (
	"strings"
	"unicode/utf8"
)

// domains are top-level domains by which a bare domain is told from an abbreviation or a number: those of Indian use
// and those that lead the public abuse lists. A domain outside this list is caught by its http:// or www.
var domains = func() map[string]bool {
	set := map[string]bool{}
	for _, d := range strings.Fields(`com net org info biz name mobi in co io me ai us uk eu ru cn tv cc ly gl gd to ws
		pw tk ml ga cf gq la sh so st su xyz top site online club shop store live life link click app dev page web
		space website tech icu vip win bid loan work today world bar buzz cyou sbs cfd rest fun pro one bank finance
		money cash credit pay games bet casino email mobile chat news gov edu mil cloud digital agency zone support
		help services sale deals market global network systems solutions center company express ltd plus group media
		wiki ink ren lol mom pics quest skin hair beauty makeup boats autos homes monster bond lat trade science party
		review stream download racing accountant faith cricket country kim gdn guru ninja rocks tips codes direct
		delivery tax insure loans mortgage claims properties estate travel taxi football tel asia wang host fit
		ooo jp br mx de fr es nl pl za ng ke pk bd lk np ae sa qa sg th vn ph hk tw kr ua
		kz uz ge md bg ro hu cz sk ch dk se fi pt gr tr ir il`) {
		set[d] = true
	}
	return set
}()

// found is a call to action seen in free text.
type found struct {
	kind       CTAKind // StaticURL for any link with a scheme or www., bareDomain, Number or Address
	start, end int     // bytes of the text
	value      string  // as it stands there; a number without separators and in ASCII digits
	glued      bool    // a number: a letter stands beside it, as in an order's id
}

// bareDomain marks a link without scheme or www.
const bareDomain CTAKind = "domain"

// scan appends what a reader would take for a call to action, in the order links, domains and addresses, then numbers
// that stand outside of those.
func scan(text string, list []found) []found {
	for at := 0; at < len(text); {
		end := at + pieceEnd(text[at:])
		if end == at {
			at += runeSize(text, at)
			continue
		}
		for at < end {
			f, ok := linkIn(text[at:end])
			if !ok {
				break
			}
			f.start, f.end = f.start+at, f.end+at
			list = append(list, f)
			at = f.end
		}
		at = end
	}
	return numbers(text, list)
}

// pieceEnd is the length of what stands before the next white space.
func pieceEnd(s string) int {
	for i, r := range s {
		if g := groupOf(r); g == space || g == newline || g == blank || r == '\t' {
			return i
		}
	}
	return len(s)
}

// linkIn finds the first link, domain or address in a piece without white space.
func linkIn(piece string) (found, bool) {
	d, ok := domainIn(piece)
	before := len(piece) // only a scheme before the domain comes first
	if ok {
		before = d.start
	}
	if f, is := schemed(piece, before); is {
		return f, true
	}
	return d, ok
}

// schemed finds http://, https:// or www. before an offset of a piece.
func schemed(piece string, before int) (found, bool) {
	for i := range before {
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
		return cut(StaticURL, piece, i, len(piece)), true
	}
	return found{}, false
}

// cut makes what stands in a piece a call to action, without the punctuation of the sentence around it.
func cut(kind CTAKind, piece string, start, end int) found {
	value := strings.TrimRight(piece[start:end], ".,;:!)'\"]}")
	return found{kind: kind, start: start, end: start + len(value), value: value}
}

// longestHost is the length of a host name (RFC 1035); what is longer is none, and is not read further back.
const longestHost = 253

// domainIn finds dotted labels that end in a known top-level domain, bare or after an @.
func domainIn(piece string) (found, bool) {
	for dot := strings.IndexByte(piece, '.'); dot >= 0; {
		end := dot + 1
		for end < len(piece) && end-dot <= longestHost && (letter(piece[end]) || piece[end] == '-') {
			end++
		}
		start := dot
		for start > 0 && dot-start < longestHost && (label(piece[start-1]) || piece[start-1] == '.') {
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
		return found{kind: Address, start: local, end: end, value: piece[local:end]}
	}
	if end < len(piece) && (piece[end] == '/' || piece[end] == '?' || piece[end] == ':') {
		end = len(piece)
	}
	return cut(bareDomain, piece, start, end)
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// label tells whether c may stand in a domain label; bytes of other scripts may, for internationalised names.
func label(c byte) bool { return letter(c) || digit(c) || c == '-' || c >= utf8.RuneSelf }
