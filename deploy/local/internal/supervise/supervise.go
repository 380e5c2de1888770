// Package supervise keeps processes running as an orchestrator would: one that ends is started again, with a back-off
// from 200 ms to 5 s; stopping goes in reverse order of starting. Each process has a log and a pid file.
package supervise

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// A process that ran this long was healthy: its next restart is quick again.
	healthyAfter = 10 * time.Second
)

// Process says how one process is run.
type Process struct {
	// Name is the stem of its log and pid file.
	Name string
	// Path, Args and Env are as for exec.Cmd; Env is the whole environment.
	Path string
	Args []string
	Env  []string
	// Stop is the signal that ends it in order; after Grace it is killed.
	Stop  syscall.Signal
	Grace time.Duration
}

// Set is a set of supervised processes.
type Set struct {
	dir rundir.Dir
	say func(format string, args ...any)

	mu       sync.Mutex
	children []*Child
}

// New makes an empty set; say receives a line for each unexpected end and restart.
func New(dir rundir.Dir, say func(format string, args ...any)) *Set {
	return &Set{dir: dir, say: say}
}

// Child is one supervised process.
type Child struct {
	set     *Set
	process Process
	log     *os.File
	stop    chan struct{}
	done    chan struct{}

	mu    sync.Mutex
	exits int
	last  error
}

// Start begins to run a process and keeps it running until StopAll.
func (s *Set) Start(p Process) (*Child, error) {
	log, err := os.OpenFile(s.dir.Log(p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	child := &Child{set: s, process: p, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	s.mu.Lock()
	s.children = append(s.children, child)
	s.mu.Unlock()
	go child.run()
	return child, nil
}

// Exits answers how often the process ended by itself, and how it ended last.
func (c *Child) Exits() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exits, c.last
}

// StopAll ends every process, the one started last first, and waits for each.
func (s *Set) StopAll() {
	s.mu.Lock()
	children := s.children
	s.children = nil
	s.mu.Unlock()
	for i := len(children) - 1; i >= 0; i-- {
		close(children[i].stop)
		<-children[i].done
	}
}

func (c *Child) run() {
	defer close(c.done)
	defer c.log.Close()
	defer func() { _ = os.Remove(c.set.dir.Pid(c.process.Name)) }() // a stale one is not believed
	for backoff := firstBackoff; ; {
		began := time.Now()
		err, stopped := c.once()
		if stopped {
			return
		}
		c.record(err)
		if time.Since(began) > healthyAfter {
			backoff = firstBackoff
		}
		c.set.say("%s ended (%v); starting it again in %v", c.process.Name, err, backoff)
		select {
		case <-c.stop:
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

func (c *Child) record(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exits++
	c.last = err
}

// once runs the process to its end; stopped tells that it was asked to end. No context: its end would mean kill -9.
func (c *Child) once() (err error, stopped bool) {
	cmd := exec.CommandContext(context.Background(), c.process.Path, c.process.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.process.Env, c.log, c.log
	// A group of its own: Ctrl-C in the terminal reaches us alone, and we stop the processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err, false
	}
	if err := os.WriteFile(c.set.dir.Pid(c.process.Name), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		c.set.say("%s: write pid file: %v", c.process.Name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState tells how it ended
		close(ended)
	}()
	select {
	case <-ended:
		return errors.New(cmd.ProcessState.String()), false
	case <-c.stop:
		c.end(cmd, ended)
		return nil, true
	}
}

// end asks the process to stop and kills its whole group when it does not.
func (c *Child) end(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = cmd.Process.Signal(c.process.Stop) // it may just have ended
	select {
	case <-ended:
	case <-time.After(c.process.Grace):
		c.set.say("%s did not stop within %v: killed", c.process.Name, c.process.Grace)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
}
