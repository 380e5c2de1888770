package service

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestHealthAsksTheRunningService(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusOK)
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(int(status.Load()))
		}
	}))
	_, port, err := net.SplitHostPort(running.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ADMIN_ADDR", "0.0.0.0:"+port)
	if err := health(t.Context(), nil); err != nil {
		t.Errorf("a ready service: %v", err)
	}
	status.Store(http.StatusServiceUnavailable)
	if health(t.Context(), nil) == nil {
		t.Error("a service that is not ready is called healthy")
	}
	running.Close()
	if health(t.Context(), nil) == nil {
		t.Error("a service that is gone is called healthy")
	}
}
