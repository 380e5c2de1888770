package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/proc"
	"github.com/onlinesms/onlinesms/deploy/local/internal/provision"
	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

const (
	supervisorName = "local"
	// An orderly stop of everything: each service drains for up to 30 s, then the stores.
	downWithin = 3 * time.Minute
	// A process left behind by a crashed supervisor gets this long to stop in order.
	sweepWithin = 35 * time.Second
)

// Running answers the supervisor's pid when a platform runs in dir.
func Running(dir rundir.Dir) (int, bool) {
	pid, err := proc.ReadPid(dir.Pid(supervisorName))
	if err != nil {
		return 0, false
	}
	info, ok := proc.Find(pid)
	return pid, ok && pid != os.Getpid() && info.Under(dir.Path("bin")) && info.HasArg("supervise")
}

// Down stops the platform in order, cleans up after a supervisor that died, and verifies that no process is left.
func Down(options Options, out io.Writer) error {
	dir, err := rundir.Open(options.Run)
	if err != nil {
		return err
	}
	report := NewReport(out, dir)
	pid, running := Running(dir)
	if running {
		report.Say("stopping (supervisor %d)…", pid)
		if err := stopSupervisor(pid); err != nil {
			return err
		}
	}
	swept, err := sweep(dir, report)
	if err != nil {
		return err
	}
	if left := strangers(dir); len(left) > 0 {
		return fmt.Errorf("still running: %s", describe(left))
	}
	if running || swept {
		report.Say("stopped: no process is left; the data is kept in %s", dir)
	} else {
		report.Say("nothing runs in %s", dir)
	}
	return nil
}

func stopSupervisor(pid int) error {
	info, ok := proc.Find(pid)
	if !ok {
		return nil
	}
	if err := info.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if left := await([]proc.Info{info}, downWithin); len(left) > 0 {
		return fmt.Errorf("supervisor %d does not stop; see %s", pid, "logs/local.log")
	}
	return nil
}

// sweep stops what a crashed supervisor left running: first the services, the stores last. It tells whether there was
// anything.
func sweep(dir rundir.Dir, report *Report) (bool, error) {
	left := strangers(dir)
	if len(left) == 0 {
		return false, nil
	}
	report.Say("stopping what a crash left running: %s", describe(left))
	slices.SortFunc(left, func(a, b proc.Info) int { return rank(a) - rank(b) })
	for _, info := range left {
		if err := info.Signal(syscall.SIGTERM); err != nil {
			return true, fmt.Errorf("stop %d: %w", info.Pid, err)
		}
		if len(await([]proc.Info{info}, sweepWithin)) > 0 {
			if err := info.Signal(syscall.SIGKILL); err != nil {
				return true, fmt.Errorf("kill %d: %w", info.Pid, err)
			}
		}
	}
	files, err := filepath.Glob(dir.Pid("*"))
	if err != nil {
		return true, err
	}
	for _, file := range files {
		if pid, err := proc.ReadPid(file); err == nil && pid != os.Getpid() {
			_ = os.Remove(file) // a stale pid file does no harm: pids are checked before they are believed
		}
	}
	return true, nil
}

// rank orders a stop: services, then the simulator and NATS, PostgreSQL last.
func rank(info proc.Info) int {
	return slices.Index([]string{"", "smscsim", "nats-server", "testbed"}, filepath.Base(info.Args[0])) // services: -1
}

// strangers are the platform's processes but for ourselves: they run a program of this run directory. Only the very
// directory counts, so that another checkout's platform is never touched.
func strangers(dir rundir.Dir) []proc.Info {
	var found []proc.Info
	for _, info := range proc.All() {
		long := slices.Contains([]string{"testbed", "nats-server", "smscsim"}, filepath.Base(info.Args[0])) ||
			slices.Contains(services, filepath.Base(info.Args[0]))
		if info.Pid != os.Getpid() && long && info.Under(dir.Path("bin")) {
			found = append(found, info)
		}
	}
	return found
}

func describe(all []proc.Info) string {
	var words []string
	for _, info := range all {
		words = append(words, fmt.Sprintf("%s (%d)", filepath.Base(info.Args[0]), info.Pid))
	}
	return strings.Join(words, ", ")
}

// await waits for processes to end and answers those that have not within patience.
func await(all []proc.Info, patience time.Duration) []proc.Info {
	deadline := time.Now().Add(patience)
	for {
		all = slices.DeleteFunc(all, func(info proc.Info) bool {
			now, ok := proc.Find(info.Pid)
			return !ok || !slices.Equal(now.Args, info.Args) // gone, or its number is somebody else's
		})
		if len(all) == 0 || time.Now().After(deadline) {
			return all
		}
		time.Sleep(pollEvery)
	}
}

// Reset stops the platform and drops its data, keys and databases; built programs stay.
func Reset(ctx context.Context, options Options, out io.Writer) error {
	if err := Down(options, out); err != nil {
		return err
	}
	dir, err := rundir.Open(options.Run)
	if err != nil {
		return err
	}
	if err := dropDatabases(ctx, options, dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != "bin" {
			if err := os.RemoveAll(dir.Path(entry.Name())); err != nil {
				return err
			}
		}
	}
	NewReport(out, dir).Say("the data is dropped")
	return nil
}

// dropDatabases drops the data of a private server, wherever it lies, or the databases in somebody else's.
func dropDatabases(ctx context.Context, options Options, dir rundir.Dir) error {
	if options.PostgresURL != "" {
		return provision.Drop(ctx, options.PostgresURL, services)
	}
	data, err := os.ReadFile(dir.Path(dataPathFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, suffix := range []string{"", ".lock", ".new", ".new.password"} {
		if err := os.RemoveAll(string(data) + suffix); err != nil {
			return err
		}
	}
	return nil
}
