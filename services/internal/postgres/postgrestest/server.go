package postgrestest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/testbed"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const (
	// serveVariable makes a test binary the shared server's process: its value is the server's directory.
	serveVariable = "ONLINESMS_POSTGRESTEST_SERVE"
	idleStop      = 2 * time.Minute
)

// init turns the process into the server's when it was started for that, before any test runs.
func init() {
	dir := os.Getenv(serveVariable)
	if dir == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := serve(ctx, dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgrestest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve makes the server's certificate and runs it.
func serve(ctx context.Context, dir string) error {
	certificates := filepath.Join(dir, "tls")
	if err := errors.Join(devca.Create(certificates), devca.Issue(certificates, "postgres", nil, "")); err != nil {
		return err
	}
	return testbed.Serve(ctx, testbed.Config{
		Data: filepath.Join(dir, "data"), PasswordFile: filepath.Join(dir, "password"), ReadyFile: readyFile(dir),
		TLS: testbed.TLSFiles{Cert: filepath.Join(certificates, "postgres.pem"), Key: filepath.Join(certificates, "postgres-key.pem"),
			CA: filepath.Join(certificates, "ca.pem")},
		NoFsync: true, MaxConns: 500, Buffers: "128MB", IdleStop: idleStop, Log: os.Stderr,
	})
}

func readyFile(dir string) string { return filepath.Join(dir, "ready") }

// server is the shared server as this process sees it.
type server struct {
	admin string    // superuser's address, database postgres
	keep  *pgx.Conn // held open so that the server does not take itself for unused

	strategy string // of CREATE DATABASE

	templates sync.Mutex
	made      map[string]bool // guarded by templates
}

// shared is the server, found or started once a process.
var shared = func() func(context.Context) (*server, error) {
	var (
		mu    sync.Mutex
		found *server
	)
	return func(ctx context.Context) (*server, error) {
		mu.Lock()
		defer mu.Unlock()
		if found != nil {
			return found, nil
		}
		s, err := findOrStart(ctx)
		if err == nil {
			found = s
		}
		return s, err
	}
}()

func findOrStart(ctx context.Context) (*server, error) {
	dir, err := testbed.DataDir(filepath.Join(os.TempDir(), fmt.Sprintf("onlinesms-postgrestest-tls-%d", os.Geteuid())))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // files inside are closed; root's server runs as another user
		return nil, err
	}
	unlock, err := testbed.Lock(readyFile(dir) + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s, err := connect(ctx, dir); err == nil {
		return s, nil
	}
	if err := start(ctx, dir); err != nil {
		return nil, err
	}
	s, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s, s.sweep(ctx)
}

// connect reaches the server of the ready file.
func connect(ctx context.Context, dir string) (*server, error) {
	content, err := os.ReadFile(readyFile(dir))
	if err != nil {
		return nil, err
	}
	var ready testbed.Ready
	if err := json.Unmarshal(content, &ready); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, ready.URL)
	if err != nil {
		return nil, err
	}
	s := &server{admin: ready.URL, keep: conn, made: map[string]bool{}}
	if !strings.HasPrefix(conn.PgConn().ParameterStatus("server_version"), "14") {
		s.strategy = "STRATEGY FILE_COPY" // without fsync a quarter faster than through the log; 14 knows nothing else
	}
	return s, nil
}

// start runs this test binary again as the server and waits until it is ready. A cluster that does not start (fsync is
// off: the machine may have crashed) is made anew once.
func start(ctx context.Context, dir string) error {
	for attempt := 1; ; attempt++ {
		err := startOnce(ctx, dir)
		if err == nil || attempt == 2 || ctx.Err() != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
			return err
		}
	}
}

func startOnce(ctx context.Context, dir string) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	_ = os.Remove(readyFile(dir))                                            // of a server that was killed
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe") // it outlives this test
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log // not ours: go test waits for whoever holds its pipes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if _, err := os.Stat(readyFile(dir)); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the server did not start: %w\n%s", cmp.Or(err, io.EOF), tail(log.Name()))
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
			return fmt.Errorf("the server did not start in time: %w\n%s", cmp.Or(<-ended, ctx.Err()), tail(log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail is the end of a file, for an error.
func tail(file string) []byte {
	f, err := os.Open(file)
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	content, _ := io.ReadAll(f) // what could be read is better than nothing
	return bytes.TrimSpace(content[max(0, len(content)-4000):])
}

// sweep drops what earlier processes left: databases of killed tests, and templates of older migrations with them.
func (s *server) sweep(ctx context.Context) error {
	rows, err := s.keep.Query(ctx, "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%' OR datname LIKE 'template\\_%'")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// exec runs statements one by one on a connection of their own: CREATE DATABASE stands alone.
func (s *server) exec(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	return nil
}

// locked runs fn under an advisory lock named name, against other processes.
func (s *server) locked(ctx context.Context, name string, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // frees the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return err
	}
	return fn(conn)
}

// url is the address of a database for a role, the superuser for "".
func (s *server) url(role, database string) string {
	u, err := url.Parse(s.admin)
	if err != nil {
		panic(err) // it was made by url.URL.String, and we are connected by it
	}
	if role != "" {
		u.User = url.UserPassword(role, s.rolePassword(role))
	}
	u.Path = "/" + database
	return u.String()
}

// rolePassword is the same for all roles: the superuser's, secret to the machine's user.
func (s *server) rolePassword(string) string {
	u, err := url.Parse(s.admin)
	if err != nil {
		panic(err) // see url
	}
	password, _ := u.User.Password()
	return password
}
