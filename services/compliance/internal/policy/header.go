package policy

import "errors"

// header judges the header a message names: form first, and only a well-formed one against the registry.
func (e *evaluation) header() {
	e.begin(HeaderCheck)
	h, t := &e.f.Header, &e.f.Template
	wrong, more := headerForm(h.Text, e.pack.SixOnly || e.f.Route.SixOnly)
	for _, code := range [...]string{wrong, more} {
		if code != "" {
			e.deny(code)
		}
	}
	if wrong != "" {
		return
	}
	if h.Text[0] == '9' && digits(h.Text) { // in no list of categories, yet portals show such headers
		e.warn(WarnHeaderCategoryUnknown)
	}
	if !e.status(within(h.Status, h.From, h.Until, e.now), h.AtOperator, &headerWords) {
		return
	}
	if e.f.Entity.Status != Unknown && !h.OfEntity {
		e.deny(HeaderNotOfEntity)
	}
	if h.Kind == PromotionalHeader && t.Status != Unknown && t.Goods >= 0 && t.Goods != int(h.Text[0]-'0') {
		e.choose(e.pack.CategoryDigit, WarnHeaderCategoryDiffers, HeaderCategoryMismatch,
			"header_digit", h.Text[:1], "template_digit", digitOf(t.Goods))
	}
}

// headerForm judges the form of a header as sent: the bare core, 3-6 ASCII letters and digits, or exactly six digits. An
// operator's prefix (VM-) and a category suffix (-S), which operators add, are named as such, both where both are there. The
// answer is empty for a header that is well-formed.
func headerForm(text string, sixOnly bool) (wrong, more string) {
	n := len(text)
	if n > 3 && capital(text[0]) && capital(text[1]) && text[2] == '-' {
		wrong = HeaderHasPrefix
	}
	if n > 2 && text[n-2] == '-' && suffix(text[n-1]) {
		if wrong != "" {
			return wrong, HeaderHasSuffix
		}
		return HeaderHasSuffix, ""
	}
	if wrong == "" && !core(text, sixOnly) {
		wrong = HeaderFormat
	}
	return wrong, ""
}

// core tells whether text is a registered core by its form alone.
func core(text string, sixOnly bool) bool {
	if len(text) < 3 || len(text) > 6 {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !capital(c&^0x20) && (c < '0' || c > '9') {
			return false
		}
	}
	return len(text) == 6 || !sixOnly && !digits(text)
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

func capital(c byte) bool { return c >= 'A' && c <= 'Z' }
func suffix(c byte) bool  { return c == 'P' || c == 'S' || c == 'T' || c == 'G' }

// CheckHeader says what is wrong with a header that is to be registered, nil when it is well-formed. Whether headers of
// letters must have six is a matter of pack and route, judged when a message is decided.
func CheckHeader(text string) error {
	if wrong, _ := headerForm(text, false); wrong != "" {
		return errors.New(R(wrong).Detail)
	}
	return nil
}
