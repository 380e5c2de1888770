package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// Interceptors are what every gRPC server of ours begins with, the door too: a panic becomes an Internal error, every
// error becomes its status. Internal errors are logged here, once, with their cause.
func Interceptors(log *slog.Logger) []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			var resp any
			err := guard(ctx, log, info.FullMethod, func() (err error) {
				resp, err = handle(ctx, req)
				return err
			})
			if err != nil {
				return nil, err
			}
			return resp, nil
		},
	}
}

// StreamInterceptors are Interceptors for streaming calls.
func StreamInterceptors(log *slog.Logger) []grpc.StreamServerInterceptor {
	return []grpc.StreamServerInterceptor{
		func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return guard(stream.Context(), log, info.FullMethod, func() error { return handle(srv, stream) })
		},
	}
}

// guard runs one call and answers its error as a status error.
func guard(ctx context.Context, log *slog.Logger, method string, call func() error) error {
	err := recovered(ctx, log, method, call)
	if err == nil {
		return nil
	}
	st := Status(err)
	if errs.KindOf(err) == errs.Internal && st.Code() == codeOf[errs.Internal] {
		log.ErrorContext(ctx, "call failed", slog.String("method", method), slog.String("caller", Caller(ctx)),
			slog.String("error", err.Error()))
	}
	return st.Err()
}

func recovered(ctx context.Context, log *slog.Logger, method string, call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.ErrorContext(ctx, "call panicked",
				slog.String("method", method), slog.String("panic", service.PanicText(v)), slog.String("stack", string(debug.Stack())))
			err = errs.E(errs.Internal, "PANIC", "internal error", nil)
		}
	}()
	return call()
}

// gate lets a call pass when its caller may make it, and attaches the principal the door has forwarded.
type gate struct {
	log     *slog.Logger
	callers map[string]map[string]bool // full method -> services
}

func newGate(log *slog.Logger, callers map[string][]string) gate {
	g := gate{log: log, callers: make(map[string]map[string]bool, len(callers))}
	for method, services := range callers {
		g.callers[method] = make(map[string]bool, len(services))
		for _, s := range services {
			g.callers[method][s] = true
		}
	}
	return g
}

// openMethods may be called by every service: they tell nothing but what the protos say.
var openMethods = map[string]bool{
	"/grpc.health.v1.Health/Check":                                   true,
	"/grpc.health.v1.Health/List":                                    true,
	"/grpc.health.v1.Health/Watch":                                   true,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      true,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
}

func (g gate) pass(ctx context.Context, method string) (context.Context, error) {
	caller := Caller(ctx)
	if caller == "" || (!g.callers[method][caller] && !openMethods[method]) {
		g.log.WarnContext(ctx, "caller refused", slog.String("caller", caller), slog.String("method", method))
		return ctx, &errs.Error{
			Kind: errs.Denied, Reason: "CALLER_NOT_ALLOWED",
			Message:  fmt.Sprintf("service %q may not call %s", caller, method),
			Metadata: map[string]string{"caller": caller, "method": method},
		}
	}
	if p, ok := PrincipalFromIncoming(ctx); ok {
		ctx = principal.NewContext(ctx, p)
	}
	return ctx, nil
}

func (g gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := g.pass(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (g gate) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := g.pass(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handle(srv, streamWithContext{stream, ctx})
}

// streamWithContext is a stream whose context holds the principal.
type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s streamWithContext) Context() context.Context { return s.ctx }
