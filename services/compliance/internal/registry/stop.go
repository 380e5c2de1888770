package registry

import (
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Scope is what a kill switch stops.
type Scope string

// The scopes.
const (
	StopTenant   Scope = "tenant"
	StopEntity   Scope = "entity"
	StopHeader   Scope = "header"
	StopTemplate Scope = "template"
)

// Stop is a kill switch that is on.
type Stop struct {
	Scope  Scope
	Object string // id of the entity or template, text of the header; empty for the tenant
	Reason string
	Actor  string
	Since  time.Time
}

// Stops are all stops of a tenant that are on. They have a version of their own and are followed on their own, so that a
// kill switch waits for no import.
type Stops struct {
	Version int64
	Stops   []Stop
}

type stopKey struct {
	scope  Scope
	object string
}

const maxReason = 500

// CheckStop tells what is wrong with a stop that is to be put on or taken off.
func CheckStop(scope Scope, object, reason string) []errs.Violation {
	c := checker{}
	switch scope {
	case StopTenant:
		if object != "" {
			c.add("object_id", reasonConflict, "a stop of the tenant names no object")
		}
	case StopEntity, StopTemplate:
		if !policy.IsID(object) {
			c.add("object_id", reasonFormat, "the id must be exactly 19 digits")
		}
	case StopHeader:
		if err := policy.CheckHeader(object); err != nil {
			c.add("object_id", reasonHeader, err.Error())
		}
	default:
		c.add("scope", reasonUnknown, "the scopes are tenant, entity, header and template")
	}
	if reason == "" {
		c.add("reason", reasonRequired, "say why; it is kept in the audit log")
	}
	return append(c.wrong, CheckReason(reason)...)
}

// CheckReason bounds the words of an actor.
func CheckReason(reason string) []errs.Violation {
	if len(reason) > maxReason {
		return []errs.Violation{{Field: "reason", Reason: reasonTooLong, Detail: "at most 500 bytes"}}
	}
	return nil
}

// withStops is s with other stops.
func (s *Snapshot) withStops(stops Stops) *Snapshot {
	next := *s
	next.stopsVersion, next.stops = stops.Version, make(map[stopKey]Stop, len(stops.Stops))
	for _, stop := range stops.Stops {
		next.stops[stopKey{stop.Scope, stop.Object}] = stop
	}
	return &next
}

// Stopped is the widest stop that covers a message; ok is false when none does. Without stops it costs a comparison.
func (s *Snapshot) Stopped(entity, header, template string) (stop Stop, ok bool) {
	if len(s.stops) == 0 {
		return stop, false
	}
	for _, k := range [...]stopKey{{StopTenant, ""}, {StopEntity, entity}, {StopHeader, header}, {StopTemplate, template}} {
		if stop, ok = s.stops[k]; ok {
			return stop, true
		}
	}
	return stop, false
}
