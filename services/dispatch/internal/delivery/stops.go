package delivery

import (
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ReasonStopped is why a message goes back to compliance while a kill switch is on for it.
const ReasonStopped = "SENDING_STOPPED"

// stopPause is when compliance decides a stopped message anew: it refuses it then, unless the switch was taken off.
const stopPause = time.Second

// Stop is a kill switch that is on. Scope is tenant, entity, header or template; Object is empty for the tenant.
type Stop struct {
	Tenant        uuid.UUID
	Scope, Object string
}

// StopChange is a kill switch put on or taken off. Versions of a tenant's switches only grow.
type StopChange struct {
	Stop
	Version int64
	On      bool
}

// Stops are the kill switches this replica knows to be on. The zero value has none.
type Stops struct {
	on atomic.Pointer[map[Stop]struct{}]
}

// Replace makes these the ones that are on.
func (s *Stops) Replace(list []Stop) {
	on := make(map[Stop]struct{}, len(list))
	for _, stop := range list {
		on[stop] = struct{}{}
	}
	s.on.Store(&on)
}

// Covers tells whether one of them is on for a message. Without any it costs a load.
func (s *Stops) Covers(m *Message) bool {
	if s == nil {
		return false
	}
	on := s.on.Load()
	if on == nil || len(*on) == 0 {
		return false
	}
	tenant := m.Parcel.Tenant
	for _, stop := range [...]Stop{{tenant, "tenant", ""}, {tenant, "entity", m.Entity}, {tenant, "header", m.Header}, {tenant, "template", m.Template}} {
		if _, covers := (*on)[stop]; covers {
			return true
		}
	}
	return false
}
