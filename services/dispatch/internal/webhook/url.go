package webhook

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// checkURL tells what is wrong with an endpoint's URL: only what a careful client and a careless one read the same way
// is taken. What its name leads to is checked at each dial, see Guard.
func checkURL(text string, g *Guard) *errs.Violation {
	bad := func(reason, detail string) *errs.Violation {
		return &errs.Violation{Field: "url", Reason: reason, Detail: detail}
	}
	if len(text) > maxURL {
		return bad("TOO_LONG", "at most 2,048 characters")
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7F || c == '\\' {
			return bad("FORMAT", "must be ASCII without blanks and backslashes; write other hosts as punycode")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "":
		return bad("FORMAT", "must be a URL such as https://example.com/hooks")
	case u.Scheme != "https":
		return bad("HTTPS_REQUIRED", "must begin with https://: events are sent over TLS only")
	case u.User != nil:
		return bad("FORMAT", "must not hold a user or password; check the signature instead")
	case strings.Contains(text, "#"):
		return bad("FORMAT", "must not hold a fragment")
	}
	if port := u.Port(); !g.portAllowed(port) {
		return bad("ADDRESS_FORBIDDEN", "the port must be 443 or 8443")
	}
	if detail := checkHost(u.Hostname(), g); detail != "" {
		return bad("ADDRESS_FORBIDDEN", detail)
	}
	return nil
}

// internalNames are ends of names that are never public (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, Kubernetes).
var internalNames = []string{
	"localhost", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "localdomain", "test",
	"invalid", "example", "onion", "arpa", "default", "svc",
}

// checkHost answers what is wrong with a host, or nothing.
func checkHost(host string, g *Guard) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || !g.Allows(addr) {
			return "the address is not a public one"
		}
		return ""
	}
	if g.local && host == "localhost" {
		return ""
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	if strings.HasSuffix(host, ".") || len(host) > 253 || len(labels) < 2 {
		return "the host must be a full public name, without a dot at its end"
	}
	for _, label := range labels {
		if !validLabel(label) {
			return "the host is not a name"
		}
	}
	if numeric(labels[len(labels)-1]) { // 127.1, 0x7f.0.0.1, 017700000001: some resolvers take them for addresses
		return "an address must be written with four decimal numbers"
	}
	for _, name := range internalNames {
		if strings.HasSuffix(host, "."+name) {
			return "the name is not a public one"
		}
	}
	return ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// numeric tells whether a name that ends in this label may be read as an IPv4 address (WHATWG URL, "ends in a number").
func numeric(label string) bool {
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
