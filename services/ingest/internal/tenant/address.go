package tenant

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// maxAddresses is how many address rules a key or a tenant may have in an environment.
const maxAddresses = 100

// Addresses are address rules: ranges from which calls are taken. None: from everywhere.
type Addresses []netip.Prefix

// Allow tells whether calls from a (plain: never IPv4 mapped into IPv6, without zone) are taken.
func (r Addresses) Allow(a netip.Addr) bool {
	return len(r) == 0 || slices.ContainsFunc(r, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Strings writes the rules in CIDR notation.
func (r Addresses) Strings() []string {
	texts := make([]string, len(r))
	for i, p := range r {
		texts[i] = p.String()
	}
	return texts
}

// ParseAddresses reads rules in CIDR notation, or single addresses, v4 or v6; a v4 range mapped into v6 is the v4 range.
// The answer is sorted and has no rule twice; bits behind the prefix are cleared. Errors are Invalid with violations of
// allowed_addresses.
func ParseAddresses(texts []string) (Addresses, error) {
	var found []errs.Violation
	if len(texts) > maxAddresses {
		found = append(found, errs.Violation{Field: "allowed_addresses", Reason: "OUT_OF_RANGE", Detail: fmt.Sprintf("at most %d rules", maxAddresses)})
		return nil, invalid(found)
	}
	rules := make(Addresses, 0, len(texts))
	for i, text := range texts {
		p, err := parsePrefix(text)
		if err != nil {
			found = append(found, errs.Violation{Field: fmt.Sprintf("allowed_addresses[%d]", i), Reason: "FORMAT", Detail: "must be CIDR, for example 203.0.113.0/24 or 2001:db8::/48"})
			continue
		}
		rules = append(rules, p)
	}
	slices.SortFunc(rules, netip.Prefix.Compare)
	return slices.Compact(rules), invalid(found)
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, addrErr := netip.ParseAddr(text)
		if addrErr != nil || a.Zone() != "" {
			return netip.Prefix{}, err
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if mapped := p.Addr(); mapped.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(mapped.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// invalid is nil without violations.
func invalid(found []errs.Violation) error {
	if len(found) == 0 {
		return nil
	}
	return &errs.Error{
		Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request is malformed and nothing was changed; see the violations",
		Violations: found,
	}
}
