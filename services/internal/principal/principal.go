// Package principal carries the verified caller of a request: made by the door from a bearer key, attached to
// forwarded calls as metadata over mTLS, checked again by the inner services.
package principal

import (
	"context"
	"slices"

	"github.com/google/uuid"
)

// Environment words as they stand in keys, subjects and data.
const (
	Live = "live"
	Test = "test"
)

// Principal is who calls, on whose behalf, and what the key may do.
type Principal struct {
	TenantID uuid.UUID
	Env      string   // Live or Test
	Actor    string   // "key/<kid>" or "user/<id>"
	Scopes   []string // sorted; for example "messages:send"
	Session  string   // of a user: the session's public id; known at the door only, not forwarded
}

// Has tells whether the principal holds scope.
func (p Principal) Has(scope string) bool { return slices.Contains(p.Scopes, scope) }

type contextKey struct{}

// NewContext returns ctx with p attached.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the attached principal; ok is false where no door has verified a caller.
func FromContext(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(contextKey{}).(Principal)
	return p, ok
}
