package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// TestMain lets the test binary be the process that serves, so that tests can kill it.
func TestMain(m *testing.M) {
	dir := os.Getenv("TESTBED_TEST_SERVE")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := Serve(ctx, config(dir))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// config of a server in dir, with its certificate made.
func config(dir string) Config {
	certificates := filepath.Join(dir, "tls")
	if err := errors.Join(devca.Create(certificates), devca.Issue(certificates, "postgres", nil, "")); err != nil {
		panic(err)
	}
	return Config{Data: filepath.Join(dir, "data"), PasswordFile: filepath.Join(dir, "password"),
		TLS: TLSFiles{Cert: filepath.Join(dir, "tls", "postgres.pem"), Key: filepath.Join(dir, "tls", "postgres-key.pem"),
			CA: filepath.Join(dir, "tls", "ca.pem")},
		ReadyFile: filepath.Join(dir, "ready"), Buffers: "16MB", MaxConns: 20, Log: os.Stderr}
}

// workDir is a directory the server's user can enter (t.TempDir's parents are closed to it under root).
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "onlinesms-testbed-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// supervisor is a child process that serves dir.
type supervisor struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	ready Ready
	ended chan error
}

func serveInChild(t *testing.T, dir string) *supervisor {
	t.Helper()
	s := &supervisor{cmd: exec.Command("/proc/self/exe"), ended: make(chan error, 1)}
	s.cmd.Env = append(os.Environ(), "TESTBED_TEST_SERVE="+dir)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.WaitDelay = 30 * time.Second // the server holds the pipes for a moment longer
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	eventually(t, "the server is ready", func() bool {
		s.ready = Ready{}
		content, err := os.ReadFile(filepath.Join(dir, "ready"))
		return err == nil && json.Unmarshal(content, &s.ready) == nil
	})
	return s
}

// stop ends the supervisor by sig and waits for it.
func (s *supervisor) stop(t *testing.T, sig syscall.Signal) error {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		return err
	case <-time.After(60 * time.Second):
		t.Fatalf("the supervisor does not end")
		return nil
	}
}

// eventually polls until ok, for at most 60 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func query[T any](t *testing.T, url, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// refusesClearText: the rules of access know TLS only, and the certificate is of our authority.
func refusesClearText(t *testing.T, ready Ready) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), strings.Replace(ready.URL, "sslmode=verify-full", "sslmode=disable", 1))
	if err == nil || !strings.Contains(err.Error(), "no encryption") {
		t.Errorf("in clear: %v, %v", conn, err)
	}
	if got := query[bool](t, ready.URL, "SELECT ssl AND version = 'TLSv1.3' FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); !got {
		t.Error("the connection is not TLS 1.3")
	}
	rules := query[string](t, ready.URL, "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules")
	if rules != "hostssl scram-sha-256" {
		t.Errorf("rules of access: %s", rules)
	}
}

func TestServe(t *testing.T) {
	dir := workDir(t)
	s := serveInChild(t, dir)
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on", "jit": "off",
		"max_wal_size": "8GB", "checkpoint_timeout": "15min", "log_parameter_max_length": "0",
		"log_parameter_max_length_on_error": "0", "log_statement": "none", "logging_collector": "off",
		"password_encryption": "scram-sha-256", "ssl": "on", "ssl_min_protocol_version": "TLSv1.3", "listen_addresses": "127.0.0.1", "max_connections": "20",
	} {
		if got := query[string](t, s.ready.URL, "SHOW "+setting); got != want {
			t.Errorf("%s = %s, want %s", setting, got, want)
		}
	}
	if _, err := pgx.Connect(t.Context(), strings.Replace(s.ready.URL, "postgres:", "postgres:x", 2)); err == nil {
		t.Error("a wrong password is accepted")
	}
	refusesClearText(t, s.ready)
	uid := processUID(t, s.ready.PID)
	if uid == 0 {
		t.Error("the server runs as root")
	}
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("stop: %v\n%s", err, &s.out)
	}
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		t.Error("the ready file is left")
	}
	if !strings.Contains(s.out.String(), "received fast shutdown request") || alive(s.ready.PID) {
		t.Errorf("no fast stop:\n%s", &s.out)
	}
}

