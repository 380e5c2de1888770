package policy

import "time"

// Evaluate decides one message. It is total and deterministic: the same pack, facts and time give the same decision.
// A cleared message costs no allocation.
func Evaluate(pack *Pack, f *Facts, now time.Time) Decision {
	e := evaluation{pack: pack, f: f, now: now, category: pack.effective(f.Template.Category)}
	e.stops()
	e.content()
	e.entity()
	e.recipient()
	e.chain()
	e.header()
	e.template()
	e.text()
	e.rules()
	e.consent()
	if expired(f, now) {
		e.begin(TimeCheck)
		e.deny(MessageExpired)
	}
	d := Decision{Outcome: Refused, Reasons: e.denials}
	if len(e.denials) == 0 {
		d = e.wait()
	}
	d.Warnings, d.Checked, d.TextAt, d.TextCount = e.warnings, e.checked, e.textAt, uint16(len(f.Text))
	return d
}

// evaluation is one run of the checks, in their order.
type evaluation struct {
	pack     *Pack
	f        *Facts
	now      time.Time
	category Category // of the template, as the pack takes it
	denials  []Reason
	warnings Warnings
	checked  Checks
	textAt   uint16
}

// begin notes that a check is really made.
func (e *evaluation) begin(c Check) { e.checked |= 1 << c }

func (e *evaluation) deny(code string, metadata ...string) {
	e.denials = append(e.denials, R(code, metadata...))
}

func (e *evaluation) warn(w Warnings) { e.warnings |= w }

// choose denies, warns or does neither, as the pack has it.
func (e *evaluation) choose(strictness Strictness, w Warnings, code string, metadata ...string) {
	switch strictness {
	case Enforce:
		e.deny(code, metadata...)
	case Warn:
		e.warn(w)
	}
}

func (e *evaluation) content() {
	e.begin(ContentCheck)
	if e.f.Unreadable {
		e.deny(ContentUnreadable)
	}
}

// stops names every kill switch that is on.
func (e *evaluation) stops() {
	e.begin(StopsCheck)
	if e.f.Stops == 0 {
		return
	}
	for i, scope := range stopScopes {
		if e.f.Stops>>i&1 == 1 {
			e.deny(SendingStopped, "scope", scope)
		}
	}
}

func (e *evaluation) recipient() {
	if e.f.Unreadable {
		return
	}
	e.begin(RecipientCheck)
	if !e.f.Mobile {
		e.deny(RecipientInvalid)
	} else if e.f.SeriesUnknown {
		e.warn(WarnSeries)
	}
	if e.f.Suppressed {
		e.deny(RecipientSuppressed)
	}
}

func (e *evaluation) entity() {
	e.begin(EntityCheck)
	entity := &e.f.Entity
	if !IsID(entity.ID) {
		e.deny(EntityIDInvalid)
		return
	}
	if entity.ID[2:4] == "07" { // the digits of a template's id: the commonest mistake in filling in
		e.warn(WarnTemplateID)
	}
	e.status(entity.Status, entity.AtOperator, &entityWords)
}

// text takes over what comparing text and template found, where they could be compared.
func (e *evaluation) text() {
	if e.f.Template.Status != Unknown && IsID(e.f.Template.ID) && !e.f.Unreadable {
		e.begin(TextCheck)
	}
	e.textAt = uint16(len(e.denials))
	e.denials = append(e.denials, e.f.Text...)
}

// chain judges the chain of telemarketers: approved, active, of active members, hashed as the portal has it, ending with
// who submits on the route (TRAI direction of 20 August 2024). Of an unknown entity nothing is said.
func (e *evaluation) chain() {
	chain := &e.f.Chain
	if !e.pack.Chain || e.f.Entity.Status == Unknown {
		return
	}
	e.begin(ChainCheck)
	if !e.status(chain.Status, chain.AtOperator, &chainWords) {
		return
	}
	e.status(chain.Telemarketer, Unknown, &telemarketerWords)
	if chain.Differs {
		e.deny(ChainHashDiffers)
	}
	if route := e.f.Route.Telemarketer; route != "" && route != chain.Last {
		e.deny(TelemarketerNotOfRoute, "telemarketer", route, "last_of_chain", chain.Last)
	}
}

// words are the reasons for the statuses of one sort of object.
type words struct{ unknown, inactive, suspended, blacklisted, freePool, notRegistered string }

var (
	entityWords = words{EntityNotFound, EntityInactive, EntityInactive, EntityBlacklisted, EntityInactive, EntityNotRegistered}
	chainWords  = words{ChainNotRegistered, HashInactive, HashSuspended, HashBlacklisted, HashInactive, HashNotRegistered}
	// A suspended telemarketer is an inactive one to an operator.
	telemarketerWords = words{TelemarketerNotRegistered, TelemarketerInactive, TelemarketerInactive, TelemarketerBlacklisted,
		TelemarketerInactive, TelemarketerNotRegistered}
	headerWords   = words{HeaderNotFound, HeaderInactive, HeaderSuspended, HeaderBlacklisted, HeaderInFreePool, HeaderNotFound}
	templateWords = words{TemplateNotFound, TemplateInactive, TemplateSuspended, TemplateBlacklisted, TemplateInactive, TemplateNotFound}
)

// status judges an object by its status at the portal and, where that is active, by the one with the route's operator: an
// object may be active with one operator and not with another. It answers whether the object is known at all.
func (e *evaluation) status(general, atOperator Status, w *words) (known bool) {
	if general == Active && atOperator != Unknown && atOperator != Active {
		e.denyStatus(atOperator, w, "operator", e.f.Route.Operator)
	} else if general != Active {
		e.denyStatus(general, w)
	}
	return general != Unknown
}

func (e *evaluation) denyStatus(s Status, w *words, metadata ...string) {
	if kind, ok := s.suspension(); ok {
		e.deny(w.suspended, append(metadata, "suspension", kind)...)
		return
	}
	switch s {
	case Unknown:
		e.deny(w.unknown, metadata...)
	case Blacklisted:
		e.deny(w.blacklisted, metadata...)
	case FreePool:
		e.deny(w.freePool, metadata...)
	case NotRegistered:
		e.deny(w.notRegistered, metadata...)
	default:
		e.deny(w.inactive, metadata...)
	}
}

// within is an active object's status at a time, by its validity.
func within(s Status, from, until, now time.Time) Status {
	switch {
	case s != Active:
		return s
	case !until.IsZero() && !now.Before(until):
		return SuspendedValidity
	case now.Before(from):
		return Inactive
	}
	return s
}
