package door

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"
	"google.golang.org/grpc/credentials"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
)

// behindProxies lets the peers in trusted, and nobody else, say for whom they connect: by PROXY protocol version 2, which
// they must then speak. Everybody else is taken at the address of his socket, and a PROXY header of his is read as what
// it is: no TLS. Without trusted ranges nothing is changed.
func behindProxies(inner net.Listener, trusted []netip.Prefix) net.Listener {
	if len(trusted) == 0 {
		return inner
	}
	return &proxyproto.Listener{
		Listener: inner, ReadHeaderTimeout: handshakeLimit, ValidateHeader: onlyVersion2,
		ConnPolicy: func(conn proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer := caller.Trust{}.Address(conn.Upstream.String(), nil)
			if slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer) }) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

var errProxyVersion = errors.New("PROXY protocol: version 2 over TCP only")

// onlyVersion2 refuses the text form, and what is not a TCP connection.
func onlyVersion2(h *proxyproto.Header) error {
	if h.Version != 2 || h.Command.IsProxy() && !h.TransportProtocol.IsStream() {
		return errProxyVersion
	}
	return nil
}

// claims are the headers by which somebody tells where a call comes from. Only X-Forwarded-For is ever believed, and
// only with trusted hops.
var claims = []string{
	"x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-cluster-client-ip",
	"x-originating-ip", "x-remote-ip", "x-remote-addr", "fastly-client-ip",
}

// countClaims counts calls with claims that are not believed.
func (g *guard) countClaims(ctx context.Context, has func(name string) bool) {
	names := claims
	if g.trust.Hops > 0 {
		names = claims[1:]
	}
	if slices.ContainsFunc(names, has) {
		g.metrics.forwarded.Add(ctx, 1)
	}
}

// fingerprint is the SHA-256 of the certificate that the client of a TLS connection presented, hex; empty without one.
func fingerprint(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:])
}

// certificateOf is fingerprint for a gRPC connection.
func certificateOf(info credentials.AuthInfo) string {
	if secure, ok := info.(credentials.TLSInfo); ok {
		return fingerprint(&secure.State)
	}
	return ""
}

type connContext struct{}

// withConn notes the certificate of an HTTPS connection for its requests: net/http itself does not know that HTTP/1
// connections are TLS, see splitter.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if h1, ok := conn.(hstsConn); ok {
		conn = h1.Conn
	}
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return ctx
	}
	state := secure.ConnectionState()
	return context.WithValue(ctx, connContext{}, fingerprint(&state))
}

// certificateOfRequest is fingerprint for an HTTPS request.
func certificateOfRequest(r *http.Request) string {
	found, _ := r.Context().Value(connContext{}).(string)
	return found
}
