package registry

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Bounds of what is registered.
const (
	maxName  = 200
	maxChain = 16 // more hops than any chain has: TLV 0x1402 has room for the hash only
	maxLinks = 1000
)

// Reasons of fields that are wrong.
const (
	reasonFormat    = "FORMAT"
	reasonUnknown   = "UNKNOWN"
	reasonRequired  = "REQUIRED"
	reasonTooLong   = "TOO_LONG"
	reasonTooMany   = "TOO_MANY"
	reasonConflict  = "CONFLICT"
	reasonNotThere  = "NOT_REGISTERED"
	reasonTemplate  = "TEMPLATE_ID_INVALID"
	reasonEntity    = "ENTITY_ID_INVALID"
	reasonHeader    = "HEADER_FORMAT"
	reasonCTA       = "CTA_INVALID"
	reasonChainHash = "CHAIN_HASH_DIFFERS"
)

// checker collects what is wrong with one object.
type checker struct {
	o     *Object
	wrong []errs.Violation
}

func (c *checker) add(field, reason, detail string) {
	c.wrong = append(c.wrong, errs.Violation{Field: field, Reason: reason, Detail: detail})
}

func (c *checker) err(field string, err error) {
	if err != nil {
		c.add(field, reasonFormat, err.Error())
	}
}

// Check tells everything that is wrong with an object by itself; whether what it names is registered is Plan's. Details
// quote words and ids, never a body, number or address.
func Check(o *Object) []errs.Violation {
	c := checker{o: o}
	c.standing()
	switch o.Kind {
	case Telemarketers:
		c.id()
		if o.Role != "TM-AF" && o.Role != "TM-DF" {
			c.add("role", reasonUnknown, "the role is TM-AF (aggregator) or TM-DF (delivery)")
		}
	case Entities:
		c.id()
		c.chain()
	case Headers:
		c.owner()
		if err := policy.CheckHeader(o.ID); err != nil {
			c.add("object_id", reasonHeader, err.Error())
		}
		c.headerKind()
	case CTAs:
		c.owner()
		c.cta()
	case Templates:
		c.id()
		c.owner()
		c.template()
	default:
		c.add("kind", reasonUnknown, "the kinds are entities, telemarketers, headers, templates and ctas")
	}
	return c.wrong
}

func (c *checker) standing() {
	_, err := policy.ParseStatus(c.o.Status)
	c.err("status", err)
	for operator, status := range c.o.Operators {
		if !IsOperator(operator) {
			c.add("operator_status", reasonUnknown, "the operators are "+strings.Join(operators, ", "))
		}
		_, err := policy.ParseStatus(status)
		c.err("operator_status", err)
	}
	if len(c.o.Name) > maxName {
		c.add("name", reasonTooLong, fmt.Sprintf("a name has at most %d bytes", maxName))
	}
	if !c.o.ValidUntil.IsZero() && !c.o.ValidUntil.After(c.o.ValidFrom) {
		c.add("valid_until_time", reasonConflict, "the validity ends before it begins")
	}
}

func (c *checker) id() {
	if !policy.IsID(c.o.ID) {
		reason := reasonFormat
		switch c.o.Kind {
		case Templates:
			reason = reasonTemplate
		case Entities:
			reason = reasonEntity
		}
		c.add("object_id", reason, "the id must be exactly 19 digits, as a string, without spaces")
	}
}

func (c *checker) owner() {
	if !policy.IsID(c.o.Entity) {
		c.add("entity_id", reasonEntity, "the entity's id must be exactly 19 digits")
	}
}

var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *checker) chain() {
	_, err := policy.ParseStatus(c.o.ChainStatus)
	c.err("chain_status", err)
	if c.o.PortalHash != "" && !hexHash.MatchString(c.o.PortalHash) {
		c.add("portal_chain_hash", reasonFormat, "the hash has 64 lower-case hex digits")
	}
	if len(c.o.Chain) > maxChain {
		c.add("chain", reasonTooMany, fmt.Sprintf("a chain has at most %d telemarketers", maxChain))
	}
	if len(c.o.Chain) > 0 && policy.IsID(c.o.ID) {
		_, err := ChainHash(c.o.ID, c.o.Chain)
		c.err("chain", err)
	}
}

func (c *checker) headerKind() {
	kind, err := policy.ParseKind(c.o.Type)
	c.err("type", err)
	digits := strings.Trim(c.o.ID, "0123456789") == ""
	if err == nil && digits != (kind == policy.PromotionalHeader) {
		c.add("type", reasonConflict, "a header of six digits is promotional, one of letters is not")
	}
}

func (c *checker) cta() {
	if _, err := template.NewWhitelist([]template.CTA{{Kind: template.CTAKind(c.o.Type), Value: c.o.Value}}); err != nil {
		c.add("value", reasonCTA, err.Error())
	}
}

func (c *checker) template() {
	category, err := policy.ParseCategory(c.o.Category)
	c.err("category", err)
	if _, err := parseTemplate(c.o); err != nil {
		c.add("body", reasonFormat, err.Error())
	}
	if c.o.Goods != nil && (*c.o.Goods < 0 || *c.o.Goods > 8) {
		c.add("goods", reasonFormat, "a category of goods is 0 to 8")
	}
	if len(c.o.Headers) > maxLinks {
		c.add("headers", reasonTooMany, fmt.Sprintf("a template is linked to at most %d headers", maxLinks))
	}
	for _, h := range c.o.Headers {
		if err := policy.CheckHeader(h); err != nil {
			c.add("headers", reasonHeader, err.Error())
			break
		}
	}
	for _, o := range c.o.Overrides {
		if o != UntypedAllowed {
			c.add("overrides", reasonUnknown, "the only override is "+UntypedAllowed)
		} else if c.o.MaxLength <= 0 || c.o.MaxLength > 2000 || category == policy.Promotional {
			c.add("max_length", reasonFormat, UntypedAllowed+" needs a max_length of 1 to 2000 and is not for promotion")
		}
	}
}

// Warning is a doubt that refuses nothing.
type Warning struct{ Reason, Detail string }

// Warn tells what looks wrong with an object and is allowed. Digits 3 and 4 of an id seem to name what it is of, by the
// ids seen: never a rule, but the commonest mix-up shows there (I03).
func Warn(o *Object) (all []Warning) {
	if len(o.ID) == 19 && o.ID[2:4] == "07" && (o.Kind == Entities || o.Kind == Telemarketers) {
		all = append(all, Warning{"LOOKS_LIKE_TEMPLATE_ID", "Digits 3 and 4 are those of template ids; make sure that this is not one."})
	}
	if o.Kind == Headers && o.Type == "promotional" && strings.HasPrefix(o.ID, "9") {
		all = append(all, Warning{"HEADER_CATEGORY_UNKNOWN", "The first digit names no category of goods (0-8)."})
	}
	return all
}
