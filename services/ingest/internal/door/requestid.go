package door

import (
	"context"
	"crypto/rand"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// requestIDKey is the metadata and the header (X-Request-Id) that name a call in answers, logs and problem reports.
const requestIDKey = "x-request-id"

type requestIDContext struct{}

// requestID is the call's id; empty outside of a call.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDContext{}).(string)
	return id
}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDContext{}, id)
}

// chooseRequestID takes the caller's id when it is one we would write ourselves, so that it is safe in logs and
// headers; else it makes one.
func chooseRequestID(proposed string) string {
	safe := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_' || r == '.'
	}
	if proposed != "" && len(proposed) <= 64 && !strings.ContainsFunc(proposed, func(r rune) bool { return !safe(r) }) {
		return proposed
	}
	return rand.Text()
}

func identify(ctx context.Context) (context.Context, string) {
	proposed := ""
	if values := metadata.ValueFromIncomingContext(ctx, requestIDKey); len(values) > 0 {
		proposed = values[0]
	}
	id := chooseRequestID(proposed)
	return withRequestID(ctx, id), id
}

func identifyUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, id := identify(ctx)
	if err := grpc.SetHeader(ctx, metadata.Pairs(requestIDKey, id)); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func identifyStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, id := identify(stream.Context())
	if err := stream.SetHeader(metadata.Pairs(requestIDKey, id)); err != nil {
		return err
	}
	return handle(srv, streamOf{stream, ctx})
}
