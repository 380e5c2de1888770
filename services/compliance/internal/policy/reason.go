package policy

import "strconv"

// Canonical reasons (DLT rules 9): the same words in gRPC, JSON, webhook, console and audit.
const (
	SendingStopped            = "SENDING_STOPPED"
	ContentUnreadable         = "CONTENT_UNREADABLE"
	RecipientInvalid          = "RECIPIENT_INVALID"
	EntityIDInvalid           = "ENTITY_ID_INVALID"
	EntityNotFound            = "ENTITY_NOT_FOUND"
	EntityInactive            = "ENTITY_INACTIVE"
	EntityBlacklisted         = "ENTITY_BLACKLISTED"
	ChainNotRegistered        = "CHAIN_NOT_REGISTERED"
	HeaderFormat              = "HEADER_FORMAT"
	HeaderHasPrefix           = "HEADER_HAS_PREFIX"
	HeaderHasSuffix           = "HEADER_HAS_SUFFIX"
	HeaderNotFound            = "HEADER_NOT_FOUND"
	HeaderInactive            = "HEADER_INACTIVE"
	HeaderSuspended           = "HEADER_SUSPENDED"
	HeaderBlacklisted         = "HEADER_BLACKLISTED"
	HeaderNotOfEntity         = "HEADER_NOT_OF_PE"
	HeaderCategoryMismatch    = "HEADER_CATEGORY_MISMATCH"
	HeaderNotMappedToTemplate = "HEADER_NOT_MAPPED_TO_TEMPLATE"
	TemplateIDInvalid         = "TEMPLATE_ID_INVALID"
	TemplateNotFound          = "TEMPLATE_NOT_FOUND"
	TemplateInactive          = "TEMPLATE_INACTIVE"
	TemplateSuspended         = "TEMPLATE_SUSPENDED"
	TemplateBlacklisted       = "TEMPLATE_BLACKLISTED"
	TemplateNotOfEntity       = "TEMPLATE_NOT_OF_PE"
	TemplateTypeMismatch      = "TEMPLATE_TYPE_MISMATCH"
	CTANotWhitelisted         = "CTA_NOT_WHITELISTED"
	PromoWindow               = "PROMO_WINDOW"
	Scheduled                 = "SCHEDULED"
	MessageExpired            = "MESSAGE_EXPIRED"
)

// Reason explains a refusal or a hold.
type Reason struct {
	Code     string
	Detail   string            // one sentence: what is wrong and what mends it; never the text or the number
	Metadata map[string]string // facts that help to mend it
}

// details are the sentences of the reasons that need no figures.
var details = map[string]string{
	SendingStopped:            "Sending was stopped by the tenant, for all or for this entity, header or template; resume it.",
	ContentUnreadable:         "The sealed content can no longer be opened; send the message again.",
	RecipientInvalid:          "The recipient is not an Indian mobile number; give ten digits that begin with 6-9, with or without +91.",
	EntityIDInvalid:           "The entity id must be exactly 19 digits.",
	EntityNotFound:            "The principal entity is not registered here; import it or correct the id.",
	EntityInactive:            "The principal entity is not active on DLT; activate it at its portal.",
	EntityBlacklisted:         "The principal entity is blacklisted on DLT.",
	ChainNotRegistered:        "The entity has no active chain of telemarketers; let it approve the chain at its DLT portal.",
	HeaderFormat:              "A header has 3 to 6 letters and digits, or exactly 6 digits for promotion.",
	HeaderHasPrefix:           "Give the header without the operator's prefix; the operator adds it.",
	HeaderHasSuffix:           "Give the header without the category suffix; the operator adds it.",
	HeaderNotFound:            "The header is not registered here, in this case of letters; import it or correct it.",
	HeaderInactive:            "The header is not active on DLT; activate it at its portal.",
	HeaderSuspended:           "The header is suspended on DLT; reactivate it at its portal.",
	HeaderBlacklisted:         "The header is blacklisted on DLT.",
	HeaderNotOfEntity:         "The header is registered to another entity.",
	HeaderCategoryMismatch:    "The header's first digit names another category of goods than the template's.",
	HeaderNotMappedToTemplate: "The template is not linked to this header; link them at the DLT portal or use its own header.",
	TemplateIDInvalid:         "The template id must be exactly 19 digits.",
	TemplateNotFound:          "The template is not registered here; import it or correct the id.",
	TemplateInactive:          "The template is not active on DLT; activate it at its portal.",
	TemplateSuspended:         "The template is suspended on DLT; reactivate it at its portal.",
	TemplateBlacklisted:       "The template is blacklisted on DLT.",
	TemplateNotOfEntity:       "The template is registered to another entity.",
	TemplateTypeMismatch:      "The template's category does not go with this kind of header.",
	CTANotWhitelisted:         "The template's own text holds a link, number or address that is not whitelisted for the entity.",
	PromoWindow:               "Promotional messages go out in the promotional time band only; this one waits for it.",
	Scheduled:                 "The message waits for its schedule_time.",
	MessageExpired:            "The message's validity ends before it may be sent; give a longer one or an earlier time.",
}

// R makes a reason of the catalogue; metadata goes in pairs of key and value.
func R(code string, metadata ...string) Reason {
	r := Reason{Code: code, Detail: details[code]}
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

func digitOf(goods int) string { return strconv.Itoa(goods) }