func processUID(t *testing.T, pid int) int {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// TestKilledSupervisor: kill -9 of the serving process takes the server along at once; the next one recovers what was
// committed.
func TestKilledSupervisor(t *testing.T) {
	dir := workDir(t)
	first := serveInChild(t, dir)
	execute(t, first.ready.URL, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
	_ = first.stop(t, syscall.SIGKILL)
	eventually(t, "the server has died with its parent", func() bool { return !alive(first.ready.PID) })
	if err := os.Remove(filepath.Join(dir, "ready")); err != nil {
		t.Errorf("a killed supervisor cannot have removed its ready file: %v", err)
	}
	second := serveInChild(t, dir)
	if got := query[int](t, second.ready.URL, "SELECT n FROM kept"); got != 42 {
		t.Errorf("got %d", got)
	}
	if err := second.stop(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// TestOrphan: a server that runs on the directory without a parent that serves it is stopped; its data stays.
func TestOrphan(t *testing.T) {
	dir := workDir(t)
	s := serveInChild(t, dir)
	execute(t, s.ready.URL, "CREATE TABLE kept (n int)")
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c := testCluster(t, dir)
	port, err := freePort(0)
	if err != nil {
		t.Fatal(err)
	}
	orphan := c.server(port) // nothing ties it to its parent
	orphan.Stdout, orphan.Stderr = nil, nil
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan runs", func() bool { return postmaster(c.cfg.Data) == orphan.Process.Pid })
	next := serveInChild(t, dir)
	select {
	case err := <-ended:
		t.Log("the orphan ended:", err)
	case <-time.After(time.Minute):
		t.Error("the orphan is still there")
	}
	if got := query[int](t, next.ready.URL, "SELECT count(*) FROM kept"); got != 0 {
		t.Errorf("got %d", got)
	}
	if err := next.stop(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func testCluster(t *testing.T, dir string) *cluster {
	t.Helper()
	c, err := newCluster(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStalePIDFile: the pid in postmaster.pid has gone to another process meanwhile.
func TestStalePIDFile(t *testing.T) {
	dir := workDir(t)
	s := serveInChild(t, dir)
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), filepath.Dir(file)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = serveInChild(t, dir)
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	dir := workDir(t)
	s := serveInChild(t, dir)
	if err := Serve(t.Context(), config(dir)); err == nil || !strings.Contains(err.Error(), "being served by another") {
		t.Errorf("served directory: %v", err)
	}
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), config(dir)); err == nil || !strings.Contains(err.Error(), "not the one the cluster was made with") {
		t.Errorf("another password: %v", err)
	}
	strange := config(dir)
	strange.TLS.CA = config(filepath.Join(dir, "another")).TLS.CA
	if err := Serve(t.Context(), strange); err == nil || !strings.Contains(err.Error(), "clients would not trust") {
		t.Errorf("a certificate of another authority: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), config(dir)); err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 9") {
		t.Errorf("another version: %v", err)
	}
}

func TestIdleStop(t *testing.T) {
	dir := workDir(t)
	cfg := config(dir)
	cfg.NoFsync, cfg.IdleStop, cfg.Log = true, 200*time.Millisecond, &bytes.Buffer{}
	unlock, err := Lock(cfg.ReadyFile + ".lock") // a test that is just connecting
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), cfg) }()
	var ready Ready
	eventually(t, "ready", func() bool {
		content, err := os.ReadFile(cfg.ReadyFile)
		return err == nil && json.Unmarshal(content, &ready) == nil
	})
	conn, err := pgx.Connect(t.Context(), ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	for start := time.Now(); time.Since(start) < 4*cfg.IdleStop; {
		if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(0.05)"); err != nil {
			t.Fatalf("stopped under a client: %v", err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	if _, err := os.Stat(cfg.ReadyFile); err == nil {
		t.Error("the ready file is left")
	}
}

func TestServerThatEndsByItself(t *testing.T) {
	dir := workDir(t)
	s := serveInChild(t, dir)
	if err := syscall.Kill(s.ready.PID, syscall.SIGQUIT); err != nil { // an immediate stop, as in the crash test
		t.Fatal(err)
	}
	err := <-s.ended
	if _, ok := errors.AsType[*exec.ExitError](err); !ok || !strings.Contains(s.out.String(), "ended by itself") {
		t.Errorf("%v\n%s", err, &s.out)
	}
}

func TestDataDir(t *testing.T) {
	open := workDir(t)
	if got, err := DataDir(filepath.Join(open, "a", "b")); err != nil || got != filepath.Join(open, "a", "b") {
		t.Errorf("open parent: %s, %v", got, err)
	}
	if os.Geteuid() != 0 {
		return // a closed directory is closed to us too: nothing to choose
	}
	closed := filepath.Join(open, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	prefer := filepath.Join(closed, "postgres")
	first, err := DataDir(prefer)
	if err != nil || !strings.HasPrefix(first, "/var/tmp/onlinesms-0/") || filepath.Base(first) != "postgres" {
		t.Errorf("closed parent: %s, %v", first, err)
	}
	if again, err := DataDir(prefer); again != first || err != nil {
		t.Errorf("not the same twice: %s, %s, %v", first, again, err)
	}
	cfg := config(closed)
	if err := Serve(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "cannot enter "+cfg.Data) {
		t.Errorf("serve: %v", err)
	}
}
