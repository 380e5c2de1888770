package door

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// memoryPeer is a connection whose other end has said all it will say.
type memoryPeer struct {
	net.Conn
	said   *bytes.Reader
	remote net.Addr
}

func (c *memoryPeer) Read(p []byte) (int, error)       { return c.said.Read(p) }
func (c *memoryPeer) Write(p []byte) (int, error)      { return len(p), nil }
func (c *memoryPeer) Close() error                     { return nil }
func (c *memoryPeer) RemoteAddr() net.Addr             { return c.remote }
func (c *memoryPeer) LocalAddr() net.Addr              { return c.remote }
func (c *memoryPeer) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryPeer) SetWriteDeadline(time.Time) error { return nil }
func (c *memoryPeer) SetDeadline(time.Time) error      { return nil }

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	conn net.Conn
}

func (l oneConn) Accept() (net.Conn, error) { return l.conn, nil }

var (
	trustedRange = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	trustedPeer  = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1000}
	otherPeer    = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1000}
)

// FuzzProxyHeader: whatever an untrusted peer says, its address is that of its socket and its bytes come through; what a
// trusted one says either is a header of version 2, or nothing of it is read.
func FuzzProxyHeader(f *testing.F) {
	for _, version := range []byte{1, 2} {
		h := proxyproto.Header{Version: version, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
			SourceAddr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 1}, DestinationAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}}
		head, err := h.Format()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(head, "hello"...))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		accept := func(peer net.Addr) net.Conn {
			conn, err := behindProxies(oneConn{conn: &memoryPeer{said: bytes.NewReader(said), remote: peer}}, trustedRange).Accept()
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		untrusted := accept(otherPeer)
		if got, err := io.ReadAll(untrusted); err != nil || !bytes.Equal(got, said) || untrusted.RemoteAddr() != net.Addr(otherPeer) {
			t.Errorf("untrusted: %q from %v, %v", got, untrusted.RemoteAddr(), err)
		}
		trusted := accept(trustedPeer)
		if got, err := io.ReadAll(trusted); err == nil && !bytes.HasPrefix(said, proxyproto.SIGV2) {
			t.Errorf("%q without a header of version 2 gives %q", said, got)
		}
	})
}

// Item 15: the address in a trusted header is the caller's; the local command says that the proxy itself connects.
func TestItem15TrustedHeader(t *testing.T) {
	for name, test := range map[string]struct {
		h    proxyproto.Header
		want string // empty: nothing is read
	}{
		"version 2": {proxyproto.Header{Version: 2, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4}, "203.0.113.9:1"},
		"local":     {proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}, "10.0.0.1:1000"},
		"version 1": {proxyproto.Header{Version: 1, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4}, ""},
		"UDP":       {proxyproto.Header{Version: 2, Command: proxyproto.PROXY, TransportProtocol: proxyproto.UDPv4}, ""},
	} {
		var source, destination net.Addr = &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}
		if test.h.TransportProtocol.IsDatagram() {
			source, destination = &net.UDPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 1}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}
		}
		test.h.SourceAddr, test.h.DestinationAddr = source, destination
		head, err := test.h.Format()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		peer := &memoryPeer{said: bytes.NewReader(append(head, "hello"...)), remote: trustedPeer}
		conn, err := behindProxies(oneConn{conn: peer}, trustedRange).Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if test.want == "" && err == nil || test.want != "" && (string(got) != "hello" || conn.RemoteAddr().String() != test.want) {
			t.Errorf("%s: %q from %v, %v", name, got, conn.RemoteAddr(), err)
		}
	}
}
