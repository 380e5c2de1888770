package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// streamWorkers take calls; more calls than these get goroutines of their own. They wait for commits, not for the CPU.
const streamWorkers = 256

// drainLimit is how long calls in flight may take to finish once the door closes.
const drainLimit = 15 * time.Second

// Config says where the door stands and what is behind it.
type Config struct {
	HTTPAddr, GRPCAddr string      // host:port; port 0 for a free one
	TLS                *tls.Config // tlsconf.Public
	Trust              caller.Trust
	Proxies            []netip.Prefix // whose PROXY headers are believed; must be sent from there
	// Unary and Stream run behind the check of keys, before the handlers.
	Unary  []grpc.UnaryServerInterceptor
	Stream []grpc.StreamServerInterceptor

	Verifier Verifier
	Revoker  Revoker // of keys seen in clear
	Records  Recorder
	Register func(grpc.ServiceRegistrar) // ingest's own services
	Forward  []Forward
	Pins     *Pins // nil: no pin set is published
	// WebhookIPs are published for receivers of webhooks.
	WebhookIPs WebhookIPs
	OpenAPI    []byte // proto/openapi.Document
	Traced     bool   // spans are exported; else none are made, which costs a send 10 % less
	Log        *slog.Logger
}

// Door is the two public listeners.
type Door struct {
	grpc     *grpc.Server
	offer    *offer
	http     *http.Server
	https    *splitter
	grpcAddr net.Listener
	plain    *plaintext
	memory   memoryListener
	conn     *grpc.ClientConn // to memory
}

// New listens on both ports; connections are taken once Run runs.
func New(cfg Config) (*Door, error) {
	g := &guard{verifier: cfg.Verifier, records: cfg.Records, trust: cfg.Trust, log: cfg.Log, metrics: newMetrics()}
	d := &Door{memory: memoryListener{bufconn.Listen(memoryBuffer)}}
	if err := d.prepare(cfg, g); err != nil {
		return nil, errors.Join(err, d.memory.Close())
	}
	if err := d.listen(cfg); err != nil {
		return nil, errors.Join(err, d.conn.Close(), d.memory.Close())
	}
	return d, nil
}

func (d *Door) prepare(cfg Config, g *guard) (err error) {
	d.plain = &plaintext{guard: g, revoker: cfg.Revoker, slots: make(chan struct{}, maxRevocations)}
	d.grpc = newGRPCServer(cfg, g, d.plain.answer)
	cfg.Register(d.grpc)
	for _, f := range cfg.Forward {
		if err := forward(d.grpc, f); err != nil {
			return err
		}
	}
	reflection.Register(d.grpc)
	if g.offer, err = newOffer(d.grpc.GetServiceInfo()); err != nil {
		return err
	}
	d.offer = g.offer
	if d.conn, err = d.memory.dial(); err != nil {
		return err
	}
	gateway, err := newGateway(context.Background(), d.conn, g)
	if err != nil {
		return err
	}
	handler, err := g.newHandler(gateway, &cfg)
	if err != nil {
		return err
	}
	d.http = newHTTPServer(handler, cfg.Log)
	return nil
}

func newGRPCServer(cfg Config, g *guard, plain func(*sniffed)) *grpc.Server {
	tlsConfig := publicTLS(cfg.TLS, "h2")
	unary := append([]grpc.UnaryServerInterceptor{g.enter}, rpc.Interceptors(cfg.Log)...)
	stream := append([]grpc.StreamServerInterceptor{g.identifyStream, g.recordStream}, rpc.StreamInterceptors(cfg.Log)...)
	options := []grpc.ServerOption{
		grpc.Creds(serverCredentials{credentials.NewTLS(tlsConfig), plain}),
		grpc.ChainUnaryInterceptor(slices.Concat(unary, []grpc.UnaryServerInterceptor{g.unary}, cfg.Unary)...),
		grpc.ChainStreamInterceptor(slices.Concat(stream, []grpc.StreamServerInterceptor{g.stream}, cfg.Stream)...),
		// What is not there passes the interceptors too, and so is on record.
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return errNotOffered }),
		grpc.MaxRecvMsgSize(maxBatchBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(1000),
		// Workers keep their grown stacks; a goroutine for each call would grow its own every time (10 % of a send).
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if cfg.Traced { // the door has metrics of its own
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithPublicEndpoint(), otelgrpc.WithMeterProvider(noop.NewMeterProvider()))))
	}
	return grpc.NewServer(options...)
}

func (d *Door) listen(cfg Config) error {
	var lc net.ListenConfig
	plain, err := lc.Listen(context.Background(), "tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("HTTPS port: %w", err)
	}
	if d.grpcAddr, err = lc.Listen(context.Background(), "tcp", cfg.GRPCAddr); err != nil {
		return errors.Join(fmt.Errorf("gRPC port: %w", err), plain.Close())
	}
	plain, d.grpcAddr = behindProxies(plain, cfg.Proxies), behindProxies(d.grpcAddr, cfg.Proxies)
	d.https = newSplitter(plain, publicTLS(cfg.TLS, "h2", "http/1.1"), d.plain.answer)
	return nil
}

// publicTLS is TLS of a public port. A client may present a certificate: nobody vouches for it, and keys are bound to
// its hash.
func publicTLS(base *tls.Config, protocols ...string) *tls.Config {
	c := base.Clone()
	c.NextProtos, c.ClientAuth = protocols, tls.RequestClientCert
	return c
}

// HTTPAddr is where HTTPS is served.
func (d *Door) HTTPAddr() net.Addr { return d.https.inner.Addr() }

// GRPCAddr is where gRPC is served.
func (d *Door) GRPCAddr() net.Addr { return d.grpcAddr.Addr() }

// Run serves until ctx ends, then takes no new calls and lets those in flight finish, within drainLimit.
func (d *Door) Run(ctx context.Context) error {
	failed := make(chan error, 5)
	for _, serve := range []func() error{
		func() error { return d.grpc.Serve(d.memory) },
		func() error { return d.grpc.Serve(d.grpcAddr) },
		func() error { return d.http.Serve(side{d.https, d.https.h1}) },
		func() error { return d.http.Serve(side{d.https, d.https.h2}) },
		d.https.run,
	} {
		go func() { failed <- serve() }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("the door fell shut: %w", err)
	}
	d.close(context.WithoutCancel(ctx))
	return err
}

// close ends HTTP first: its calls need the gRPC server.
func (d *Door) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if d.http.Shutdown(ctx) != nil {
		_ = d.http.Close()
	}
	_ = d.conn.Close()
	stop := context.AfterFunc(ctx, d.grpc.Stop)
	defer stop()
	d.grpc.GracefulStop()
}
