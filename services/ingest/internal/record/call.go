package record

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Outcomes of a call.
const (
	Success = "success"
	Refused = "refused" // for the caller's doing: his credential, his request, his limits
	Failure = "failure" // for ours
)

// Anonymous is the actor of calls without a credential that is known.
const Anonymous = "anonymous"

// Platform is the tenant of calls whose caller is not known.
var Platform = uuid.Nil

// Call is the record of one call. It belongs to the goroutine that handles the call.
type Call struct {
	ID       uuid.UUID // UUIDv7; what X-Audit-Event names; given by Append, Write and Later
	Tenant   uuid.UUID // Platform for unknown callers
	Env      string    // principal.Live or principal.Test
	Action   string    // type.v1.Access.audit of the method, for example api_key.revoke
	Actor    string    // `key/<kid>`, `user/<id>`, `operator/<command>` or Anonymous
	Resource string    // for example `api_key/<kid>`; empty for lists
	Outcome  string    // Success, Refused or Failure
	Reason   string    // canonical reason of what is not a success
	Time     time.Time
	Caller   caller.Caller

	changes []change
	publish func(...eventbus.Parcel)
	parcel  eventbus.Parcel // as appended to a transaction; no id before
	durable bool            // that transaction is committed
}

// New begins a record of a call by an unknown caller, until Known is told another. Publish takes the parcel once it is
// committed; it must not block.
func New(action string, from caller.Caller, publish func(...eventbus.Parcel), now time.Time) *Call {
	return &Call{
		Tenant: Platform, Env: principal.Live, Action: action, Actor: Anonymous, Outcome: Success,
		Time: now, Caller: from, publish: publish,
	}
}

// newID panics where the system has no randomness, as crypto/rand does itself.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Known sets whose call it is.
func (c *Call) Known(p principal.Principal) { c.Tenant, c.Env, c.Actor = p.TenantID, p.Env, p.Actor }

// Durable tells whether the record was committed together with a change.
func (c *Call) Durable() bool { return c.durable }

type contextKey struct{}

// NewContext returns ctx with the record of its call.
func NewContext(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From is the record of the call that ctx belongs to; nil outside of one.
func From(ctx context.Context) *Call {
	c, _ := ctx.Value(contextKey{}).(*Call)
	return c
}

// ByOperator begins a record for a change made by a command of the binary, outside of any call: actor
// `operator/<command>`. Without a publisher the parcel is found in the outbox by the next relay.
func ByOperator(ctx context.Context, command, action string, p principal.Principal, now time.Time) context.Context {
	c := New(action, caller.Caller{}, func(...eventbus.Parcel) {}, now)
	c.Tenant, c.Env, c.Actor = p.TenantID, p.Env, "operator/"+command
	return NewContext(ctx, c)
}
