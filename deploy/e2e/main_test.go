//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/running"
)

// platform is shared by all tests: each works with messages of its own and counts differences.
var platform *running.Platform

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// runTests starts the platform with two replicas of each service and four tenants. E2E_DIR names the run directory and
// keeps it afterwards, with all logs; without it a temporary one is used and deleted when all tests pass.
func runTests(m *testing.M) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	repo, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	dir := os.Getenv("E2E_DIR")
	keep := dir != ""
	if !keep {
		if dir, err = os.MkdirTemp("", "onlinesms-e2e-"); err != nil {
			return 1, err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL, another user, must pass
			return 1, err
		}
	}
	demo, err := writeTenants(dir, filepath.Join(repo, "deploy", "local", "demo.yaml"))
	if err != nil {
		return 1, err
	}
	addr, err := traces.listen()
	if err != nil {
		return 1, err
	}
	for name, value := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + addr, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_TRACES_SAMPLER": "parentbased_always_on", "OTEL_BSP_SCHEDULE_DELAY": "500"} {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	platform, err = running.Start(ctx, running.Config{Repo: repo, Dir: dir, Replicas: 2, Demo: demo, Log: os.Stderr})
	if err != nil {
		return 1, fmt.Errorf("%w (logs in %s)", err, filepath.Join(dir, "logs"))
	}
	code := m.Run()
	if keep || code != 0 {
		fmt.Fprintln(os.Stderr, "e2e: logs are kept in", filepath.Join(dir, "logs"))
		return code, platform.Stop(context.Background())
	}
	return code, platform.Drop(context.Background())
}
