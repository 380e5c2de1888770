package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	handshakeLimit = 5 * time.Second
	handshakes     = 512 // at a time; more wait in the kernel
)

// hsts is on every HTTPS response: two years (RFC 6797). No preload: that cannot be taken back.
const (
	hstsName  = "Strict-Transport-Security"
	hstsValue = "max-age=63072000; includeSubDomains"
)

// splitter accepts connections, does the TLS handshake itself and hands them out by protocol: HTTP/2 as *tls.Conn,
// which net/http insists on, and HTTP/1 behind hstsConn, which it would not take for TLS if it were asked.
type splitter struct {
	inner net.Listener
	tls   *tls.Config
	plain func(*sniffed) // answers who does not speak TLS

	h1, h2 chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSplitter(inner net.Listener, cfg *tls.Config, plain func(*sniffed)) *splitter {
	return &splitter{
		inner: inner, tls: cfg, plain: plain,
		h1: make(chan net.Conn), h2: make(chan net.Conn), closed: make(chan struct{}),
	}
}

// run accepts until the listener is closed.
func (s *splitter) run() error {
	slots := make(chan struct{}, handshakes)
	for {
		slots <- struct{}{}
		conn, err := s.inner.Accept()
		if err != nil {
			<-slots
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if pause, ok := errors.AsType[net.Error](err); ok && pause.Timeout() {
				continue
			}
			return err
		}
		go func() {
			s.handshake(conn)
			<-slots
		}()
	}
}

func (s *splitter) handshake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeLimit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	first, ok := sniff(raw, deadline)
	if !ok {
		s.plain(first)
		raw.Close()
		return
	}
	conn := tls.Server(first, s.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return
	}
	to, give := s.h1, net.Conn(hstsConn{conn})
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		to, give = s.h2, conn
	}
	select {
	case to <- give:
	case <-s.closed:
		_ = conn.Close()
	}
}

// Close stops accepting.
func (s *splitter) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.inner.Close()
}

// side is one protocol's half of a splitter, as a net.Listener.
type side struct {
	*splitter
	conns chan net.Conn
}

// Accept waits for a connection of this side's protocol.
func (s side) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Addr is the splitter's.
func (s side) Addr() net.Addr { return s.inner.Addr() }

// hstsConn adds the header to responses that net/http writes without asking any handler: malformed requests, headers
// too large, an unknown Expect. They come in one write. Our own responses have the header already, and no body of ours
// begins with a status line.
type hstsConn struct{ net.Conn }

// Write writes p, with the header when p begins with a response head that lacks it.
func (c hstsConn) Write(p []byte) (int, error) {
	status, rest, ok := bytes.Cut(p, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(p, []byte("HTTP/1.")) || bytes.HasPrefix(p[8:], []byte(" 1")) {
		return c.Conn.Write(p)
	}
	head, _, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte(hstsName)) {
		return c.Conn.Write(p)
	}
	with := make([]byte, 0, len(p)+96)
	with = append(append(with, status...), "\r\n"+hstsName+": "+hstsValue+"\r\n"...)
	if _, err := c.Conn.Write(append(with, rest...)); err != nil {
		return 0, err
	}
	return len(p), nil
}
