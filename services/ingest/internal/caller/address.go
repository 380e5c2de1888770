package caller

import (
	"net/netip"
	"strings"
)

// maxForwarded is how many bytes of X-Forwarded-For are read; a longer header is not believed.
const maxForwarded = 2048

// Trust says whom the door believes when it is told another address than that of the socket.
type Trust struct {
	// Hops is how many proxies of ours append to X-Forwarded-For: the client is the Hops-th entry from the right, which
	// the outermost of them has written. 0: the header is not read at all. Entries further left are the client's own
	// words and never believed.
	Hops int
}

// Address tells where a call comes from: remote is the socket's peer as host:port (already the client's where a trusted
// proxy spoke the PROXY protocol), forwarded the values of X-Forwarded-For in their order. Where fewer hops are written
// down than there should be, or one is no address, the answer is the invalid address: every address rule refuses it.
func (t Trust) Address(remote string, forwarded []string) netip.Addr {
	if t.Hops == 0 {
		return ofSocket(remote)
	}
	all := strings.Join(forwarded, ",")
	if len(all) > maxForwarded {
		return netip.Addr{}
	}
	entries := strings.Split(all, ",")
	if len(entries) < t.Hops {
		return netip.Addr{}
	}
	return ParseAddress(entries[len(entries)-t.Hops])
}

// ofSocket reads host:port; unknown forms (a connection in memory) have no address.
func ofSocket(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return Plain(at.Addr())
}

// ParseAddress reads an address as proxies write it, with or without port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1]:80. The answer is plain; invalid for anything else.
func ParseAddress(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if at, err := netip.ParseAddrPort(s); err == nil {
		return Plain(at.Addr())
	}
	if bare, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(bare, "]")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return Plain(a)
}

// Plain is a as address rules compare it: an IPv4 address mapped into IPv6 is the IPv4 address, and a zone is dropped.
func Plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
