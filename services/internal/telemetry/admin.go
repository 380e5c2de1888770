package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// AdminServer is the task that serves the inner port: /healthz, /readyz, /metrics and /debug/pprof, in plain HTTP, for
// the machine or the pod only. Start it first, so that it is stopped last.
func AdminServer(addr string, ready func() error, metrics http.Handler) service.Task {
	return service.Task{Name: "admin", Run: func(ctx context.Context) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		slog.InfoContext(ctx, "admin port is open", slog.String("addr", listener.Addr().String()))
		return serveAdmin(ctx, listener, adminHandler(ready, metrics))
	}}
}

// adminHandler answers the inner port's paths. /healthz depends on nothing; /readyz is 503 with the reason while ready
// answers an error, and names the secrets that keep an earlier value.
func adminHandler(ready func() error, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
		for _, problem := range secret.Problems() {
			fmt.Fprintln(w, problem)
		}
	})
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func serveAdmin(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		_ = server.Close() // a probe or a profile in flight is not worth waiting for
	}()
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}
