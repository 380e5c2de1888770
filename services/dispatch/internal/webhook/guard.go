package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// errForbidden: the name leads to an address that is not a public one.
var errForbidden = errors.New("address forbidden")

// ports an endpoint may have.
var ports = []uint16{443, 8443}

// denied are public by their form and internal by their use, or carry an inner address through a translator that may
// stand in our network: Azure's wire server, NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
var denied = []netip.Prefix{
	netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("fec0::/10"),
}

// Guard keeps requests of tenants' making (server-side request forgery) out of networks that are not public: IANA's
// special-purpose registries, and what the deployment adds. It looks at the address of each connection when it is dialled,
// so that a name that changes between look-up and dial helps nobody.
type Guard struct {
	guardian *ssrf.Guardian
	denied   []netip.Prefix
	local    bool // loopback and any port, for development
	resolve  func(ctx context.Context, host string) ([]netip.Addr, error)
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
}

// NewGuard makes a guard. deny adds networks: pods, services, our own addresses. local lets loopback pass, for
// development and tests, where everything stands on it.
func NewGuard(deny []netip.Prefix, local bool) *Guard {
	g := &Guard{denied: slices.Concat(denied, deny), local: local}
	options := []ssrf.Option{ssrf.WithPorts(ports...)}
	if local {
		options = []ssrf.Option{
			ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(netip.MustParsePrefix("127.0.0.0/8")),
			ssrf.WithAllowedV6Prefixes(netip.MustParsePrefix("::1/128")),
		}
	}
	g.guardian = ssrf.New(options...)
	dialer := &net.Dialer{Timeout: connectLimit, Control: g.control}
	g.dial = dialer.DialContext
	g.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	return g
}

// control is net.Dialer.Control: the last look, at the address the kernel is about to connect to.
func (g *Guard) control(network, address string, c syscall.RawConn) error {
	if err := g.guardian.Safe(network, address, c); err != nil {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || g.denies(to.Addr()) {
		return errForbidden
	}
	return nil
}

func (g *Guard) denies(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(g.denied, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Allows tells whether an endpoint may be at an address.
func (g *Guard) Allows(addr netip.Addr) bool {
	addr = addr.Unmap()
	network := "tcp6"
	if addr.Is4() {
		network = "tcp4"
	}
	return g.guardian.Safe(network, netip.AddrPortFrom(addr, ports[0]).String(), nil) == nil && !g.denies(addr)
}

// portAllowed tells whether a URL may name a port; empty is https's own.
func (g *Guard) portAllowed(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && (g.local || slices.Contains(ports, uint16(n)))
}

// DialContext looks the host up and connects to one of its addresses. One that is forbidden forbids them all: who mixes
// public and inner addresses hopes for the second try.
func (g *Guard) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := g.lookUp(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if !g.Allows(addr) {
			return nil, errForbidden
		}
	}
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = g.dial(ctx, "tcp", net.JoinHostPort(addr.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (g *Guard) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := g.resolve(ctx, strings.TrimSuffix(host, "."))
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, err
}
