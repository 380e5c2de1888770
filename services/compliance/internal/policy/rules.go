package policy

import (
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
)

// complaintRetry is how long a message waits before its entity's complaints are counted again: they leave the ten days one
// by one, and may be rejected.
const complaintRetry = time.Hour

// rules are those of the template's category: a promotional message can be opted out of, a service message needs a running
// contract, a transactional one follows its transaction.
func (e *evaluation) rules() {
	switch e.category {
	case Promotional:
		e.begin(CategoryCheck)
		if e.f.Template.OptOut == No {
			e.choose(e.pack.OptOut, WarnOptOut, OptOutMissing)
		}
	case Service:
		e.begin(CategoryCheck)
		if e.f.Consent == ConsentEnded {
			e.deny(InferredConsentEnded)
		}
	case Transactional:
		e.begin(CategoryCheck)
		e.transaction()
	}
}

// transaction: a transactional message goes out within so many minutes of what the customer began.
func (e *evaluation) transaction() {
	begun, rule := e.f.Transaction, &e.pack.Transaction
	switch {
	case begun.IsZero():
		e.choose(rule.Missing, WarnTransactionTimeMissing, TransactionTimeMissing)
	case e.now.Sub(begun) > rule.MaxAge:
		e.choose(rule.Old, WarnTransactionOld, TransactionTooOld)
	}
	if rule.Consent {
		e.begin(ConsentCheck)
	}
	if rule.Consent && e.f.Consent != ConsentValid && e.f.Consent != ConsentAway {
		e.deny(ConsentRequired)
	}
}

// consent judges consent first and, where it does not decide, the registered preference. Both ask for an answer: what is
// not known denies. Service, transactional and government messages are never scrubbed. What the recipient has taken back
// counts whatever a template's override says.
func (e *evaluation) consent() {
	if e.category != Promotional && e.category != ServiceExplicit {
		return
	}
	if e.f.OptedOut || e.f.Consent == ConsentRevoked {
		e.deny(OptedOut)
		return
	}
	if e.f.Template.PreferenceUnchecked {
		e.warn(WarnPreferenceUnchecked)
		return
	}
	e.begin(ConsentCheck)
	switch e.f.Consent {
	case ConsentValid, ConsentAway:
		return
	case ConsentNone, ConsentExpired, ConsentEnded:
	default:
		e.deny(ConsentNotLookedUp)
	}
	if e.pack.ConsentRequired || e.f.ConsentRequired {
		e.deny(ConsentRequired)
		return
	}
	e.preference()
}

func (e *evaluation) preference() {
	e.begin(PreferenceCheck)
	switch e.f.Preference {
	case NotBlocked, PreferenceAway:
	case Blocked:
		if e.category == ServiceExplicit {
			e.deny(ServiceExplicitBlocked)
		} else {
			e.deny(PreferenceBlocked, e.blockedBy()...)
		}
	default:
		e.deny(NotScrubbed)
	}
}

// blockedBy names the part of the preference that blocks.
func (e *evaluation) blockedBy() []string {
	if e.f.BlockedBy == "" {
		return nil
	}
	return []string{"part", e.f.BlockedBy}
}

// away tells whether an answer that the message needs cannot be had for now.
func (e *evaluation) away() bool {
	switch e.category {
	case Promotional, ServiceExplicit:
		return e.f.Consent == ConsentAway ||
			e.f.Consent != ConsentValid && e.f.Preference == PreferenceAway && !e.f.Template.PreferenceUnchecked
	case Transactional:
		return e.pack.Transaction.Consent && e.f.Consent == ConsentAway
	}
	return false
}

// complaints tells whether the message waits for its entity's complaints: at three promotion does, at five service
// messages too (TCCCPR 2018 as amended in February 2025: five distinct complainants in ten days are a violation).
func (e *evaluation) complaints() bool {
	standing := e.f.Complaints
	if standing != complaint.Good {
		e.warn(WarnComplaints)
	}
	switch e.category {
	case Promotional, ServiceExplicit:
		return standing >= complaint.Braked
	case Service:
		return standing >= complaint.Stopped
	}
	return false
}

// expired: the validity is over.
func expired(f *Facts, at time.Time) bool { return !f.Expire.IsZero() && !at.Before(f.Expire) }

// wait finds the first moment the message may go. When that is later than now it is held until then, or refused if its
// validity ends before.
func (e *evaluation) wait() Decision {
	e.begin(TimeCheck)
	due := e.now
	var why []Reason
	if e.f.Schedule.After(e.now) {
		due = e.f.Schedule
		why = append(why, R(Scheduled))
	}
	if e.away() && !due.After(e.now) {
		due = e.now.Add(e.pack.ScrubRetry)
		why = append(why, R(ScrubUnavailable))
	}
	if e.complaints() {
		if again := e.now.Add(complaintRetry); again.After(due) {
			due = again
		}
		why = append([]Reason{R(ComplaintsBrake)}, why...)
	}
	if e.category == Promotional && (!e.f.BandOn || due.After(e.now)) {
		if open := e.window().Next(due); open.After(due) {
			due = open
			why = append([]Reason{R(PromoWindow)}, why...)
		}
	}
	d := Decision{Outcome: Held, Reasons: why, Due: due}
	switch {
	case !due.After(e.now):
		return Decision{Outcome: Cleared}
	case expired(e.f, due):
		d.Outcome, d.Due = Refused, time.Time{}
		d.Reasons = append([]Reason{R(MessageExpired)}, why...)
	}
	return d
}

// window is the time band of promotion, smaller by the guard on both sides while the clock is in doubt.
func (e *evaluation) window() Window {
	w := e.pack.Window
	if e.f.ClockDoubt {
		w.Open, w.Close = w.Open+e.pack.ClockGuard, w.Close-e.pack.ClockGuard
	}
	return w
}
