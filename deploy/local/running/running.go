// Package running starts a platform of its own for a test or a benchmark, by the same program as `make up`, and holds
// on to it: its addresses, its processes, its end.
package running

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/onlinesms/onlinesms/deploy/local/internal/proc"
	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// Config says what to start.
type Config struct {
	// Repo is the root of the checkout to build.
	Repo string
	// Dir is the run directory; it is made, and Drop deletes it.
	Dir string
	// Replicas of each service, 1 (default) or 2.
	Replicas int
	// Demo lists files of tenants and registries; empty for the demo tenant alone.
	Demo []string
	// Log receives the progress.
	Log io.Writer
}

// Platform is a running platform.
type Platform struct {
	cfg Config
	dir rundir.Dir
	env map[string]string
}

// Start builds the checkout and brings it up on ports that are free; it returns when all is ready.
func Start(ctx context.Context, cfg Config) (*Platform, error) {
	dir, err := rundir.Open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(cfg.Repo, "deploy", "local"), "-o", dir.Bin("local"), ".")
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build deploy/local: %w\n%s", err, out)
	}
	p := &Platform{cfg: cfg, dir: dir}
	args := []string{"-detach", "-random-ports", "-no-message", "-replicas", strconv.Itoa(max(1, cfg.Replicas))}
	for _, file := range cfg.Demo {
		args = append(args, "-demo", file)
	}
	if err := p.run(ctx, "up", args...); err != nil {
		return nil, err
	}
	p.env, err = dir.ReadEnv()
	return p, err
}

// run calls the local command on this run directory.
func (p *Platform) run(ctx context.Context, verb string, args ...string) error {
	cmd := exec.CommandContext(ctx, p.dir.Bin("local"), append([]string{verb, "-repo", p.cfg.Repo, "-run", string(p.dir)}, args...)...)
	cmd.Stdout, cmd.Stderr = p.cfg.Log, p.cfg.Log
	// Nothing of the caller's own platform may leak in: an outside SMSC or PostgreSQL, or the way it was started.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains([]string{"DETACH", "REPLICAS", "SMSC", "SMSC_SYSTEM_ID", "SMSC_PASSWORD"}, name)
	})
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("local %s: %w", verb, err)
	}
	return nil
}

// Env answers a variable of the platform's env file, for example ONLINESMS_API_URL; empty when it is not set.
func (p *Platform) Env(name string) string { return p.env[name] }

// ServiceEnv is the environment of commands of compliance.
func (p *Platform) ServiceEnv() ([]string, error) {
	values, err := rundir.ReadEnvFile(p.dir.Path("compliance.env"))
	if err != nil {
		return nil, err
	}
	var env []string
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	return env, nil
}

// Dir is the run directory.
func (p *Platform) Dir() string { return string(p.dir) }

// Processes lists the names of the running processes, the supervisor's (local) among them.
func (p *Platform) Processes() ([]string, error) {
	entries, err := os.ReadDir(p.dir.Path("pids"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// Pid answers the pid of a process by the stem of its pid file; 0 while it is being restarted.
func (p *Platform) Pid(process string) int {
	pid, err := proc.ReadPid(p.dir.Pid(process))
	if err != nil {
		return 0
	}
	if info, ok := proc.Find(pid); !ok || !info.Under(p.dir.Path("bin")) {
		return 0
	}
	return pid
}

// Postmaster answers the pid of PostgreSQL's own first process; 0 while it is away.
func (p *Platform) Postmaster() int {
	pid, err := proc.ReadPid(filepath.Join(p.Env("ONLINESMS_POSTGRES_DATA"), "postmaster.pid"))
	if err != nil {
		return 0
	}
	if _, ok := proc.Find(pid); !ok {
		return 0
	}
	return pid
}

// Signal sends a signal to a process of the platform.
func (p *Platform) Signal(pid int, sig syscall.Signal) error {
	if pid <= 0 {
		return fmt.Errorf("no such process")
	}
	return syscall.Kill(pid, sig)
}

// Stop ends the platform in order and keeps its data and logs.
func (p *Platform) Stop(ctx context.Context) error { return p.run(ctx, "down") }

// Drop ends the platform and deletes its run directory.
func (p *Platform) Drop(ctx context.Context) error {
	if err := p.run(ctx, "reset"); err != nil {
		return err
	}
	return os.RemoveAll(string(p.dir))
}

// Tenant is one of the platform's tenants with its API keys by environment (live, test).
type Tenant struct {
	ID   string            `json:"id"`
	Keys map[string]string `json:"keys"`
}

// Tenants answers the tenants by id.
func (p *Platform) Tenants() (map[string]Tenant, error) {
	data, err := os.ReadFile(p.dir.Path("keys", "tenants.json"))
	if err != nil {
		return nil, err
	}
	tenants := map[string]Tenant{}
	return tenants, json.Unmarshal(data, &tenants)
}
