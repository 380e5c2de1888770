package rpc

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// door is the only service whose word on a principal is taken: it has verified the bearer key (design decision 3).
const door = "ingest"

// principalKey is the metadata that carries the principal; "-bin" makes grpc encode it.
const principalKey = "x-onlinesms-principal-bin"

// WithPrincipal makes the principal of ctx the only one that the calls made with the answered context carry: none when
// ctx has none, whatever a client's metadata, passed on by mistake, may say.
func WithPrincipal(ctx context.Context) context.Context {
	outgoing, _ := metadata.FromOutgoingContext(ctx) // a copy
	delete(outgoing, principalKey)
	p, ok := principal.FromContext(ctx)
	if encoded, err := p.AppendBinary(nil); ok && err == nil { // else the inner service refuses for want of one
		outgoing = metadata.Join(outgoing, metadata.Pairs(principalKey, string(encoded)))
	}
	return metadata.NewOutgoingContext(ctx, outgoing)
}

// PrincipalFromIncoming answers the principal a call came with, when it is the door that says so; ok is false when there
// is none, or more than one, or another service sent it. Servers of this package have put it in the context already
// (principal.FromContext).
func PrincipalFromIncoming(ctx context.Context) (p principal.Principal, ok bool) {
	values := metadata.ValueFromIncomingContext(ctx, principalKey)
	if len(values) != 1 || Caller(ctx) != door {
		return p, false
	}
	if err := p.UnmarshalBinary([]byte(values[0])); err != nil {
		return principal.Principal{}, false
	}
	return p, true
}

// Caller is the service at the other end of the call's mTLS connection; empty when there is none.
func Caller(ctx context.Context) string {
	other, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	info, ok := other.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return ""
	}
	caller, _ := tlsconf.PeerService(info.State)
	return caller
}
