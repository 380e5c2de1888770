package door

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// callLimit is the longest deadline a unary call has, whatever its caller asked for.
const callLimit = 30 * time.Second

// Verifier tells whose an API key is.
type Verifier interface {
	// Verify answers the key's principal, when it may be used from where ctx's call comes from. Errors are
	// Unauthenticated with KEY_MALFORMED, KEY_CHECKSUM, KEY_INVALID, KEY_EXPIRED or KEY_REVOKED, Denied with
	// ADDRESS_NOT_ALLOWED or KEY_WRONG_ENVIRONMENT, or Unavailable when it cannot be told now; beside an error the principal is set where the
	// secret was right.
	Verify(ctx context.Context, key string) (principal.Principal, error)
}

var errKeyMissing = errs.E(errs.Unauthenticated, "KEY_MISSING", "an API key is required: `Authorization: Bearer osms_…`", nil)

var errNotOffered = status.Error(codes.Unimplemented, "this method is not offered here")

// guard lets calls in.
type guard struct {
	verifier Verifier
	records  Recorder
	trust    caller.Trust
	offer    *offer // set before the first call
	log      *slog.Logger
	metrics  metrics
}

// admit checks the authorization values of a call against the rule of its method.
func (g *guard) admit(ctx context.Context, method string, authorization []string) (principal.Principal, error) {
	p, err := g.check(ctx, method, authorization)
	if err != nil {
		e := reasonOf(err)
		g.metrics.refuse(ctx, e)
		g.log.InfoContext(ctx, "call refused", slog.String("method", method), slog.String("reason", e),
			slog.String("caller", p.Actor), slog.String("request_id", requestID(ctx)))
	}
	return p, err
}

func (g *guard) check(ctx context.Context, method string, authorization []string) (p principal.Principal, err error) {
	access, ok := g.offer.rules[method]
	if !ok {
		return p, errNotOffered
	}
	if access.GetPublic() {
		return p, nil
	}
	if len(authorization) == 0 {
		return p, errKeyMissing
	}
	scheme, key, _ := strings.Cut(authorization[0], " ")
	if len(authorization) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return p, errKeyMissing
	}
	p, err = g.verifier.Verify(ctx, key)
	if call := record.From(ctx); call != nil && p.Actor != "" {
		call.Known(p)
	}
	if err != nil {
		return p, err
	}
	if scope := access.GetScope(); scope != "" && !p.Has(scope) {
		return p, &errs.Error{
			Kind: errs.Denied, Reason: "SCOPE_MISSING", Message: fmt.Sprintf("this API key lacks the scope %s", access.GetScope()),
			Metadata: map[string]string{"scope": access.GetScope()},
		}
	}
	return p, nil
}

// unary is the interceptor every unary call passes, after request id and error mapping.
func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	p, err := g.admit(ctx, info.FullMethod, metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		return nil, err
	}
	ctx = withPrincipal(ctx, p)
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > callLimit { // a nearer one needs no second timer
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callLimit)
		defer cancel()
	}
	return handle(ctx, req)
}

// stream is the interceptor every stream passes.
func (g *guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	p, err := g.admit(ctx, info.FullMethod, metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		return err
	}
	return handle(srv, streamOf{stream, withPrincipal(ctx, p)})
}

// withPrincipal attaches p, unless the method is public and nobody showed a key.
func withPrincipal(ctx context.Context, p principal.Principal) context.Context {
	if p.Actor == "" {
		return ctx
	}
	return principal.NewContext(ctx, p)
}

// streamOf is a stream with another context.
type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is the stream's context with what the interceptors found out.
func (s streamOf) Context() context.Context { return s.ctx }
