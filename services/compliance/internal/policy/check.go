package policy

// Check is one of the checks a message goes through, in their order.
type Check uint8

// The checks.
const (
	StopsCheck      Check = iota // kill switches
	ContentCheck                 // the sealed content can be opened
	EntityCheck                  // registration of the principal entity
	RecipientCheck               // form and series of the number
	ChainCheck                   // chain of telemarketers
	HeaderCheck                  // form, registration and owner of the header
	TemplateCheck                // registration, owner, link and type of the template
	TextCheck                    // text against template, calls to action
	CategoryCheck                // rules of the template's category
	ConsentCheck                 // consent of the recipient
	PreferenceCheck              // registered preference of the recipient
	TimeCheck                    // expiry, schedule, time band
	SubmitCheck                  // what dispatch looks at again when it submits; never Evaluate's
	checks
)

var checkNames = [checks]string{"sending_stops", "content", "entity", "recipient", "chain", "header", "template", "text",
	"category_rules", "consent", "preference", "time", "submit"}

// String is the check as the API shows it.
func (c Check) String() string { return checkNames[c] }

// Checks is a set of checks.
type Checks uint16

// Has tells whether a check is in the set.
func (s Checks) Has(c Check) bool { return s>>c&1 == 1 }

// reasonsOf are the reasons each check can give.
var reasonsOf = [checks][]string{
	StopsCheck:   {SendingStopped},
	ContentCheck: {ContentUnreadable},
	EntityCheck: {EntityIDInvalid, LooksLikeTemplateID, EntityNotFound, EntityNotRegistered, EntityInactive,
		EntityBlacklisted},
	RecipientCheck: {RecipientInvalid, RecipientSeriesUnknown},
	ChainCheck: {ChainNotRegistered, HashNotRegistered, HashInactive, HashSuspended, HashBlacklisted, ChainHashDiffers,
		TelemarketerNotRegistered, TelemarketerInactive, TelemarketerBlacklisted, TelemarketerNotOfRoute},
	HeaderCheck: {HeaderFormat, HeaderHasPrefix, HeaderHasSuffix, HeaderNotFound, HeaderInactive, HeaderSuspended,
		HeaderBlacklisted, HeaderInFreePool, HeaderNotOfEntity, HeaderCategoryMismatch, HeaderCategoryUnknown},
	TemplateCheck: {TemplateIDInvalid, TemplateNotFound, TemplateInactive, TemplateSuspended, TemplateBlacklisted,
		TemplateNotOfEntity, HeaderNotMappedToTemplate, TemplateOfSeveralHeaders, TemplateTypeMismatch, CategoryMismatch},
	TextCheck: {CTANotWhitelisted, "CTA_IN_UNTYPED_VAR", "INVISIBLE_CHAR", "TEMPLATE_NOT_MATCHED",
		"TEMPLATE_VARIABLE_TOO_LONG", "TEMPLATE_VARIABLE_COUNT", ContentSensitive, ContentCredential, ContentLinkPersonal},
	CategoryCheck:   {OptOutMissing, TransactionTimeMissing, TransactionTooOld, InferredConsentEnded},
	ConsentCheck:    {ConsentRequired, ConsentNotLookedUp, OptedOut},
	PreferenceCheck: {NotScrubbed, PreferenceBlocked, PreferenceUnchecked, ServiceExplicitBlocked, ScrubUnavailable},
	TimeCheck:       {PromoWindow, Scheduled, MessageExpired},
}

// checkOf is reasonsOf the other way.
var checkOf = func() map[string]Check {
	by := map[string]Check{}
	for c, codes := range reasonsOf {
		for _, code := range codes {
			by[code] = Check(c)
		}
	}
	return by
}()

// CheckOf answers the check that gives a reason; ok is false for reasons that only operators give.
func CheckOf(code string) (c Check, ok bool) {
	c, ok = checkOf[code]
	return c, ok
}

// Standing is how a check came out.
type Standing uint8

// The standings, the gravest last.
const (
	NotEvaluated Standing = iota // nothing to go by, not of this category, or decided before
	Passed
	Advises // passed with a doubt
	Holds   // the message waits because of it
	Fails
)

// Finding is what one check said.
type Finding struct {
	Check    Check
	Standing Standing
	Reasons  []Reason
}

// Report tells check by check, in their order, how a decision came about.
func (d *Decision) Report() []Finding {
	report := make([]Finding, checks)
	for c := range checks {
		report[c].Check = c
		if d.Checked.Has(c) {
			report[c].Standing = Passed
		}
	}
	for _, r := range d.Warnings.Reasons() {
		report[checkOf[r.Code]].add(Advises, r)
	}
	for _, r := range d.Reasons {
		standing := Fails
		if e, ok := Explain(r.Code); d.Outcome == Held || ok && e.Severity == "hold" {
			standing = Holds
		}
		check, ok := CheckOf(r.Code)
		if !ok {
			check = SubmitCheck
		}
		report[check].add(standing, r)
	}
	return report
}

func (f *Finding) add(s Standing, r Reason) {
	f.Standing, f.Reasons = max(f.Standing, s), append(f.Reasons, r)
}
