package policy

import "time"

// Evaluate decides one message. It is total and deterministic: the same pack, facts and time give the same decision.
// A cleared message costs no allocation.
func Evaluate(pack *Pack, f *Facts, now time.Time) Decision {
	var denials []Reason
	denials = stopped(denials, f)
	denials = content(denials, f)
	denials = entity(denials, f)
	denials = recipient(denials, f)
	denials = chain(denials, f)
	denials = header(denials, pack, f)
	denials = template(denials, pack, f)
	denials = append(denials, f.Text...)
	if expired(f, now) {
		denials = append(denials, R(MessageExpired))
	}
	if len(denials) > 0 {
		return Decision{Outcome: Refused, Reasons: denials}
	}
	return wait(pack, f, now)
}

// stopped: a kill switch goes before everything else.
func stopped(d []Reason, f *Facts) []Reason {
	if f.Stopped != "" {
		d = append(d, R(SendingStopped, "scope", f.Stopped))
	}
	return d
}

func content(d []Reason, f *Facts) []Reason {
	if f.Unreadable {
		d = append(d, R(ContentUnreadable))
	}
	return d
}

func entity(d []Reason, f *Facts) []Reason {
	if !IsID(f.Entity.ID) {
		return append(d, R(EntityIDInvalid))
	}
	switch f.Entity.Status {
	case Active:
		return d
	case Unknown:
		return append(d, R(EntityNotFound))
	case Blacklisted:
		return append(d, R(EntityBlacklisted))
	default:
		return append(d, R(EntityInactive))
	}
}

func recipient(d []Reason, f *Facts) []Reason {
	if !f.Unreadable && !f.Mobile {
		d = append(d, R(RecipientInvalid))
	}
	return d
}

func chain(d []Reason, f *Facts) []Reason {
	if f.Entity.Status != Unknown && f.Chain != Active {
		d = append(d, R(ChainNotRegistered))
	}
	return d
}

// template judges registration, ownership, link to the header, type.
func template(d []Reason, pack *Pack, f *Facts) []Reason {
	t := &f.Template
	if !IsID(t.ID) {
		return append(d, R(TemplateIDInvalid))
	}
	switch t.Status {
	case Active:
	case Unknown:
		return append(d, R(TemplateNotFound))
	case Suspended:
		d = append(d, R(TemplateSuspended))
	case Blacklisted:
		d = append(d, R(TemplateBlacklisted))
	default:
		d = append(d, R(TemplateInactive))
	}
	if f.Entity.Status != Unknown && !t.OfEntity {
		d = append(d, R(TemplateNotOfEntity))
	}
	if f.Header.Status != Unknown && !t.OfHeader {
		d = append(d, R(HeaderNotMappedToTemplate))
	}
	if !typeFits(pack, f) {
		d = append(d, R(TemplateTypeMismatch, "category", t.Category.String()))
	}
	if t.Untyped && pack.RefuseUntyped {
		d = append(d, untyped(pack))
	}
	if t.Unlisted {
		d = append(d, R(CTANotWhitelisted))
	}
	return d
}

// typeFits tells whether category and kind of header go together: headers of digits are for promotion only, headers of
// letters for everything else and, where the pack says so, for promotion too (H17, H18).
func typeFits(pack *Pack, f *Facts) bool {
	promotional := f.Template.Category == Promotional
	switch {
	case f.Template.Category == NoCategory || f.Template.Category > Government:
		return false
	case f.Header.Status == Unknown:
		return true
	case f.Header.Kind == PromotionalHeader:
		return promotional
	default:
		return !promotional || pack.AlphaPromo
	}
}

// expired: the validity is over (W14).
func expired(f *Facts, at time.Time) bool { return !f.Expire.IsZero() && !at.Before(f.Expire) }

// wait finds the first moment the message may go. When that is later than now it is held until then, or refused if its
// validity ends before.
func wait(pack *Pack, f *Facts, now time.Time) Decision {
	due := now
	var why []Reason
	if f.Schedule.After(now) {
		due = f.Schedule
		why = append(why, R(Scheduled))
	}
	if f.Template.Category == Promotional {
		if open := pack.Window.Next(due); open.After(due) {
			due = open
			why = append([]Reason{R(PromoWindow)}, why...)
		}
	}
	switch {
	case !due.After(now):
		return Decision{Outcome: Cleared}
	case expired(f, due):
		return Decision{Outcome: Refused, Reasons: append([]Reason{R(MessageExpired)}, why...)}
	default:
		return Decision{Outcome: Held, Reasons: why, Due: due}
	}
}
