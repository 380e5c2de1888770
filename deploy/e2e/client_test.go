//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// patience bounds every wait; a platform that is well answers in milliseconds.
const patience = 60 * time.Second

// pollEvery is the pace of polls.
const pollEvery = 50 * time.Millisecond

// eventually polls check until it answers true, and fails the test when the time is over.
func eventually(t *testing.T, within time.Duration, what string, check func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !check() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-ticker.C:
		}
	}
}

func trust(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(platform.Env("ONLINESMS_CA_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in ONLINESMS_CA_FILE")
	}
	return roots
}

// dial connects to a gRPC door with a key on every call.
func dial(t *testing.T, addr, key string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: trust(t), MinVersion: tls.VersionTLS12})),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return call(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key), method, in, out, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key), desc, cc, method, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// messages is the gRPC client of a tenant's test key at the first door.
func messages(t *testing.T, tenant string) ingestv1.MessageServiceClient {
	t.Helper()
	return ingestv1.NewMessageServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, tenant, "test")))
}

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// into decodes the body's JSON.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
}

// call sends one request to the JSON API; an empty key sends none.
func call(t *testing.T, method, path, key, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, platform.Env("ONLINESMS_API_URL")+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	request.Header.Set("Content-Type", "application/json")
	return do(t, request)
}

// do sends a request on a connection of its own.
func do(t *testing.T, request *http.Request) answer {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust(t), MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, read}
}

// awaitState polls one message until it is in a state, and answers it.
func awaitState(t *testing.T, client ingestv1.MessageServiceClient, id string, want typev1.MessageState) *ingestv1.GetMessageResponse {
	t.Helper()
	var last *ingestv1.GetMessageResponse
	eventually(t, patience, "message "+id+" is "+want.String(), func() bool {
		got, err := client.GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: id})
		if err != nil {
			t.Fatalf("GetMessage: %v", err)
		}
		last = got
		return got.GetState() == want
	})
	return last
}

// send sends one message and answers its id.
func send(t *testing.T, client ingestv1.MessageServiceClient, request *ingestv1.SendMessageRequest) string {
	t.Helper()
	sent, err := client.SendMessage(t.Context(), request)
	if err != nil {
		t.Fatalf("SendMessage: %v", err)
	}
	return sent.GetMessageId()
}

// idempotent puts an idempotency key on the calls made with the context.
func idempotent(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "idempotency-key", key)
}

func timestamp(at time.Time) *timestamppb.Timestamp { return timestamppb.New(at) }
