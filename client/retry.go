package client

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

const (
	idempotencyKey = "idempotency-key"
	firstBackoff   = 100 * time.Millisecond
	maxBackoff     = 10 * time.Second
)

// keyed are the methods that take an idempotency key.
var keyed = map[string]bool{
	ingestv1.MessageService_SendMessage_FullMethodName:       true,
	ingestv1.MessageService_BatchSendMessages_FullMethodName: true,
}

// retrier repeats calls that may be repeated: reads, and sends by their idempotency key.
type retrier struct {
	attempts int
	jitter   func(time.Duration) time.Duration // 0 to below the bound
	wait     func(context.Context, time.Duration) error
	reads    sync.Map // full method -> bool
}

func newRetrier(attempts int) *retrier {
	return &retrier{attempts: attempts, jitter: mathrand.N[time.Duration], wait: wait}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *retrier) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if keyed[method] {
		ctx = withIdempotencyKey(ctx)
	}
	repeatable := keyed[method] || r.reading(method)
	for attempt := 1; ; attempt++ {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if err == nil || attempt >= r.attempts || !repeatable {
			return err
		}
		least, again := advice(err)
		if !again {
			return err
		}
		backoff := min(firstBackoff<<min(attempt-1, 20), maxBackoff)
		if r.wait(ctx, least+r.jitter(backoff)) != nil {
			return err // the last thing the server has said tells more than our deadline
		}
	}
}

// withIdempotencyKey gives a send a key, the same for all its repetitions, unless the caller has given one.
func withIdempotencyKey(ctx context.Context) context.Context {
	if md, ok := metadata.FromOutgoingContext(ctx); ok && len(md.Get(idempotencyKey)) > 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, idempotencyKey, rand.Text())
}

// advice tells whether a failed call is worth another try, and how long to wait at least: UNAVAILABLE, and
// RESOURCE_EXHAUSTED when the server says when (a request that is too large stays too large).
func advice(err error) (least time.Duration, again bool) {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			least, again = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch st.Code() {
	case codes.Unavailable:
		return least, true
	case codes.ResourceExhausted:
		return least, again
	}
	return 0, false
}

// reading tells whether a method only reads, as its proto says.
func (r *retrier) reading(method string) bool {
	if known, ok := r.reads.Load(method); ok {
		return known.(bool)
	}
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return false
	}
	access, ok := proto.GetExtension(d.Options(), typev1.E_Access).(*typev1.Access)
	reads := ok && access != nil && !access.GetChanges()
	r.reads.Store(method, reads)
	return reads
}
