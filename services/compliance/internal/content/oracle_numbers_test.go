package content_test

import (
	"regexp"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

func (o *oracle) numbers() {
	for _, m := range ten["number"].FindAllStringIndex(o.text, -1) {
		o.number(m[0], m[0], m[1], o.text[m[0]:m[1]])
	}
	for _, m := range ten["fours"].FindAllStringIndex(o.text, -1) {
		o.chain(m[0], m[1])
	}
	for _, m := range ten["spelled"].FindAllStringIndex(o.masked(), -1) {
		if digits := digitsOf(o.text[m[0]:m[1]]); len(digits) <= 19 {
			o.number(m[1]-1, m[0], m[1], digits)
		}
	}
	for from := 0; ; {
		m := ten["amex"].FindStringIndex(o.text[from:])
		if m == nil {
			break
		}
		start, end := from+m[0], from+m[1]
		if digits := digitsOf(o.text[start:end]); issuer.MatchString(digits) && textbookLuhn(digits) {
			o.add(end-5, 1, content.Card, o.nearNumber(start) != "reference", start, end)
		}
		from = end
	}
	for from := 0; ; {
		m := grouped.FindStringSubmatchIndex(o.text[from:])
		if m == nil {
			break
		}
		start, end := from+m[0], from+m[1]
		if m[2] >= 0 && o.isGone(start) {
			start = from + m[4]
		}
		if o.nearNumber(start) != "reference" {
			o.add(end-5, 1, content.Phone, false, start, end)
		}
		from = end - 5 // the last five may be the first of the next
	}
}

var grouped = regexp.MustCompile(`(\b91[ -])?\b([6-9][0-9]{4}[ -][0-9]{5})\b`)

func digitsOf(s string) string { return strings.NewReplacer(" ", "", "-", "").Replace(s) }

// chain looks at every three and four groups of four.
func (o *oracle) chain(start, end int) {
	for at := start; at < end; at += 5 {
		if from := at - 15; from >= start {
			o.sixteen(at, from, at+4, digitsOf(o.text[from:at+4]))
		}
		if from := at - 10; from >= start {
			o.twelve(at, from, at+4, digitsOf(o.text[from:at+4]))
		}
	}
}

func (o *oracle) twelve(at, start, end int, digits string) {
	if near := o.nearNumber(start); near != "reference" && aadhaarForm(digits) {
		o.add(at, 1, content.Aadhaar, near == "aadhaar", start, end)
	}
}

func (o *oracle) sixteen(at, start, end int, digits string) {
	near := o.nearNumber(start)
	switch {
	case issuer.MatchString(digits) && textbookLuhn(digits):
		o.add(at, 1, content.Card, near != "reference", start, end)
	case near != "reference" && aadhaarForm(digits):
		o.add(at, 1, content.VID, near == "vid" || near == "aadhaar", start, end)
	}
}

var (
	tollFree = regexp.MustCompile(`^18[06]0[0-9]{6,7}$`)
	mobile   = regexp.MustCompile(`^0?[6-9][0-9]{9}$`)
	abroad   = regexp.MustCompile(`^91[6-9][0-9]{9}$`)
)

func (o *oracle) number(at, start, end int, digits string) {
	near, n := o.nearNumber(start), len(digits)
	switch {
	case slices.Contains(o.ids, digits):
	case near == "account" && n <= 18 && !tollFree.MatchString(digits):
		o.add(at, 1, content.Account, o.ifscBefore(start), start, end)
	case mobile.MatchString(digits), abroad.MatchString(digits) && near != "aadhaar":
		if n <= 11 {
			if from := start - 3; from >= 0 && regexp.MustCompile(`^91[ -]$`).MatchString(o.text[from:start]) && !o.isGone(from) && (from == 0 || !word.MatchString(o.text[from-1:from])) {
				start = from
			}
		}
		if o.nearNumber(start) != "reference" {
			o.add(at, 1, content.Phone, false, start, end)
		}
	case n == 12:
		o.twelve(at, start, end, digits)
	case n == 16:
		o.sixteen(at, start, end, digits)
	case n >= 13 && issuer.MatchString(digits) && textbookLuhn(digits):
		o.add(at, 1, content.Card, near == "card" || near != "reference" && n < 19, start, end)
	}
}

var word = regexp.MustCompile(`[0-9A-Za-z_]`)

// ifscBefore tells whether the last IFSC before start is near.
func (o *oracle) ifscBefore(start int) bool {
	last := -1
	for _, m := range ten["shape"].FindAllStringSubmatchIndex(o.text[:start], -1) {
		if m[6] >= 0 && !o.isGone(m[0]) {
			last = m[1]
		}
	}
	return last >= 0 && start-last <= 64
}

func (o *oracle) shapes() {
	for _, m := range ten["shape"].FindAllStringSubmatchIndex(o.text, -1) {
		start, end, text := m[0], m[1], o.text[m[0]:m[1]]
		switch {
		case m[2] >= 0 && text[5:9] != "0000":
			o.add(start, 1, content.PAN, o.near(start, "pan") != "", start, end)
		case m[4] >= 0 && textbookLuhn(text[3:]) && o.nearNumber(start) != "reference":
			o.add(start, 1, content.VoterID, o.near(start, "voter") != "", start, end)
		case m[6] >= 0 && strings.ContainsAny(text, "0123456789"):
			o.add(start, 1, content.IFSC, true, start, end)
		case m[8] >= 0 && o.near(start, "passport") != "":
			o.add(start, 1, content.Passport, true, start, end)
		case m[10] >= 0 && textbookGSTIN(text):
			o.add(start, 1, content.GSTIN, true, start, end)
		}
	}
}

func (o *oracle) fields() {
	for from, end := 0, 0; ; {
		m := ten["field"].FindStringSubmatchIndex(o.text[from:])
		if m == nil {
			return
		}
		name, start, stop := from+m[0], from+m[2], from+m[3]
		if o.inLink(name) && o.inLink(start-1) && start-1 >= end && !o.isGone(name) {
			o.add(start-1, 0, content.URLData, true, start, stop)
			end = stop
		}
		from = start
	}
}
