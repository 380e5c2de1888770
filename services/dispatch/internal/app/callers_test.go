package app

import (
	"log/slog"
	"path/filepath"
	"testing"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/internal/rpc/rpctest"
)

// Item 7: the inner port, as every service and as nobody.
func TestItem7EveryCallerOfEveryMethod(t *testing.T) {
	h := newHouse(t)
	h.cfg.GRPCAddr = "127.0.0.1:0"
	d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
	h.must(err)
	t.Cleanup(d.close)
	h.background(d.inner.Run)
	rpctest.CheckCallers(t, d.inner.Addr().String(), "dispatch", filepath.Dir(h.cfg.TLS.CA), map[string][]string{
		dispatchv1.DispatchService_CancelMessage_FullMethodName: {"ingest"},
	})
}
