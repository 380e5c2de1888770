package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// health is the subcommand `health` of every service, for containers that hold nothing but the binary: it asks the
// service running beside it, at ADMIN_ADDR, whether it is ready.
func health(ctx context.Context, _ []string) error {
	host, port, err := net.SplitHostPort(os.Getenv("ADMIN_ADDR"))
	if err != nil {
		return fmt.Errorf("%w: ADMIN_ADDR must be host:port, as the service has it", ErrUsage)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("not ready: %s", why)
	}
	return nil
}
