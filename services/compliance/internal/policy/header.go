package policy

import "errors"

// header judges the header a message names: form first, and only a well-formed one against the registry.
func header(d []Reason, pack *Pack, f *Facts) []Reason {
	h := &f.Header
	before := len(d)
	if d = headerForm(d, pack, h.Text); len(d) > before {
		return d
	}
	switch h.Status {
	case Active:
	case Unknown:
		return append(d, R(HeaderNotFound))
	case Suspended:
		d = append(d, R(HeaderSuspended))
	case Blacklisted:
		d = append(d, R(HeaderBlacklisted))
	default:
		d = append(d, R(HeaderInactive))
	}
	if f.Entity.Status != Unknown && !h.OfEntity {
		d = append(d, R(HeaderNotOfEntity))
	}
	if pack.CategoryDigit && h.Kind == PromotionalHeader && f.Template.Status != Unknown && f.Template.Goods >= 0 &&
		f.Template.Goods != int(h.Text[0]-'0') {
		d = append(d, R(HeaderCategoryMismatch, "header_digit", h.Text[:1], "template_digit", digitOf(f.Template.Goods)))
	}
	return d
}

// headerForm judges the form of a header as sent (DLT rules 1.3, H01-H12): the bare core, 3-6 ASCII letters and digits, or
// exactly six digits. An operator's prefix (VM-) and a category suffix (-S) are named as such.
func headerForm(d []Reason, pack *Pack, text string) []Reason {
	before := len(d)
	if n := len(text); n > 3 && capital(text[0]) && capital(text[1]) && text[2] == '-' {
		d = append(d, R(HeaderHasPrefix))
	}
	if n := len(text); n > 2 && text[n-2] == '-' && category(text[n-1]) {
		d = append(d, R(HeaderHasSuffix))
	}
	if len(d) == before && !core(text, pack.SixOnly) {
		d = append(d, R(HeaderFormat))
	}
	return d
}

// core tells whether text is a registered core by its form alone.
func core(text string, sixOnly bool) bool {
	if len(text) < 3 || len(text) > 6 {
		return false
	}
	digits := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digits++
		case !capital(c &^ 0x20):
			return false
		}
	}
	if digits == len(text) || sixOnly {
		return len(text) == 6
	}
	return true
}

func capital(c byte) bool  { return c >= 'A' && c <= 'Z' }
func category(c byte) bool { return c == 'P' || c == 'S' || c == 'T' || c == 'G' }

// CheckHeader says what is wrong with a header that is to be registered, nil when it is well-formed. Whether headers of
// letters must have six is a matter of the pack, judged when a message is decided.
func CheckHeader(text string) error {
	if wrong := headerForm(nil, &Pack{}, text); wrong != nil {
		return errors.New(wrong[0].Detail)
	}
	return nil
}
