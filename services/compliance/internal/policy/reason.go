package policy

import "strconv"

// Canonical reasons: the same words in gRPC, JSON, webhook, console and audit. What each means stands in reasons.yaml, with
// those that only an operator gives.
const (
	ContentUnreadable         = "CONTENT_UNREADABLE"
	SendingStopped            = "SENDING_STOPPED"
	RecipientInvalid          = "RECIPIENT_INVALID"
	RecipientSeriesUnknown    = "RECIPIENT_SERIES_UNKNOWN"
	EntityIDInvalid           = "ENTITY_ID_INVALID"
	LooksLikeTemplateID       = "LOOKS_LIKE_TEMPLATE_ID"
	EntityNotFound            = "ENTITY_NOT_FOUND"
	EntityNotRegistered       = "ENTITY_NOT_REGISTERED"
	EntityInactive            = "ENTITY_INACTIVE"
	EntityBlacklisted         = "ENTITY_BLACKLISTED"
	ChainNotRegistered        = "CHAIN_NOT_REGISTERED"
	HashNotRegistered         = "HASH_NOT_REGISTERED"
	HashInactive              = "HASH_INACTIVE"
	HashSuspended             = "HASH_SUSPENDED"
	HashBlacklisted           = "HASH_BLACKLISTED"
	ChainHashDiffers          = "CHAIN_HASH_DIFFERS"
	TelemarketerNotRegistered = "TM_NOT_REGISTERED"
	TelemarketerInactive      = "TM_INACTIVE"
	TelemarketerBlacklisted   = "TM_BLACKLISTED"
	TelemarketerNotOfRoute    = "TM_NOT_OF_ROUTE"
	HeaderFormat              = "HEADER_FORMAT"
	HeaderHasPrefix           = "HEADER_HAS_PREFIX"
	HeaderHasSuffix           = "HEADER_HAS_SUFFIX"
	HeaderNotFound            = "HEADER_NOT_FOUND"
	HeaderInactive            = "HEADER_INACTIVE"
	HeaderSuspended           = "HEADER_SUSPENDED"
	HeaderBlacklisted         = "HEADER_BLACKLISTED"
	HeaderInFreePool          = "HEADER_IN_FREE_POOL"
	HeaderNotOfEntity         = "HEADER_NOT_OF_PE"
	HeaderCategoryMismatch    = "HEADER_CATEGORY_MISMATCH"
	HeaderCategoryUnknown     = "HEADER_CATEGORY_UNKNOWN"
	HeaderNotMappedToTemplate = "HEADER_NOT_MAPPED_TO_TEMPLATE"
	TemplateIDInvalid         = "TEMPLATE_ID_INVALID"
	TemplateNotFound          = "TEMPLATE_NOT_FOUND"
	TemplateInactive          = "TEMPLATE_INACTIVE"
	TemplateSuspended         = "TEMPLATE_SUSPENDED"
	TemplateBlacklisted       = "TEMPLATE_BLACKLISTED"
	TemplateNotOfEntity       = "TEMPLATE_NOT_OF_PE"
	TemplateOfSeveralHeaders  = "TEMPLATE_OF_SEVERAL_HEADERS"
	TemplateTypeMismatch      = "TEMPLATE_TYPE_MISMATCH"
	CategoryMismatch          = "CATEGORY_MISMATCH"
	CTANotWhitelisted         = "CTA_NOT_WHITELISTED"
	OptOutMissing             = "OPT_OUT_MISSING"
	ContentSensitive          = "CONTENT_SENSITIVE"
	ContentCredential         = "CONTENT_CREDENTIAL"
	ContentLinkPersonal       = "CONTENT_LINK_PERSONAL"
	TransactionTimeMissing    = "TRANSACTION_TIME_MISSING"
	TransactionTooOld         = "TRANSACTION_TOO_OLD"
	InferredConsentEnded      = "INFERRED_CONSENT_ENDED"
	ConsentRequired           = "CONSENT_REQUIRED"
	ConsentNotLookedUp        = "CONSENT_UNKNOWN"
	OptedOut                  = "OPTED_OUT"
	RecipientSuppressed       = "RECIPIENT_SUPPRESSED"
	ComplaintsBrake           = "COMPLAINTS_BRAKE"
	ComplaintsHigh            = "COMPLAINTS_HIGH"
	NotScrubbed               = "NOT_SCRUBBED"
	PreferenceBlocked         = "PREFERENCE_BLOCKED"
	PreferenceUnchecked       = "PREFERENCE_UNCHECKED"
	ServiceExplicitBlocked    = "SE_BLOCKED_DND_NO_CONSENT"
	ScrubUnavailable          = "SCRUB_UNAVAILABLE"
	PromoWindow               = "PROMO_WINDOW"
	Scheduled                 = "SCHEDULED"
	MessageExpired            = "MESSAGE_EXPIRED"
)

// Reason explains a refusal, a hold or a doubt.
type Reason struct {
	Code     string
	Detail   string            // one sentence: what is wrong and what mends it; never the text or the number
	Metadata map[string]string // facts that help to mend it
}

// R makes a reason of the catalogue; metadata goes in pairs of key and value.
func R(code string, metadata ...string) Reason {
	r := Reason{Code: code, Detail: remedies[code]}
	for i := 0; i+1 < len(metadata); i += 2 {
		if r.Metadata == nil {
			r.Metadata = make(map[string]string, len(metadata)/2)
		}
		r.Metadata[metadata[i]] = metadata[i+1]
	}
	return r
}

// untyped is the reason of a template that a pack no longer accepts.
func untyped(pack *Pack) Reason {
	return Reason{Code: TemplateInactive,
		Detail:   "Templates with an untyped {#var#} are refused; register it anew with typed variables.",
		Metadata: map[string]string{"rule": "untyped_variables", "rule_pack": pack.Version}}
}

func digitOf(n int) string { return strconv.Itoa(n) }
