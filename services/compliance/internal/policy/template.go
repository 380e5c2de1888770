package policy

// template judges registration, ownership, link to the header, type.
func (e *evaluation) template() {
	e.begin(TemplateCheck)
	t := &e.f.Template
	if !IsID(t.ID) {
		e.deny(TemplateIDInvalid)
		return
	}
	if !e.status(within(t.Status, t.From, t.Until, e.now), t.AtOperator, &templateWords) {
		return
	}
	if e.f.Entity.Status != Unknown && !t.OfEntity {
		e.deny(TemplateNotOfEntity)
	}
	if e.f.Header.Status != Unknown {
		e.link(t)
	}
	if !e.typeFits() {
		e.deny(TemplateTypeMismatch, "category", t.Category.String())
	}
	if e.f.Requested != NoCategory && e.f.Requested != e.category {
		e.deny(CategoryMismatch, "category", e.category.String(), "requested", e.f.Requested.String())
	}
	if t.Untyped && e.pack.RefuseUntyped {
		e.denials = append(e.denials, untyped(e.pack))
	}
	if t.Unlisted {
		e.deny(CTANotWhitelisted)
	}
}

// link: the template is linked to the header and, where the pack asks for it, to no other.
func (e *evaluation) link(t *Template) {
	if !t.OfHeader {
		e.deny(HeaderNotMappedToTemplate)
	} else if e.pack.OneHeader && t.Headers > 1 {
		e.deny(TemplateOfSeveralHeaders, "headers", digitOf(t.Headers))
	}
}

// typeFits tells whether category and kind of header go together: headers of digits are for promotion only, headers of
// letters for everything else and, where pack and route say so, for promotion too.
func (e *evaluation) typeFits() bool {
	promotional := e.category == Promotional
	switch {
	case e.category == NoCategory || e.category > ServiceExplicit:
		return false
	case e.f.Header.Status == Unknown:
		return true
	case e.f.Header.Kind == PromotionalHeader:
		return promotional
	default:
		return !promotional || e.pack.AlphaPromo && e.f.Route.AlphaPromo
	}
}
