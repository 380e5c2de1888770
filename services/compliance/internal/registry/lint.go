package registry

import (
	"slices"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Lint tells what a portal would refuse or ask about a template that can be registered here. Its brand may stand in the
// body as one of its headers or as the name of its owner; whitelist holds its owner's calls to action, nil leaves them out.
func Lint(o *Object, owner string, whitelist *template.Whitelist) []template.Lint {
	if o.Kind != Templates {
		return nil
	}
	t, err := parseTemplate(o)
	if err != nil {
		return nil // Check tells
	}
	brands := slices.Clone(o.Headers)
	if owner != "" {
		brands = append(brands, owner)
	}
	return t.Lint(template.Registration{Category: o.Category, Brands: brands, Whitelist: whitelist})
}

// Whitelists are the calls to action of every entity among objects, the active ones; what is malformed is left out.
func Whitelists(known map[Key]*Object) map[string]*template.Whitelist {
	lists := map[string][]template.CTA{}
	for k, o := range known {
		switch {
		case k.Kind == Entities:
			if lists[k.ID] == nil {
				lists[k.ID] = []template.CTA{} // it has a list, be it empty
			}
		case k.Kind == CTAs && (o.Status == "" || o.Status == "active"):
			c := template.CTA{Kind: template.CTAKind(o.Type), Value: o.Value}
			if _, err := template.NewWhitelist([]template.CTA{c}); err == nil {
				lists[o.Entity] = append(lists[o.Entity], c)
			}
		}
	}
	all := make(map[string]*template.Whitelist, len(lists))
	for entity, list := range lists {
		all[entity], _ = template.NewWhitelist(list) // each was tried
	}
	return all
}
