package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// Config says where and as whom to connect.
type Config struct {
	Address  string      // host:port of the door's gRPC port
	Key      string      // API key, osms_…
	TLS      *tls.Config // nil: the system's authorities
	Pinning  *Pinning    // nil: none
	Attempts int         // at a call, the first included; 0 for 5, 1 for no repetition
}

// Client is a connection to a door. It is safe for concurrent use.
type Client struct{ conn *grpc.ClientConn }

// New makes a client; it connects with the first call.
func New(cfg Config) (*Client, error) {
	if cfg.Address == "" || cfg.Key == "" {
		return nil, errors.New("client: an address and an API key are needed")
	}
	return connect(cfg, newRetrier(cmp.Or(cfg.Attempts, 5)))
}

func connect(cfg Config, r *retrier) (*Client, error) {
	transport := credentials.NewTLS(cfg.TLS)
	if cfg.Pinning != nil {
		transport = cfg.Pinning.Credentials(cfg.TLS)
	}
	conn, err := grpc.NewClient(cfg.Address,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer(cfg.Key)),
		grpc.WithUnaryInterceptor(r.unary),
		grpc.WithDisableRetry(), // ours knows which calls may be repeated
	)
	if err != nil {
		return nil, err
	}
	return &Client{conn}, nil
}

// Close ends the connection; calls under way fail.
func (c *Client) Close() error { return c.conn.Close() }

// Messages sends messages and tells what became of them. A send without an idempotency key of yours gets one, so that
// a repetition never sends twice.
func (c *Client) Messages() ingestv1.MessageServiceClient {
	return ingestv1.NewMessageServiceClient(c.conn)
}

// Verifications are OTP sessions.
func (c *Client) Verifications() ingestv1.VerificationServiceClient {
	return ingestv1.NewVerificationServiceClient(c.conn)
}

// APIKeys are the tenant's keys.
func (c *Client) APIKeys() ingestv1.ApiKeyServiceClient {
	return ingestv1.NewApiKeyServiceClient(c.conn)
}

// Tenant is the tenant's settings.
func (c *Client) Tenant() ingestv1.TenantServiceClient {
	return ingestv1.NewTenantServiceClient(c.conn)
}

// Audit is the tenant's audit log.
func (c *Client) Audit() auditv1.AuditServiceClient { return auditv1.NewAuditServiceClient(c.conn) }

// bearer shows the key, over TLS only.
type bearer string

// GetRequestMetadata is for grpc.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is for grpc: without TLS no call is made.
func (bearer) RequireTransportSecurity() bool { return true }

// String hides the key from logs.
func (bearer) String() string { return "bearer" }
