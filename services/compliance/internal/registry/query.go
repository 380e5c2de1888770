package registry

import (
	"fmt"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Query asks for a page of objects.
type Query struct {
	Kind     Kind
	After    string // id of the last one seen
	Entity   string // of this owner; empty: of any
	Status   string // with this status: at Operator where one is named, else portal-wide; empty: with any
	Operator string
	Limit    int
}

// Revision is a body that a template has or had.
type Revision struct {
	Number int
	Body   string
	From   time.Time
}

// References are the keys Plan must know for an object: its own and what it names.
func References(o *Object) []Key {
	keys := []Key{o.Key()}
	if o.Entity != "" {
		keys = append(keys, Key{Entities, o.Entity})
	}
	for _, tm := range o.Chain {
		keys = append(keys, Key{Telemarketers, tm})
	}
	return keys
}

// Refusal is the error for problems, nil without: one that conflicts with what is registered has a reason of its own,
// others are violations of the request.
func Refusal(problems []Problem, wanted []Object) error {
	if len(problems) == 0 {
		return nil
	}
	for _, p := range problems {
		switch p.Reason {
		case reasonBody, reasonRevision, reasonOwner:
			return errs.E(errs.Exists, p.Reason, fmt.Sprintf("%s: %s.", wanted[p.At].Key(), p.Detail), nil)
		}
	}
	e := errs.E(errs.Invalid, "REQUEST_INVALID", "The object cannot be registered so; see the violations.", nil)
	for _, p := range problems {
		v := p.Violation
		if len(wanted) > 1 {
			v.Field = wanted[p.At].Key().String() + "." + v.Field
		}
		e.Violations = append(e.Violations, v)
	}
	return e
}
