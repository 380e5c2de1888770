package consent

import (
	"encoding/hex"
	"regexp"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Reasons of fields.
const (
	reasonFormat   = "FORMAT"
	reasonUnknown  = "UNKNOWN"
	reasonTooLong  = "TOO_LONG"
	reasonRequired = "REQUIRED"
	reasonFuture   = "OUT_OF_RANGE"
)

const (
	maxReason = 500
	maxWord   = 100
)

var (
	purposeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,49}$`)
	methodForm  = regexp.MustCompile(`^[a-z0-9_]{1,50}$`)
	languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)
	sources     = map[string]bool{"api": true, "console": true, "link": true, "keyword": true, "receipt_code": true, "complaint": true,
		"dca": true, "import": true}
)

// Wanted is an event somebody wants added.
type Wanted struct {
	Key    Key
	Kind   Kind
	Grant  Grant
	Occur  time.Time // zero for now
	Source string
	Reason string
}

// Complete fills in what is usual and checks the rest; now is the latest an event can have happened.
func (w *Wanted) Complete(isID func(string) bool, now time.Time) (wrong []errs.Violation) {
	add := func(field, reason, detail string) {
		wrong = append(wrong, errs.Violation{Field: field, Reason: reason, Detail: detail})
	}
	w.fill(now)
	if !isID(w.Key.Entity) {
		add("entity_id", reasonFormat, "the entity's id must be exactly 19 digits")
	}
	if !purposeForm.MatchString(w.Key.Purpose) {
		add("purpose", reasonFormat, "1 to 50 lower-case letters, digits, _ and -")
	}
	if w.Key.Channel != Channel {
		add("channel", reasonUnknown, "the channel is sms")
	}
	if !sources[w.Source] {
		add("source", reasonUnknown, "the sources are api, console, link, keyword, receipt_code, complaint, dca and import")
	}
	if len(w.Reason) > maxReason {
		add("reason", reasonTooLong, "at most 500 bytes")
	}
	if w.Occur.After(now) {
		add("occur_time", reasonFuture, "an event cannot be in the future")
	}
	w.checkKind(add)
	w.checkGrant(add)
	return wrong
}

func (w *Wanted) fill(now time.Time) {
	or := func(s *string, usual string) {
		if *s == "" {
			*s = usual
		}
	}
	or(&w.Key.Purpose, DefaultPurpose)
	or(&w.Key.Channel, Channel)
	or((*string)(&w.Key.Basis), string(Explicit))
	or(&w.Source, "api")
	or((*string)(&w.Kind), string(Given))
	if w.Occur.IsZero() {
		w.Occur = now
	}
	if w.Kind == Given && w.Key.Basis == Transaction {
		if end := TransactionEnd(w.Occur); w.Grant.Expires.IsZero() || w.Grant.Expires.After(end) {
			w.Grant.Expires = end
		}
	}
}

func (w *Wanted) checkKind(add func(field, reason, detail string)) {
	switch w.Kind {
	case Given, Requested, Refused, Revoked, Invalidated, ContractEnded:
	default:
		add("kind", reasonUnknown, "the kinds are GIVEN, REFUSED, REVOKED and INVALIDATED")
	}
	switch w.Key.Basis {
	case Explicit, Transaction:
		if w.Key.Contract != "" {
			add("contract", reasonUnknown, "only an inferred consent has a contract")
		}
	case Inferred:
		if w.Key.Contract == "" || len(w.Key.Contract) > maxWord {
			add("contract", reasonRequired, "an inferred consent names its contract, 1 to 100 bytes")
		}
	default:
		add("basis", reasonUnknown, "the bases are explicit, transaction and inferred")
	}
}

func (w *Wanted) checkGrant(add func(field, reason, detail string)) {
	g := &w.Grant
	if w.Kind == Given && !methodForm.MatchString(g.Method) {
		add("method", reasonFormat, "how it was given, such as dca or web_form: 1 to 50 lower-case letters, digits and _")
	}
	if g.EvidenceSHA256 != "" {
		if raw, err := hex.DecodeString(g.EvidenceSHA256); err != nil || len(raw) != 32 {
			add("evidence_sha256", reasonFormat, "64 hex digits")
		}
	}
	if g.NoticeLanguage != "" && !languageTag.MatchString(g.NoticeLanguage) {
		add("notice_language", reasonFormat, "a language as in BCP 47, such as hi or en-IN")
	}
	if len(g.NoticeVersion) > maxWord || len(g.Registrar) > maxWord || len(g.DataCategories) > 20 {
		add("grant", reasonTooLong, "at most 100 bytes each, 20 categories of data")
	}
	for _, c := range g.DataCategories {
		if !methodForm.MatchString(c) {
			add("data_categories", reasonFormat, "1 to 50 lower-case letters, digits and _")
		}
	}
	if !g.Expires.IsZero() && !g.Expires.After(w.Occur) {
		add("expire_time", reasonFuture, "it ends before it begins")
	}
}

// CheckOptOut tells what is wrong with an opt-out.
func CheckOptOut(scope Scope, object, source, reason string, isID, isHeader func(string) bool) (wrong []errs.Violation) {
	add := func(field, reason, detail string) {
		wrong = append(wrong, errs.Violation{Field: field, Reason: reason, Detail: detail})
	}
	switch scope {
	case OfTenant:
		if object != "" {
			add("object_id", "CONFLICT", "an opt-out of the tenant names no object")
		}
	case OfEntity:
		if !isID(object) {
			add("object_id", reasonFormat, "the entity's id must be exactly 19 digits")
		}
	case OfHeader:
		if !isHeader(object) {
			add("object_id", reasonFormat, "a header has 3 to 6 letters and digits, or six digits")
		}
	default:
		add("scope", reasonUnknown, "the scopes are header, entity and tenant")
	}
	if !sources[source] {
		add("source", reasonUnknown, "the sources are api, console, link, keyword, receipt_code, complaint and import")
	}
	if len(reason) > maxReason {
		add("reason", reasonTooLong, "at most 500 bytes")
	}
	return wrong
}

// IsPurpose tells whether s has the form of a purpose.
func IsPurpose(s string) bool { return purposeForm.MatchString(s) }
