package client

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// door answers with what it is told, and remembers what came.
type door struct {
	ingestv1.UnimplementedMessageServiceServer
	ingestv1.UnimplementedApiKeyServiceServer
	mu      sync.Mutex
	answers []error
	keys    []string // idempotency keys, in order
	bearers []string
}

func (d *door) next(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	d.keys = append(d.keys, strings.Join(md.Get("idempotency-key"), ","))
	d.bearers = append(d.bearers, strings.Join(md.Get("authorization"), ","))
	if len(d.answers) == 0 {
		return nil
	}
	err := d.answers[0]
	d.answers = d.answers[1:]
	return err
}

func (d *door) SendMessage(ctx context.Context, _ *ingestv1.SendMessageRequest) (*ingestv1.SendMessageResponse, error) {
	return &ingestv1.SendMessageResponse{MessageId: "m"}, d.next(ctx)
}

func (d *door) GetMessage(ctx context.Context, _ *ingestv1.GetMessageRequest) (*ingestv1.GetMessageResponse, error) {
	return &ingestv1.GetMessageResponse{}, d.next(ctx)
}

func (d *door) RevokeApiKey(ctx context.Context, _ *ingestv1.RevokeApiKeyRequest) (*ingestv1.RevokeApiKeyResponse, error) {
	return &ingestv1.RevokeApiKeyResponse{}, d.next(ctx)
}

// open starts d and a client of it that does not really wait; waits are what it would have.
func open(t *testing.T, d *door) (c *Client, waits *[]time.Duration) {
	t.Helper()
	a := newAuthority(t)
	cert := a.issue(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})))
	ingestv1.RegisterMessageServiceServer(server, d)
	ingestv1.RegisterApiKeyServiceServer(server, d)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	pinning, err := NewPinning([]SPKI{SPKIOf(cert.Leaf), {1}})
	if err != nil {
		t.Fatal(err)
	}
	waits = &[]time.Duration{}
	r := newRetrier(4)
	r.jitter = func(bound time.Duration) time.Duration { return bound - 1 }
	r.wait = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	c, err = connect(Config{Address: listener.Addr().String(), Key: "osms_test_k", TLS: a.config(), Pinning: pinning}, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, waits
}

func busy(code codes.Code, after time.Duration) error {
	st, _ := status.New(code, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	return st.Err()
}

// A send is repeated under one idempotency key, after the time the server names and a jitter that grows.
func TestSendsAreRepeatedUnderOneKey(t *testing.T) {
	d := &door{answers: []error{busy(codes.Unavailable, time.Second), busy(codes.ResourceExhausted, 2*time.Second)}}
	c, waits := open(t, d)
	if _, err := c.Messages().SendMessage(t.Context(), &ingestv1.SendMessageRequest{}); err != nil {
		t.Fatal(err)
	}
	if len(d.keys) != 3 || d.keys[0] == "" || d.keys[0] != d.keys[1] || d.keys[1] != d.keys[2] {
		t.Errorf("keys %q", d.keys)
	}
	if want := []time.Duration{time.Second + firstBackoff - 1, 2*time.Second + 2*firstBackoff - 1}; !slices.Equal(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
	if slices.ContainsFunc(d.bearers, func(b string) bool { return b != "Bearer osms_test_k" }) {
		t.Errorf("credentials %q", d.bearers)
	}
	own := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "order-17")
	if _, err := c.Messages().SendMessage(own, &ingestv1.SendMessageRequest{}); err != nil || d.keys[3] != "order-17" {
		t.Errorf("%v, keys %q", err, d.keys)
	}
	if _, err := c.Messages().SendMessage(t.Context(), &ingestv1.SendMessageRequest{}); err != nil || d.keys[4] == d.keys[0] {
		t.Errorf("%v, two sends under one key: %q", err, d.keys)
	}
}

func TestWhatIsRepeated(t *testing.T) {
	send := func(c *Client) error {
		_, err := c.Messages().SendMessage(t.Context(), &ingestv1.SendMessageRequest{})
		return err
	}
	read := func(c *Client) error {
		_, err := c.Messages().GetMessage(t.Context(), &ingestv1.GetMessageRequest{})
		return err
	}
	change := func(c *Client) error {
		_, err := c.APIKeys().RevokeApiKey(t.Context(), &ingestv1.RevokeApiKeyRequest{})
		return err
	}
	for name, test := range map[string]struct {
		call  func(*Client) error
		err   error
		calls int
	}{
		"send, unavailable":          {send, status.Error(codes.Unavailable, "x"), 4},
		"send, busy":                 {send, busy(codes.ResourceExhausted, time.Second), 4},
		"send, too large":            {send, status.Error(codes.ResourceExhausted, "x"), 1},
		"send, refused":              {send, busy(codes.InvalidArgument, time.Second), 1},
		"read, unavailable":          {read, status.Error(codes.Unavailable, "x"), 4},
		"read, internal":             {read, status.Error(codes.Internal, "x"), 1},
		"change without a key":       {change, status.Error(codes.Unavailable, "x"), 1},
		"change, busy without a key": {change, busy(codes.Unavailable, time.Second), 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := &door{answers: slices.Repeat([]error{test.err}, 10)}
			c, _ := open(t, d)
			if err := test.call(c); status.Code(err) != status.Code(test.err) || len(d.keys) != test.calls {
				t.Errorf("%d calls, %v", len(d.keys), err)
			}
		})
	}
}

func TestACallEndsWithItsDeadline(t *testing.T) {
	d := &door{answers: slices.Repeat([]error{busy(codes.Unavailable, time.Hour)}, 10)}
	c, _ := open(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	r := newRetrier(5)
	r.wait = func(ctx context.Context, d time.Duration) error {
		cancel()
		return wait(ctx, d)
	}
	err := r.unary(ctx, ingestv1.MessageService_GetMessage_FullMethodName, &ingestv1.GetMessageRequest{}, &ingestv1.GetMessageResponse{}, c.conn,
		func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			return d.next(ctx)
		})
	if status.Code(err) != codes.Unavailable || len(d.keys) != 1 {
		t.Errorf("%d calls, %v", len(d.keys), err)
	}
}
