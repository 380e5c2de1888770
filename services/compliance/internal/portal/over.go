package portal

import (
	"maps"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// over is the object of a line over what is registered: what the file has no column for stays.
func (l *Line) over(known *registry.Object) registry.Object {
	o := *l.Object
	if known == nil {
		return o
	}
	keep := func(field string, put func()) {
		if _, has := l.has[field]; !has {
			put()
		}
	}
	keep("name", func() { o.Name = known.Name })
	keep("status", func() { o.Status = known.Status })
	keep("type", func() { o.Type = known.Type })
	keep("role", func() { o.Role = known.Role })
	keep("chain", func() { o.Chain = known.Chain })
	keep("chain_status", func() { o.ChainStatus = known.ChainStatus })
	keep("portal_hash", func() { o.PortalHash = known.PortalHash })
	keep("headers", func() { o.Headers = known.Headers })
	keep("variables", func() { o.Variables = known.Variables })
	keep("goods", func() { o.Goods = known.Goods })
	keep("valid_from", func() { o.ValidFrom = known.ValidFrom })
	keep("valid_until", func() { o.ValidUntil = known.ValidUntil })
	keep("certified", func() { o.Certified = known.Certified })
	o.Overrides, o.MaxLength = known.Overrides, known.MaxLength
	if o.Body == known.Body {
		o.Portal = known.Portal // portals copy registrations from one another; the syntax is that of the first
	}
	if len(known.Operators) > 0 {
		operators := maps.Clone(known.Operators)
		maps.Copy(operators, o.Operators)
		o.Operators = operators
	}
	return o
}

// column is the name under which the file has a field of the API.
func (l *Line) column(field string) string {
	if fields, ok := map[string][]string{"object_id": {"id", "header"}, "entity_id": {"entity"}, "portal_chain_hash": {"portal_hash"},
		"valid_until_time": {"valid_until"}, "operator_status": {"status"}}[field]; ok {
		for _, f := range fields {
			if at, ok := l.has[f]; ok {
				return l.names[at]
			}
		}
	}
	if at, ok := l.has[field]; ok {
		return l.names[at]
	}
	return field
}
