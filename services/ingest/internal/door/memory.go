package door

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// memoryBuffer is how much a connection in memory holds in each direction.
const memoryBuffer = 1 << 20

// memoryListener is where the JSON side connects to the gRPC server of the same process.
type memoryListener struct{ *bufconn.Listener }

// memoryConn marks a connection that never left the process.
type memoryConn struct{ net.Conn }

// Accept marks what it accepts.
func (l memoryListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return memoryConn{conn}, nil
}

// dial connects to the server behind l.
func (l memoryListener) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///door",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithUnaryInterceptor(entering), grpc.WithStreamInterceptor(enteringStream),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBatchBytes*2)),
	)
}

// serverCredentials are TLS, but for connections in memory.
type serverCredentials struct {
	credentials.TransportCredentials
	plain func(*sniffed) // answers who does not speak TLS
}

var errPlain = errors.New("not TLS")

// ServerHandshake does TLS's, unless raw never left the process. grpc closes raw where it fails.
func (c serverCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := raw.(memoryConn); ok {
		return raw, memoryInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	}
	conn, ok := sniff(raw, time.Now().Add(handshakeLimit))
	if !ok {
		c.plain(conn)
		return nil, nil, errPlain
	}
	_ = raw.SetDeadline(time.Now().Add(handshakeLimit)) // grpc's own was ended by the sniffing
	secure, info, err := c.TransportCredentials.ServerHandshake(conn)
	_ = raw.SetDeadline(time.Time{})
	return secure, info, err
}

// Clone is for grpc.
func (c serverCredentials) Clone() credentials.TransportCredentials {
	return serverCredentials{c.TransportCredentials.Clone(), c.plain}
}

// memoryInfo is the AuthInfo of connections in memory.
type memoryInfo struct{ credentials.CommonAuthInfo }

// AuthType is for grpc.
func (memoryInfo) AuthType() string { return "memory" }
