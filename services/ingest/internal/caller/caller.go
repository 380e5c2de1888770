// Package caller carries where a call at the door comes from, beside who makes it (package principal): the address it
// was made from, its user agent and its request id.
package caller

import (
	"context"
	"net/netip"
)

// MaxAgent is how many bytes of a user agent are kept.
const MaxAgent = 200

// Caller is where a call comes from. Address and Agent are personal: not for logs, metrics or errors.
type Caller struct {
	Address   netip.Addr // of the client, as the door's rules on proxies tell it; invalid where there is none
	Agent     string     // at most MaxAgent bytes, printable; may be empty
	RequestID string     // X-Request-Id of the call
	// Certificate is the SHA-256 of the client certificate (DER) it presented, hex; empty without one. Possession of the
	// key was proven in the handshake, nothing else of the certificate was.
	Certificate string
	// Environment is the X-Environment a person's call asks for, as it was sent; empty without one.
	Environment string
}

type contextKey struct{}

// NewContext returns ctx with c attached. The door does this first of all.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the attached caller; the zero value outside of a call.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}
