package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/onlinesms/onlinesms/deploy/local/internal/platform"
	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// readyMark is the line by which the supervisor says that all is up; everything else it writes is for people.
const readyMark = "\x04"

// up starts the supervisor and shows its progress.
func up(ctx context.Context, options platform.Options, args []string) error {
	dir, err := rundir.Open(options.Run)
	if err != nil {
		return err
	}
	if pid, ok := platform.Running(dir); ok {
		fmt.Printf("already running (supervisor %d); the data is kept\n\n", pid)
		return platform.Describe(dir, os.Stdout)
	}
	// Before the supervisor exists, or a Ctrl-C at once would leave it behind.
	stop, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	child, err := launch(options, dir, args)
	if err != nil {
		return err
	}
	ready := make(chan bool, 1)
	go func() { ready <- show(child.progress) }()
	select {
	case ok := <-ready:
		if !ok {
			_ = child.cmd.Wait() // its failure has been shown
			return errShown
		}
	case <-stop.Done():
		return child.end()
	}
	if options.Detach {
		return child.cmd.Process.Release()
	}
	return child.stay(stop)
}

// supervisor is the running `local supervise`, seen from `local up`.
type supervisor struct {
	cmd      *exec.Cmd
	progress io.Reader
	// leash is held open while we live: in the foreground the supervisor stops when it is cut, even by kill -9.
	leash io.Closer
}

func launch(options platform.Options, dir rundir.Dir, args []string) (*supervisor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(dir.Log("local"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	cmd := exec.CommandContext(context.Background(), self, append([]string{"supervise"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{writer}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started := &supervisor{cmd: cmd, progress: reader}
	if !options.Detach {
		if started.leash, err = cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	return started, cmd.Start()
}

// show prints the supervisor's lines until it is ready (true) or gone (false).
func show(progress io.Reader) bool {
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		if lines.Text() == readyMark {
			return true
		}
		fmt.Println(lines.Text())
	}
	return false
}

// stay waits for Ctrl-C or for the supervisor's end.
func (s *supervisor) stay(stop context.Context) error {
	go show(s.progress)
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	fmt.Println("\nCtrl-C stops everything; the data is kept.")
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("the supervisor ended: %w", err)
		}
		return nil
	case <-stop.Done():
	}
	fmt.Println("\nstopping…")
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return <-ended
}

// end stops a supervisor that is not ready yet.
func (s *supervisor) end() error {
	fmt.Println("\nstopping…")
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // it was told to go: how does not matter
	return errShown
}

// supervise is the supervisor's own main: it brings the platform up and keeps it until it is told to stop.
func supervise(ctx context.Context, options platform.Options) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	if !options.Detach {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends when `local up` is gone
			cancel()
		}()
	}
	progress := os.NewFile(3, "progress")
	if progress == nil {
		return errors.New("supervise is started by `local up`")
	}
	out := &teller{progress: progress, log: os.Stderr}
	err := platform.Run(ctx, options, out, func() {
		fmt.Fprintln(out, readyMark)
		if options.Detach {
			out.close()
		}
	})
	if err != nil && !strings.Contains(err.Error(), context.Canceled.Error()) {
		return err
	}
	return nil
}

// teller writes to the log and, while somebody watches, to the progress pipe.
type teller struct {
	mu       sync.Mutex
	progress *os.File // nil when nobody watches
	log      io.Writer
}

// Write writes p to both; a watcher who is gone is no error.
func (t *teller) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress != nil {
		if _, err := t.progress.Write(p); err != nil {
			t.progress = nil
		}
	}
	if string(p) == readyMark+"\n" {
		return len(p), nil
	}
	return t.log.Write(p)
}

func (t *teller) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress == nil {
		return
	}
	_ = t.progress.Close() // nothing is left to be told
	t.progress = nil
}
