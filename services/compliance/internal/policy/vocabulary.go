package policy

import "fmt"

// Category of a content template; the numbers are those of type.v1.Category.
type Category uint8

// The categories (DLT rules 1.4). A template without one is refused.
const (
	NoCategory Category = iota
	Promotional
	Service
	Transactional
	Government
)

var categoryNames = []string{"", "promotional", "service", "transactional", "government"}

// ParseCategory reads a category as registry files write it.
func ParseCategory(s string) (Category, error) {
	for i, n := range categoryNames {
		if n == s && s != "" {
			return Category(i), nil
		}
	}
	return 0, fmt.Errorf("category %q is none of promotional, service, transactional, government", s)
}

// String is the word of registry files.
func (c Category) String() string {
	if int(c) < len(categoryNames) {
		return categoryNames[c]
	}
	return ""
}

// Status of a registered object. The zero value says that there is none.
type Status uint8

// The statuses (DLT rules 1.1, 2.1). Suspended stands for suspensions by validity, usage and customer alike.
const (
	Unknown Status = iota
	Active
	Inactive
	Suspended
	Blacklisted
)

// ParseStatus reads a status as portals and registry files write it; empty is active.
func ParseStatus(s string) (Status, error) {
	switch s {
	case "", "active":
		return Active, nil
	case "inactive":
		return Inactive, nil
	case "suspended", "suspended_validity", "suspended_usage", "suspended_customer", "suspended_verified":
		return Suspended, nil
	case "blacklisted":
		return Blacklisted, nil
	default:
		return Unknown, fmt.Errorf("status %q is none of active, inactive, suspended, suspended_validity, "+
			"suspended_usage, suspended_customer, suspended_verified, blacklisted", s)
	}
}

// Kind of a header (DLT rules 1.3).
type Kind uint8

// The kinds: Other has 3-6 letters and digits, PromotionalHeader six digits of which the first names the category of
// goods.
const (
	Other Kind = iota
	PromotionalHeader
)

// ParseKind reads a kind as registry files write it; empty is other.
func ParseKind(s string) (Kind, error) {
	switch s {
	case "", "other":
		return Other, nil
	case "promotional":
		return PromotionalHeader, nil
	default:
		return 0, fmt.Errorf("header kind %q is neither other nor promotional", s)
	}
}

// IsID tells whether s has the form of a DLT id: 19 digits, kept as a string since 2^53 has 16 (DLT rules 1.2).
func IsID(s string) bool {
	if len(s) != 19 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
