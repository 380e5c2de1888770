package verification

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// MaxSends is how many codes a session sends: the first and three more.
const MaxSends = 4

// resendDelay is how long after the n-th code of a session the next may be asked for.
var resendDelay = [MaxSends]time.Duration{0, 30 * time.Second, 60 * time.Second, 120 * time.Second}

// Limit is a rate by the generic cell rate algorithm (GCRA): Burst at once, then one more for each Cost that passes. It
// needs one instant of memory: until when what was taken is paid off.
type Limit struct {
	Burst  int
	Period time.Duration
}

// Cost is the time one takes to be paid off.
func (l Limit) Cost() time.Duration { return l.Period / time.Duration(l.Burst) }

// Limits bound the codes sent, in each environment by itself. A zero field is its default.
type Limits struct {
	NumberHour Limit // to one number: 5 an hour
	NumberDay  Limit // to one number: 10 a day
	Address    Limit // asked for by one person's address (IPv6: /48): 60 an hour, many share one behind a carrier's NAT
	Caller     Limit // asked for without a person's address, by one address of a caller: 6,000 an hour
	Tenant     Limit // of one tenant: 3,000 a minute
	Budget     Budget
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	l.NumberHour = cmp.Or(l.NumberHour, Limit{5, time.Hour})
	l.NumberDay = cmp.Or(l.NumberDay, Limit{10, 24 * time.Hour})
	l.Address = cmp.Or(l.Address, Limit{60, time.Hour})
	l.Caller = cmp.Or(l.Caller, Limit{6000, time.Hour})
	l.Tenant = cmp.Or(l.Tenant, Limit{3000, time.Minute})
	l.Budget.Floor = cmp.Or(l.Budget.Floor, 20)
	l.Budget.Percent = cmp.Or(l.Budget.Percent, 30)
	return l
}

// BudgetWindow is how far back sent and verified codes of a range are counted, in whole hours.
const BudgetWindow = 6 * time.Hour

// Budget says how many codes of a range of numbers may stay unverified. A zero field is its default.
type Budget struct {
	Floor   int  // so many in any case: 20
	Percent int  // of the codes sent, that many must be verified: 30
	Enforce bool // refuse; else only note it
}

// Suspects tells whether sent codes of which verified were verified look like pumping.
func (b Budget) Suspects(sent, verified int) bool {
	return sent-verified >= b.Floor && verified*100 < b.Percent*sent
}

// Kinds of limits as they are stored.
const (
	kindNumberHour = "number/hour"
	kindNumberDay  = "number/day"
	kindAddress    = "address"
	kindCaller     = "caller"
	kindTenant     = "tenant"
)

// limitReasons are the reasons a caller is told, by kind.
var limitReasons = map[string]string{
	kindNumberHour: "OTP_NUMBER_LIMIT", kindNumberDay: "OTP_NUMBER_LIMIT",
	kindAddress: "OTP_ADDRESS_LIMIT", kindCaller: "OTP_ADDRESS_LIMIT", kindTenant: "OTP_TENANT_LIMIT",
}

// Charge is one limit that a code counts against.
type Charge struct {
	Kind    string
	Subject [16]byte // keyed hash of the number or address; zero for the tenant
	Limit   Limit
}

// Refusal is the error for a charge that does not fit for wait.
func (c Charge) Refusal(wait time.Duration) error {
	return exhausted(limitReasons[c.Kind], "too many codes were asked for; nothing was sent", wait)
}

// Spending is all that one code counts against. It is taken whole or not at all.
type Spending struct {
	Tenant  uuid.UUID
	Env     string
	Now     time.Time
	Charges []Charge
	Range   [16]byte
	Budget  Budget
	Exempt  bool // of the budget: sandbox numbers
}

// Suspect is the verdict on a range with these counts: noted, or refused when the budget is enforced.
func (s *Spending) Suspect(sent, verified int) (bool, error) {
	suspected := !s.Exempt && s.Budget.Suspects(sent, verified)
	if suspected && s.Budget.Enforce {
		return true, pumping()
	}
	return suspected, nil
}

func pumping() error {
	return exhausted("OTP_PUMPING_SUSPECTED", "too few codes to numbers of this range are being verified; nothing was sent", time.Hour)
}

// exhausted is a limit that gives way after wait.
func exhausted(reason, text string, wait time.Duration) *errs.Error {
	return &errs.Error{
		Kind: errs.Exhausted, Reason: reason, Message: text,
		Metadata: map[string]string{"retry_after": wait.Round(time.Millisecond).String()}, // rpc.RetryAfter
	}
}

// mayResend tells whether an open session may send another code now.
func mayResend(s *Session, now time.Time) error {
	if s.Unsent {
		return nil
	}
	wait := s.Sent.Add(resendDelay[s.Sends%MaxSends]).Sub(now)
	var err *errs.Error
	switch {
	case s.Sends >= MaxSends:
		err = exhausted("OTP_RESEND_LIMIT", fmt.Sprintf("the session has sent its %d codes; a new one can start when it has ended", MaxSends), s.Expire.Sub(now))
	case wait > 0:
		err = exhausted("OTP_RESEND_TOO_SOON", "the code before was sent a moment ago; nothing was sent", wait)
	default:
		return nil
	}
	err.Metadata["verification_id"] = s.ID.String()
	return err
}

// network is what of an address is counted: all of IPv4, the first 48 bits of IPv6, of which a subscriber has a whole
// network.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil || !p.IsValid() {
		return ""
	}
	return p.String()
}
