package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// Category of a content template; the first five numbers are those of type.v1.Category.
type Category uint8

// The categories (TCCCPR 2018, regulation 2). A template without one is refused. ServiceExplicit was retired on 6 May 2025;
// templates registered with it count as promotional since.
const (
	NoCategory Category = iota
	Promotional
	Service
	Transactional
	Government
	ServiceExplicit
)

var categoryNames = []string{"", "promotional", "service", "transactional", "government", "service_explicit"}

// ParseCategory reads a category as registry files write it.
func ParseCategory(s string) (Category, error) {
	for i, n := range categoryNames {
		if n == s && s != "" {
			return Category(i), nil
		}
	}
	return 0, fmt.Errorf("category %q is none of promotional, service, transactional, government, service_explicit", s)
}

// String is the word of registry files.
func (c Category) String() string {
	if int(c) < len(categoryNames) {
		return categoryNames[c]
	}
	return ""
}

// Status of a registered object, at its portal or with one operator. The zero value says that there is none.
type Status uint8

// The statuses. A suspension has a kind: the validity is over, no use for 30 days, at the customer's wish, or in the course
// of verification; Suspended is one whose kind is not known. FreePool is a surrendered header that anybody may register;
// NotRegistered an object that one operator does not have.
const (
	Unknown Status = iota
	Active
	Inactive
	Suspended
	Blacklisted
	SuspendedValidity
	SuspendedUsage
	SuspendedCustomer
	SuspendedVerified
	FreePool
	NotRegistered
)

var statusNames = []string{"", "active", "inactive", "suspended", "blacklisted", "suspended_validity", "suspended_usage",
	"suspended_customer", "suspended_verified", "free_pool", "not_registered"}

// ParseStatus reads a status as portals and registry files write it; empty is active.
func ParseStatus(s string) (Status, error) {
	if s == "" {
		return Active, nil
	}
	for i, n := range statusNames {
		if n == s {
			return Status(i), nil
		}
	}
	return Unknown, fmt.Errorf("status %q is none of %s", s, strings.Join(statusNames[1:], ", "))
}

// String is the word of registry files; empty for Unknown.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return ""
}

// suspension is the kind of a suspension; ok is false for other statuses.
func (s Status) suspension() (kind string, ok bool) {
	switch s {
	case Suspended:
		return "unknown", true
	case SuspendedValidity, SuspendedUsage, SuspendedCustomer, SuspendedVerified:
		return strings.TrimPrefix(s.String(), "suspended_"), true
	}
	return "", false
}

// Kind of a header.
type Kind uint8

// The kinds: Other has 3-6 letters and digits, PromotionalHeader six digits of which the first names the category of
// goods.
const (
	Other Kind = iota
	PromotionalHeader
)

// String is the word of registry files.
func (k Kind) String() string { return word(k, "other", "promotional") }

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

// IsID tells whether s has the form of a DLT id: 19 digits, kept as a string since a JSON number is exact to 2^53 only, 16 digits.
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

// Answer is what is known of a question: the zero value says that nobody has answered it.
type Answer uint8

// The answers.
const (
	Unanswered Answer = iota
	No
	Yes
)

// String is the answer in words.
func (a Answer) String() string { return word(a, "unanswered", "no", "yes") }

// Preference is what the subscriber's registered preference (TCCCPR 2018, Schedule II) says of a message.
type Preference uint8

// The preferences. PreferenceUnknown: no scrub has covered the number. PreferenceAway: it cannot be asked for now.
const (
	PreferenceUnknown Preference = iota
	PreferenceAway
	NotBlocked
	Blocked
)

// String is the preference in words.
func (p Preference) String() string { return word(p, "unknown", "away", "not_blocked", "blocked") }

// Consent is the state of the recipient's consent to the entity for the template's purpose.
type Consent uint8

// The consents. ConsentUnknown: nobody has looked it up. ConsentAway: the ledger cannot be asked for now. ConsentEnded: the
// contract ended from which consent was inferred.
const (
	ConsentUnknown Consent = iota
	ConsentAway
	ConsentNone
	ConsentValid
	ConsentExpired
	ConsentRevoked
	ConsentEnded
)

// String is the consent in words.
func (c Consent) String() string {
	return word(c, "unknown", "away", "none", "valid", "expired", "revoked", "ended")
}

// word is the one of words that a value stands for; its number where there is none.
func word[N ~uint8](value N, words ...string) string {
	if int(value) < len(words) {
		return words[value]
	}
	return strconv.Itoa(int(value))
}

// Stops are the kill switches that are on for a message.
type Stops uint8

// The scopes of a kill switch.
const (
	StopTenant Stops = 1 << iota
	StopEntity
	StopHeader
	StopTemplate
)

var stopScopes = [...]string{"tenant", "entity", "header", "template"}

// String names the scopes of the switches that are on.
func (s Stops) String() string {
	var on []string
	for i, scope := range stopScopes {
		if s>>i&1 == 1 {
			on = append(on, scope)
		}
	}
	return strings.Join(on, ", ")
}
