package template

import (
	"fmt"
	"strings"
)

// CTAKind is how a call to action is registered.
type CTAKind string

// The kinds of calls to action, as they stand in registry files.
const (
	StaticURL  CTAKind = "static"  // a link without a query, matched whole
	DynamicURL CTAKind = "dynamic" // a link that ends with ?; anything may follow the ?
	ShortURL   CTAKind = "short"   // scheme://host/HEADER/token; any token may follow the header
	AppLink    CTAKind = "ott"     // an app, APK or social link, matched whole
	Number     CTAKind = "number"  // a mobile, landline or toll-free number
	Address    CTAKind = "email"   // an e-mail address
)

// CTA is one registered call to action.
type CTA struct {
	Kind  CTAKind
	Value string
}

// Whitelist holds an entity's calls to action. It is immutable; a nil one is empty.
type Whitelist struct {
	links   map[string][]registered // by host, lower case
	numbers map[string]bool         // national significant digits
	mails   map[string]bool         // lower case
}

type registered struct {
	kind CTAKind
	link link
}

// NewWhitelist builds a whitelist. It fails on the first value that is not of its kind's form; the error names its place
// from 1, since a value may be a number or an address, which no log may hold.
func NewWhitelist(ctas []CTA) (*Whitelist, error) {
	w := &Whitelist{links: map[string][]registered{}, numbers: map[string]bool{}, mails: map[string]bool{}}
	for i, c := range ctas {
		if err := w.add(c); err != nil {
			return nil, fmt.Errorf("call to action %d, %s: %w", i+1, c.Kind, err)
		}
	}
	return w, nil
}

func (w *Whitelist) add(c CTA) error {
	switch c.Kind {
	case Number:
		digits := national(c.Value)
		if strings.Trim(digits, "0123456789") != "" || !tollFree(digits) && (len(digits) != 10 || digits[0] == '0') {
			return fmt.Errorf("not a mobile or landline number of ten digits, nor a toll-free one of 8 to 11 from 1800 or 1860")
		}
		w.numbers[digits] = true
	case Address:
		if !address(c.Value) {
			return fmt.Errorf("not an e-mail address")
		}
		w.mails[strings.ToLower(c.Value)] = true
	case StaticURL, DynamicURL, ShortURL, AppLink:
		return w.addLink(c)
	default:
		return fmt.Errorf("unknown kind")
	}
	return nil
}

func (w *Whitelist) addLink(c CTA) error {
	l, ok := parseLink(c.Value)
	switch {
	case !ok:
		return fmt.Errorf("not a link that starts with http://, https:// or www")
	case c.Kind == DynamicURL && (!l.asks || l.query != ""):
		return fmt.Errorf("a dynamic link ends with ?")
	case c.Kind != DynamicURL && l.asks:
		return fmt.Errorf("only a dynamic link holds ?")
	case c.Kind == ShortURL:
		header := c.Header()
		if header == "" || l.scheme == "" {
			return fmt.Errorf("a short link is scheme://host/HEADER/token")
		}
		l.path = "/" + header + "/"
	}
	host := strings.ToLower(l.host)
	w.links[host] = append(w.links[host], registered{c.Kind, l})
	return nil
}

// Header is the registered header that a short link names, which its owner must hold; empty for what is no short link.
func (c CTA) Header() string {
	l, ok := parseLink(c.Value)
	if !ok || c.Kind != ShortURL {
		return ""
	}
	header, _, ok := strings.Cut(strings.TrimPrefix(l.path, "/"), "/")
	if !ok {
		return ""
	}
	return header
}

// address tells whether s has the form of an e-mail address: a local part of RFC 5321's atoms, a host name.
func address(s string) bool {
	local, host, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(local) > 64 || !hostname(host) || strings.Contains(host, ":") {
		return false
	}
	for i := range len(local) {
		if c := local[i]; !letter(c) && !digit(c) && strings.IndexByte(".!#$%&'*+/=?^_`{|}~-", c) < 0 {
			return false
		}
	}
	return true
}

// URL tells whether value is a registered static, dynamic or short link. It compares parsed parts, so that neither
// `https://abc.in.evil.co/` nor `https://abc.in@evil.co/` passes for abc.in.
func (w *Whitelist) URL(value string) bool {
	return w.link(value, func(k CTAKind) bool { return k != AppLink })
}

// OTT tells whether value is a registered app or social link.
func (w *Whitelist) OTT(value string) bool {
	return w.link(value, func(k CTAKind) bool { return k == AppLink })
}

func (w *Whitelist) link(value string, kind func(CTAKind) bool) bool {
	l, ok := parseLink(value)
	if !ok || w == nil {
		return false
	}
	for _, r := range w.links[strings.ToLower(l.host)] {
		if kind(r.kind) && r.link.scheme == l.scheme && r.allows(l) {
			return true
		}
	}
	return false
}

// allows compares path and query by the rules of the kind; the host is known to be equal.
func (r *registered) allows(l link) bool {
	switch r.kind {
	case DynamicURL:
		return l.path == r.link.path && l.asks && l.query != ""
	case ShortURL:
		token, ok := strings.CutPrefix(l.path, r.link.path)
		return ok && !l.asks && token != "" && !strings.Contains(token, "/")
	default:
		return l.path == r.link.path && !l.asks
	}
}

// bare tells whether a link written without its scheme is registered with one.
func (w *Whitelist) bare(value string) bool {
	for _, scheme := range []string{"https://", "http://"} {
		if w.URL(scheme+value) || w.OTT(scheme+value) {
			return true
		}
	}
	return false
}

// Number tells whether value is a registered number, with or without +91, 91 or 0 before it.
func (w *Whitelist) Number(value string) bool { return w != nil && w.numbers[national(value)] }

// Email tells whether value is a registered address.
func (w *Whitelist) Email(value string) bool { return w != nil && w.mails[strings.ToLower(value)] }

// link is a URL in the one form that is accepted: printable ASCII, no user part, no fragment.
type link struct {
	scheme, host, path, query string
	asks                      bool // there is a ?, even with nothing after it
}

// linkBytes are the octets a link may have.
var linkBytes = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`\#"<>`, c)
	}
	return t
}()

// parseLink takes a link apart; scheme is empty for one that starts with www. ok is false for anything a browser
// might read differently from us: other characters, @ or \ anywhere before the path, a fragment.
func parseLink(s string) (l link, ok bool) {
	for i := range len(s) {
		if !linkBytes[s[i]] {
			return link{}, false
		}
	}
	rest := s
	switch {
	case fold(s, "https://"):
		l.scheme, rest = "https", s[len("https://"):]
	case fold(s, "http://"):
		l.scheme, rest = "http", s[len("http://"):]
	case !fold(s, "www."):
		return link{}, false
	}
	rest, l.query, l.asks = strings.Cut(rest, "?")
	l.host = rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		l.host, l.path = rest[:i], rest[i:]
	}
	return l, hostname(l.host)
}

// hostname accepts dotted labels of letters, digits and hyphens, with a port or without.
func hostname(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return false
	}
	label, dots := 0, 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label, dots = 0, dots+1
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			label++
		default:
			return false
		}
	}
	return label > 0 && dots > 0
}

// fold tells whether s begins with an ASCII prefix, in any case.
func fold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
