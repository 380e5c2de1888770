package door

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
)

// requestIDKey is the metadata and the header (X-Request-Id) that name a call in answers, logs and problem reports.
const requestIDKey = "x-request-id"

// Metadata under which the HTTPS side tells the gRPC server of the same process where a call comes from. They count on
// connections in memory only.
const (
	addressKey = "x-onlinesms-address"
	agentKey   = "x-onlinesms-agent"

	certificateKey = "x-onlinesms-certificate"
)

// requestID is the call's id; empty outside of a call.
func requestID(ctx context.Context) string { return caller.From(ctx).RequestID }

// chooseRequestID takes the caller's id when it is one we would write ourselves, so that it is safe in logs and
// headers; else it makes one.
func chooseRequestID(proposed string) string {
	safe := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_' || r == '.'
	}
	if proposed != "" && len(proposed) <= 64 && !strings.ContainsFunc(proposed, func(r rune) bool { return !safe(r) }) {
		return proposed
	}
	return rand.Text()
}

// agentOf keeps what is printable ASCII of a user agent, at most caller.MaxAgent bytes.
func agentOf(header string) string {
	plain := func(c byte) bool { return c >= ' ' && c < 0x7f }
	n := 0
	for n < len(header) && n < caller.MaxAgent && plain(header[n]) {
		n++
	}
	if n == len(header) || n == caller.MaxAgent {
		return header[:n]
	}
	kept := make([]byte, 0, caller.MaxAgent)
	for i := 0; i < len(header) && len(kept) < caller.MaxAgent; i++ {
		if plain(header[i]) {
			kept = append(kept, header[i])
		}
	}
	return string(kept)
}

// originOf is where an HTTPS request comes from.
func (g *guard) originOf(r *http.Request) caller.Caller {
	g.countClaims(r.Context(), func(name string) bool { return r.Header.Get(name) != "" })
	return caller.Caller{
		Certificate: certificateOfRequest(r),
		Address:     g.trust.Address(r.RemoteAddr, r.Header.Values("X-Forwarded-For")),
		Agent:       agentOf(r.UserAgent()),
		RequestID:   chooseRequestID(r.Header.Get("X-Request-Id")),
	}
}

// originMetadata carries the origin of an HTTPS request over the connection in memory.
func originMetadata(ctx context.Context, _ *http.Request) metadata.MD {
	c := caller.From(ctx)
	md := metadata.Pairs(requestIDKey, c.RequestID, agentKey, c.Agent)
	if c.Certificate != "" {
		md.Set(certificateKey, c.Certificate)
	}
	if c.Address.IsValid() {
		md.Set(addressKey, c.Address.String())
	}
	return md
}

// identify tells where a gRPC call comes from. It copies the metadata once: a look-up of a name that is not there costs
// more (it compares with every name), and here are a dozen.
func (g *guard) identify(ctx context.Context) caller.Caller {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(key string) string {
		if values := md[key]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	c := caller.Caller{RequestID: chooseRequestID(first(requestIDKey))}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return c
	}
	if _, inMemory := p.AuthInfo.(memoryInfo); inMemory {
		c.Address, _ = netip.ParseAddr(first(addressKey))
		c.Agent, c.Certificate = first(agentKey), first(certificateKey)
	} else {
		g.countClaims(ctx, func(name string) bool { return len(md[name]) > 0 })
		c.Certificate = certificateOf(p.AuthInfo)
		c.Address, c.Agent = g.trust.Address(p.Addr.String(), md["x-forwarded-for"]), agentOf(first("user-agent"))
	}
	return c
}

func (g *guard) identifyStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	from := g.identify(stream.Context())
	if err := stream.SetHeader(metadata.Pairs(requestIDKey, from.RequestID)); err != nil {
		return err
	}
	return handle(srv, streamOf{stream, caller.NewContext(stream.Context(), from)})
}
