package verification

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Bounds of a request.
const (
	MinCode         = 4 // digits
	MaxCode         = 10
	DefaultCode     = 6
	MinValidity     = 5 * time.Minute
	MaxValidity     = 10 * time.Minute
	DefaultValidity = MinValidity
	MaxPurpose      = 64 // characters
	DefaultPurpose  = "login"
)

// Request is a call of Start. A zero field is its default.
type Request struct {
	Tenant     uuid.UUID
	Env        string
	To         string // in any notation message.NormalizeNumber takes
	EntityID   string
	Header     string
	TemplateID string
	Variables  []message.Variable // after the code; by position
	Purpose    string
	CodeLength int
	Validity   *time.Duration
	Address    string     // of the person; empty when the caller does not say
	Caller     netip.Addr // address of the caller; invalid when it is not known
	Trace      string     // W3C traceparent; may be empty
}

// normal checks r, fills in its defaults and gives the person's address, if any. Errors: Invalid with all violations.
func (r *Request) normal(now time.Time) (person netip.Addr, err error) {
	var found []errs.Violation
	add := func(field, reason, detail string) {
		found = append(found, errs.Violation{Field: field, Reason: reason, Detail: detail})
	}
	if r.Purpose == "" {
		r.Purpose = DefaultPurpose
	}
	if !utf8.ValidString(r.Purpose) || utf8.RuneCountInString(r.Purpose) > MaxPurpose || strings.ContainsFunc(r.Purpose, unicode.IsControl) {
		add("purpose", "FORMAT", fmt.Sprintf("1 to %d characters, no control characters", MaxPurpose))
	}
	if r.CodeLength == 0 {
		r.CodeLength = DefaultCode
	}
	if r.CodeLength < MinCode || r.CodeLength > MaxCode {
		add("code_length", "OUT_OF_RANGE", fmt.Sprintf("%d to %d digits", MinCode, MaxCode))
	}
	if r.Validity == nil {
		validity := DefaultValidity
		r.Validity = &validity
	}
	if *r.Validity < MinValidity || *r.Validity > MaxValidity {
		add("validity_period", "OUT_OF_RANGE", "between 300s and 600s")
	}
	if r.Address != "" {
		if person, err = netip.ParseAddr(r.Address); err != nil {
			add("client_address", "FORMAT", "must be an IPv4 or IPv6 address without port")
		}
	}
	found = append(found, r.checkMessage(now)...)
	if len(found) > 0 {
		return person, &errs.Error{
			Kind: errs.Invalid, Reason: "REQUEST_INVALID",
			Message: "the request is malformed and nothing was sent; see the violations", Violations: found,
		}
	}
	return person, nil
}

// checkMessage judges the message by the rules of the message room, and puts the number into its normal form.
func (r *Request) checkMessage(now time.Time) (found []errs.Violation) {
	for i, v := range r.Variables {
		if v.Name != "" {
			field := fmt.Sprintf("variables[%d].name", i)
			found = append(found, errs.Violation{Field: field, Reason: "CONFLICT", Detail: "values go by position here: the code is the first"})
		}
	}
	if len(found) > 0 {
		return found
	}
	m, found := message.New(r.draft(uuid.Nil, fixedCode(MaxCode), time.Hour), "", now)
	for i := range found {
		found[i].Field = withoutCode(found[i].Field)
	}
	if m.Refusal != nil {
		found = append(found, errs.Violation{Field: "to", Reason: m.Refusal.Code, Detail: m.Refusal.Detail})
	}
	r.To = m.To
	return found
}

// draft is the message that carries code in session.
func (r *Request) draft(session uuid.UUID, code string, validity time.Duration) message.Draft {
	return message.Draft{
		To: r.To, EntityID: r.EntityID, Header: r.Header, TemplateID: r.TemplateID,
		Variables:       append([]message.Variable{{Value: code}}, r.Variables...),
		ClientReference: referencePrefix + session.String(), Validity: &validity,
	}
}

// withoutCode gives the path of a variable as the caller numbered it: before the code was put in front.
func withoutCode(path string) string {
	rest, ok := strings.CutPrefix(path, "variables[")
	number, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if !ok || !closed || err != nil || i == 0 {
		return path
	}
	return fmt.Sprintf("variables[%d]%s", i-1, rest)
}
