package consent

import (
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Spans of the rules (TCCCPR 2018, regulations on consent for a transaction and on asking again after a revocation).
const (
	transactionDays = 7
	CoolingOff      = 90 * 24 * time.Hour
)

var ist = time.FixedZone("IST", 5*60*60+30*60)

// TransactionEnd is when consent for a transaction ends that was given at a time: at the end of the seventh day, Indian
// Standard Time.
func TransactionEnd(granted time.Time) time.Time {
	d := granted.In(ist)
	return time.Date(d.Year(), d.Month(), d.Day()+transactionDays, 0, 0, 0, 0, ist)
}

// Next is what an event that is wanted becomes on a record at a time: GIVEN on one that is valid is REAFFIRMED. changed is
// false when it says nothing new: it stands already, or what stands happened after it. errs.Exists (CONSENT_STATE) when it
// cannot follow.
func (r *Record) Next(wanted Kind, occur, now time.Time) (kind Kind, changed bool, err error) {
	state := r.At(now)
	if occur.Before(r.Granted) || occur.Before(r.Ended) {
		return wanted, false, nil
	}
	switch {
	case wanted == Given && state == StateValid:
		return Reaffirmed, !occur.Equal(r.Granted), nil
	case !follows(wanted, state, r.Key.Basis):
		return wanted, false, stateError(state)
	}
	stands, lasts := after[wanted]
	return wanted, !lasts || state != stands, nil
}

// after is how a consent stands after an event; one that stands so already hears nothing new, but a request may be repeated.
var after = map[Kind]State{Given: StateValid, Refused: StateRefused, Revoked: StateRevoked, ContractEnded: StateEnded, Invalidated: StateInvalidated}

// follows tells whether an event can follow on a state.
func follows(wanted Kind, state State, basis Basis) bool {
	switch wanted {
	case Given, Revoked:
		return true
	case Requested:
		return state != StateValid
	case Refused:
		return state == StateNone || state == StateRequested || state == StateExpired || state == StateRefused
	case ContractEnded:
		return basis == Inferred && (state == StateValid || state == StateExpired || state == StateEnded)
	case Invalidated:
		return state != StateNone
	}
	return false
}

func stateError(state State) error {
	word := string(state)
	if word == "" {
		word = "not there"
	}
	return errs.E(errs.Exists, "CONSENT_STATE", "The consent is "+word+"; that cannot follow.", nil)
}

// ErrCoolingOff refuses a request within 90 days of a revocation or opt-out.
func ErrCoolingOff(until time.Time) error {
	return errs.E(errs.Denied, "COOLING_OFF", "The recipient revoked consent or opted out and must not be asked before "+
		until.In(ist).Format(time.RFC3339)+"; he may give consent by himself at any time.", nil)
}

// CoolingUntil is until when a recipient must not be asked, from when he last revoked or opted out; zero when he may be.
func CoolingUntil(last, now time.Time) time.Time {
	if last.IsZero() {
		return time.Time{}
	}
	if until := last.Add(CoolingOff); now.Before(until) {
		return until
	}
	return time.Time{}
}
