package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

// stopPatience is how long a fast stop may take (it writes a checkpoint) before the server is stopped at once.
const stopPatience = 20 * time.Second

// serve runs the server once: start, announce, wait, stop.
func (c *cluster) serve(ctx context.Context) error {
	port, err := freePort(c.cfg.Port)
	if err != nil {
		return err
	}
	cmd := c.server(port)
	if c.lz4(ctx) {
		cmd.Args = append(cmd.Args, "-c", "wal_compression=lz4")
	}
	ended, err := start(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var attending sync.WaitGroup
	attending.Go(func() { cancel(c.attend(ctx, Ready{URL: c.url(port), Port: port, PID: cmd.Process.Pid})) })
	defer func() {
		cancel(nil)
		attending.Wait()
		c.retract()
		c.unlockIdle() // last: who waits for this lock starts the next server
	}()
	select {
	case err := <-ended:
		return errors.Join(errors.New("the server ended by itself"), err)
	case <-ctx.Done():
	}
	_ = stop(cmd.Process, ended) // it was asked to: its exit code is no failure
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, errIdle) {
		return cause
	}
	return nil
}

// start starts cmd from a thread that lives as long as it: the kernel sends Pdeathsig when the *thread* that forked
// ends, so that one is locked to a goroutine that waits.
func start(cmd *exec.Cmd) (<-chan error, error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT // immediate stop
	cmd.SysProcAttr.Setpgid = true              // Ctrl-C in a terminal is for us: the services drain first
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

// stop stops the server: fast, and when that takes too long, at once. It answers how the server ended.
func stop(server *os.Process, ended <-chan error) error {
	_ = server.Signal(syscall.SIGINT) // it may have ended meanwhile; ended tells
	select {
	case err := <-ended:
		return err
	case <-time.After(stopPatience):
	}
	_ = server.Signal(syscall.SIGQUIT)
	return <-ended
}

// attend waits until the server accepts connections, announces it, and watches for idleness. It returns why the server
// is to stop.
func (c *cluster) attend(ctx context.Context, r Ready) error {
	conn, err := connect(ctx, r.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := announce(c.cfg.ReadyFile, r); err != nil {
		return err
	}
	if c.cfg.IdleStop > 0 {
		return c.idle(ctx, conn)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// connect tries until the server accepts: recovery after a crash may take long, and no answer is an answer only when
// the server has ended, which the caller sees. A refusal of the password is final, and so is a certificate that the
// authority does not vouch for.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn, nil
		}
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "28P01" { // invalid_password
			return nil, errors.New("the password in the password file is not the one the cluster was made with")
		}
		if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return nil, fmt.Errorf("clients would not trust the server's certificate: %w", untrusted)
		}
		if !service.Pause(ctx, 25*time.Millisecond) {
			return nil, context.Cause(ctx)
		}
	}
}

// errIdle is the cause of a stop for want of clients.
var errIdle = errors.New("no clients")

// idle returns errIdle when there was no client for c.cfg.IdleStop. It keeps the lock from its last look until the
// server has ended and the ready file is gone: whoever waits for the lock then finds no server and starts one.
func (c *cluster) idle(ctx context.Context, conn *pgx.Conn) error {
	since := time.Now()
	for service.Pause(ctx, min(time.Second, c.cfg.IdleStop/4)) {
		n, err := clients(ctx, conn)
		if err != nil {
			return err
		}
		if n > 0 {
			since = time.Now()
		}
		if time.Since(since) < c.cfg.IdleStop {
			continue
		}
		unlock, err := tryLock(c.cfg.ReadyFile + ".lock")
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return err
		}
		if n, err := clients(ctx, conn); err != nil || n > 0 {
			unlock()
			continue
		}
		c.unlockIdle = unlock
		return errIdle
	}
	return context.Cause(ctx)
}

func clients(ctx context.Context, conn *pgx.Conn) (n int, err error) {
	err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n)
	return n, err
}

// retract takes the ready file away.
func (c *cluster) retract() {
	if c.cfg.ReadyFile != "" {
		_ = os.Remove(c.cfg.ReadyFile) // gone already is fine
	}
}

// lz4 tells whether the server was built with lz4 for its write-ahead log (version 15 and later, a build option).
func (c *cluster) lz4(ctx context.Context) bool {
	cmd := c.programs.command(ctx, "postgres", "-D", c.cfg.Data, "-c", "wal_compression=lz4", "-C", "wal_compression")
	cmd.Dir = c.cfg.Data
	c.who.become(cmd)
	return cmd.Run() == nil
}
