package portal

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// parser reads one record into an object.
type parser struct {
	*layout
	record []string
	object registry.Object
	wrong  []Problem
}

func (p *parser) add(field, reason, detail string) {
	p.wrong = append(p.wrong, Problem{Column: p.names[p.fields[field]], Reason: reason, Detail: detail})
}

// text is a field as written; ok is false when the file has no such column. Ids are not trimmed: a space in one is an
// error that must show (I06).
func (p *parser) text(field string) (text string, ok bool) {
	at, ok := p.fields[field]
	if !ok {
		return "", false
	}
	return p.record[at], true
}

func (p *parser) parse() {
	o := &p.object
	o.ID = p.id("id")
	if header, ok := p.text("header"); ok {
		o.ID = strings.TrimSpace(header)
	}
	if _, ok := p.text("entity"); ok {
		if id := p.id("entity"); id != "" {
			o.Entity = id
		}
	}
	o.Name, _ = p.text("name")
	o.Name = strings.TrimSpace(o.Name)
	o.Status, o.Role, o.Type, o.Category = p.word("status"), p.word("role"), p.word("type"), p.word("category")
	o.ChainStatus = p.wordAs("chain_status", "status")
	o.PortalHash, _ = p.text("portal_hash")
	o.Value, _ = p.text("value")
	o.Chain, o.Headers, o.Variables = p.list("chain"), p.list("headers"), p.list("variables")
	o.ValidFrom, o.ValidUntil, o.Certified = p.date("valid_from"), p.date("valid_until"), p.date("certified")
	p.operators()
	p.template()
}

func (p *parser) template() {
	o := &p.object
	o.Body, _ = p.text("body")
	if p.kind == registry.Templates && fits(p.profile, o.Body) {
		o.Portal = p.profile
	}
	if tags := p.list("tags"); len(tags) > 0 {
		o.Body, o.Portal = p.tagged(o.Body, tags), "" // the tags now stand in the text as any portal may write them
	}
	o.Revision = p.number("revision", 1, 1_000_000)
	if text, ok := p.text("goods"); ok && text != "" {
		goods := p.number("goods", 0, 8)
		o.Goods = &goods
	}
}

// fits tells whether a body has the variables for its portal that it has for any. Registrations are copied between portals:
// a {#number#} in an export of one that does not write it so came from another, and is a variable all the same.
func fits(profile, body string) bool {
	p := template.ProfileNamed(profile)
	if p == nil {
		return false
	}
	own, err := p.Parse(body, nil)
	if err != nil {
		return false
	}
	whole, err := template.Default().Parse(body, nil)
	return err == nil && len(own.Variables()) == len(whole.Variables())
}

// Forms in which a spreadsheet program keeps or spoils a long number.
var (
	kept    = regexp.MustCompile(`^(?:="([0-9]+)"|'([0-9]+))$`)
	spoiled = regexp.MustCompile(`^[0-9][.,][0-9]+[eE]\+?[0-9]+$`)
)

// id reads a 19-digit id; what keeps it from being rounded is taken off.
func (p *parser) id(field string) string {
	text, ok := p.text(field)
	if !ok {
		return ""
	}
	if m := kept.FindStringSubmatch(text); m != nil {
		return m[1] + m[2]
	}
	if spoiled.MatchString(text) {
		p.add(field, "ID_ROUNDED", "a spreadsheet program has rounded the id; export the file anew and import it without opening it there")
	}
	return text
}

func (p *parser) word(field string) string { return p.wordAs(field, field) }

// wordAs reads a word of a vocabulary as the registry writes it.
func (p *parser) wordAs(field, vocabulary string) string {
	text, ok := p.text(field)
	if !ok {
		return ""
	}
	if value, ok := words[vocabulary][canonical(text)]; ok {
		return value
	}
	if _, err := policy.ParseStatus(text); vocabulary == "status" && err == nil {
		return text
	}
	p.add(field, "UNKNOWN", "this "+field+" is not known; see the words in the portal's mapping")
	return ""
}

func (p *parser) operators() {
	for field := range p.fields {
		operator, ok := strings.CutPrefix(field, operatorPrefix)
		if !ok {
			continue
		}
		if text, _ := p.text(field); text == "" {
			continue
		}
		if p.object.Operators == nil {
			p.object.Operators = map[string]string{}
		}
		p.object.Operators[operator] = p.wordAs(field, "status")
	}
}

// list reads words separated by comma, semicolon or bar.
func (p *parser) list(field string) (all []string) {
	text, _ := p.text(field)
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == '|' }) {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// dateForms are the ways portals write dates; days come before months in India.
var dateForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02", "02-01-2006 15:04:05", "02-01-2006", "02/01/2006 15:04:05", "02/01/2006", "2 Jan 2006", "02-Jan-2006"}

func (p *parser) date(field string) time.Time {
	text, ok := p.text(field)
	if text = strings.TrimSpace(text); !ok || text == "" || strings.EqualFold(text, "NA") || text == "-" {
		return time.Time{}
	}
	for _, form := range dateForms {
		if t, err := time.ParseInLocation(form, text, policy.IST); err == nil && t.Year() > 1900 && t.Year() < 10000 {
			return t.UTC()
		}
	}
	p.add(field, "FORMAT", "the date is not understood; write it as 2026-01-31")
	return time.Time{}
}

func (p *parser) number(field string, low, high int) int {
	text, ok := p.text(field)
	if text = strings.TrimSpace(text); !ok || text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		p.add(field, "FORMAT", "a number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high)+" is wanted")
		return 0
	}
	return n
}

// tagged puts the types of variables, which some portals keep in a column of their own, into the text.
func (p *parser) tagged(body string, tags []string) string {
	const untyped = "{#var#}"
	if strings.Count(body, untyped) != len(tags) {
		p.add("tags", "VARIABLE_COUNT", "the tags are not as many as the variables of the text")
		return body
	}
	var b strings.Builder
	for _, tag := range tags {
		before, after, _ := strings.Cut(body, untyped)
		b.WriteString(before)
		b.WriteString("{#" + strings.ToLower(strings.Trim(tag, "{#} ")) + "#}")
		body = after
	}
	b.WriteString(body)
	return b.String()
}
