// Package rpc is gRPC between services: mutual TLS, an allow-list of callers per method, the verified principal passed
// on, errors mapped both ways, health, reflection, traces, a graceful stop.
package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

const (
	// stopBound is how long calls in flight may finish; the process has service.StopBound for all its tasks.
	stopBound = 10 * time.Second
	// maxMessage holds a batch of 1,000 messages of 2,000 characters of four bytes each.
	maxMessage = 12 << 20
	// keepaliveInterval finds a dead peer; the server allows twice as many pings.
	keepaliveInterval = 30 * time.Second
)

// ServerConfig says where to listen and who may call what.
type ServerConfig struct {
	Addr string      // host:port, port 0 for a free one
	TLS  *tls.Config // tlsconf.Server
	Log  *slog.Logger
	// Callers lists per full method ("/onlinesms.ingest.v1.MessageService/SendMessage") the services that may call it.
	// A method that is not listed may be called by nobody; health and reflection by every service.
	Callers map[string][]string
}

// Server is an inner gRPC server.
type Server struct {
	listener net.Listener
	grpc     *grpc.Server
	health   *health.Server
}

// NewServer listens and registers; calls are taken once Run runs. An entry of Callers for a method that is not
// registered is an error: it would allow something other than was meant.
func NewServer(cfg ServerConfig, register func(grpc.ServiceRegistrar)) (*Server, error) {
	if cfg.TLS == nil {
		return nil, errors.New("rpc: an inner server needs mTLS")
	}
	g := newGate(cfg.Log, cfg.Callers)
	s := &Server{health: health.NewServer()}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(cfg.TLS)),
		grpc.StatsHandler(otelgrpc.NewServerHandler()),
		grpc.ChainUnaryInterceptor(append(Interceptors(cfg.Log), g.unary)...),
		grpc.ChainStreamInterceptor(append(StreamInterceptors(cfg.Log), g.stream)...),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveInterval, Timeout: keepaliveInterval / 3,
			// Connections end now and then, so that clients see new replicas.
			MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveInterval / 2, PermitWithoutStream: true}),
	)
	register(s.grpc)
	if err := checkCallers(cfg.Callers, s.grpc.GetServiceInfo()); err != nil {
		return nil, err
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	var err error
	if s.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.Addr); err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	return s, nil
}

func checkCallers(callers map[string][]string, registered map[string]grpc.ServiceInfo) error {
	for full := range callers {
		name, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
		found := false
		for _, m := range registered[name].Methods {
			found = found || m.Name == method
		}
		if !found {
			return fmt.Errorf("rpc: callers are listed for %s, which is not registered", full)
		}
	}
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then lets the calls in flight finish, for at most 10 s.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("rpc: %w", err)
	case <-ctx.Done():
	}
	s.stop(stopBound)
	return nil
}

func (s *Server) stop(bound time.Duration) {
	s.health.Shutdown()
	late := time.AfterFunc(bound, s.grpc.Stop)
	defer late.Stop()
	s.grpc.GracefulStop()
}

// Dial makes a client connection to an inner server; tls comes from tlsconf.Client and names the service that must
// answer. It connects on the first call and reconnects for ever, within three seconds of the server's return. Errors of
// calls are statuses: FromStatus.
func Dial(addr string, tls *tls.Config) (*grpc.ClientConn, error) {
	if tls == nil {
		return nil, errors.New("rpc: an inner client needs mTLS")
	}
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveInterval / 3}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("rpc: %s: %w", addr, err)
	}
	return conn, nil
}
