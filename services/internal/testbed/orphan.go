package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

// evict ends a server that was left behind on data and waits until none of its processes lives: then, and only then,
// its postmaster.pid is stale and may go (while one lives, PostgreSQL needs the file to see that memory is in use).
// The caller holds the directory's lock, so that what runs here has no parent that serves it.
func evict(ctx context.Context, data string) error {
	const patience = 10 * time.Second
	started := time.Now()
	signal := syscall.SIGINT // fast stop
	for {
		pids := residents(data)
		if len(pids) == 0 {
			break
		}
		if leader := postmaster(data); leader != 0 && signal != 0 {
			_ = syscall.Kill(leader, signal) // it may just have gone
			signal = 0
		}
		switch waited := time.Since(started); {
		case waited > 3*patience:
			return fmt.Errorf("processes %v still run on %s; stop them first", pids, data)
		case waited > patience && signal == 0:
			signal = syscall.SIGQUIT // immediate stop, repeated until it goes
		}
		if !service.Pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	err := os.Remove(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// residents are the PostgreSQL processes that work in data: every one of them has its working directory there.
func residents(data string) []int {
	data, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well formed
	var pids []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err != nil || cwd != data {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
		if err != nil || !strings.HasPrefix(string(comm), "postgres") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// postmaster is the pid in data's postmaster.pid if that process is one of data's residents, else 0.
func postmaster(data string) int {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0
	}
	for _, resident := range residents(data) {
		if resident == pid {
			return pid
		}
	}
	return 0
}
