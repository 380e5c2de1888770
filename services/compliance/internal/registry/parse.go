package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// newTemplate makes the template an object says. Its body is that of old where it is the same, so that a change of status
// parses nothing and changes no index.
func (b *builder) newTemplate(old *Template, o *Object) (*Template, error) {
	category, err := policy.ParseCategory(o.Category)
	if err != nil {
		return nil, err
	}
	t := &Template{ID: o.ID, Entity: o.Entity, Headers: b.linksOf(o.Headers), Category: category, Goods: -1, Portal: o.Portal,
		Named: len(o.Variables) > 0, Use: newUse(o)}
	if old != nil && old.reads(o) {
		t.Parsed = old.Parsed
	} else if t.Parsed, err = parseTemplate(o); err != nil {
		return nil, err
	} else {
		b.parsed = append(b.parsed, t.Parsed)
	}
	if len(t.Headers) > 0 {
		t.link = wordOf(t.Headers[0])
	}
	if o.Goods != nil {
		t.Goods = *o.Goods
	}
	if t.OptOut = policy.No; t.Parsed.HasOptOut() {
		t.OptOut = policy.Yes
	}
	for _, override := range o.Overrides {
		switch {
		case override == PreferenceUncheckedAllowed:
			t.Unchecked = true
		case override != UntypedAllowed:
			return nil, fmt.Errorf("unknown override %q", override)
		case o.MaxLength <= 0 || o.MaxLength > 2000:
			return nil, fmt.Errorf("override %s needs a max_length of 1 to 2000", override)
		default:
			t.UntypedMax = o.MaxLength
		}
	}
	return t, nil
}

// reads tells whether an object has the body, the syntax and the names that t was made of.
func (t *Template) reads(o *Object) bool {
	if t.Portal != o.Portal {
		return false
	}
	body, _ := template.Normalise(o.Body)
	return t.Parsed.Body() == body && (len(o.Variables) == 0 && !t.Named || t.Named && slices.Equal(t.Parsed.Names(), o.Variables))
}

// linksOf is a copy of a list of headers, one for all templates that are linked alike.
func (b *builder) linksOf(headers []string) []string {
	if len(headers) == 0 {
		return nil
	}
	key := strings.Join(headers, ",")
	list, there := b.links[key]
	if !there {
		for _, text := range headers {
			if h := b.headers.get(text); h != nil {
				text = h.Text
			}
			list = append(list, strings.Clone(text))
		}
		b.links[key] = list
	}
	return list
}

// parseTemplate reads a template's body as its portal writes it.
func parseTemplate(o *Object) (*template.Template, error) {
	profile := template.ProfileNamed(cmp.Or(o.Portal, template.Default().Name()))
	if profile == nil {
		return nil, fmt.Errorf("portal %q is none of %v", o.Portal, Portals())
	}
	var variables []template.Variable
	for _, name := range o.Variables {
		if name == "" {
			return nil, errors.New("a variable's name is empty")
		}
		variables = append(variables, template.Variable{Name: name})
	}
	return profile.Parse(o.Body, variables)
}

// Portals are the portals whose syntax of templates is known.
func Portals() (names []string) {
	for _, p := range template.Profiles() {
		names = append(names, p.Name())
	}
	return names
}

// sameBody tells whether two bodies are the same text to a message.
func sameBody(a, b string) bool {
	a, _ = template.Normalise(a)
	b, _ = template.Normalise(b)
	return a == b
}
