package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// waiting is a task that notes its end, and runs then.
func (d *diary) waiting(name string, started *sync.WaitGroup, then error) Task {
	started.Add(1)
	return Task{Name: name, Run: func(ctx context.Context) error {
		started.Done()
		<-ctx.Done()
		d.note(name)
		return then
	}}
}

func TestTasksStopInReverse(t *testing.T) {
	var d diary
	var started sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	tasks := []Task{d.waiting("a", &started, nil), d.waiting("b", &started, context.Canceled), d.waiting("c", &started, nil)}
	go func() { started.Wait(); cancel() }()
	if err := Run(ctx, quiet, tasks...); err != nil {
		t.Error(err)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(d.lines, want) {
		t.Errorf("stopped %v, want %v", d.lines, want)
	}
}

func TestFirstFailureStopsAll(t *testing.T) {
	var d diary
	var started sync.WaitGroup
	lost := errors.New("connection lost")
	late := errors.New("could not hand back")
	tasks := []Task{
		d.waiting("a", &started, late),
		{Name: "done at once", Run: func(context.Context) error { return nil }},
		{Name: "b", Run: func(context.Context) error { started.Wait(); return lost }},
		d.waiting("c", &started, nil),
	}
	err := Run(t.Context(), quiet, tasks...)
	if !errors.Is(err, lost) || !errors.Is(err, late) || !strings.Contains(err.Error(), "task b: connection lost") {
		t.Errorf("got %v", err)
	}
	if want := []string{"c", "a"}; !slices.Equal(d.lines, want) {
		t.Errorf("stopped %v, want %v", d.lines, want)
	}
}

func TestRunEndsWhenAllTasksHave(t *testing.T) {
	done := Task{Name: "done", Run: func(context.Context) error { return nil }}
	if err := Run(t.Context(), quiet, done, done); err != nil {
		t.Error(err)
	}
}

func TestPanickingTaskIsAFailureWithoutItsValue(t *testing.T) {
	var log strings.Builder
	err := Run(t.Context(), slog.New(slog.NewTextHandler(&log, nil)),
		Task{Name: "x", Run: func(context.Context) error { panic("OTP 482913") }})
	if err == nil || !strings.Contains(err.Error(), "task x panicked: string") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error()+log.String(), "482913") || !strings.Contains(log.String(), "service_test.go") {
		t.Errorf("log: %s", log.String())
	}
}

func TestStopIsBounded(t *testing.T) {
	var d diary
	var started sync.WaitGroup
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	stuck := Task{Name: "stuck", Run: func(context.Context) error { <-release; return nil }}
	tasks := []Task{d.waiting("a", &started, nil), stuck}
	go func() { started.Wait(); cancel() }()
	err := runWithin(ctx, quiet, 50*time.Millisecond, tasks)
	if err == nil || !strings.Contains(err.Error(), "task stuck did not stop within 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	commands := map[string]func(context.Context, []string) error{
		"serve":   func(context.Context, []string) error { return nil },
		"fail":    func(context.Context, []string) error { return errors.New("no") },
		"misused": func(context.Context, []string) error { return fmt.Errorf("%w: -file is missing", ErrUsage) },
		"flags":   func(context.Context, []string) error { return flag.ErrHelp },
		"stopped": func(ctx context.Context, _ []string) error { return ctx.Err() },
	}
	tests := []struct {
		args []string
		want int
		help bool
	}{
		{nil, 2, true},
		{[]string{"help"}, 0, true},
		{[]string{"--help"}, 0, true},
		{[]string{"sevre"}, 2, true},
		{[]string{"serve"}, 0, false},
		{[]string{"fail"}, 1, false},
		{[]string{"misused"}, 2, false},
		{[]string{"flags"}, 0, false},
		{[]string{"stopped"}, 0, false},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			var out strings.Builder
			if got := run(stopped, "ingest", commands, test.args, &out); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
			if help := strings.Contains(out.String(), "usage: ingest <command>") && strings.Contains(out.String(), "  serve\n"); help != test.help {
				t.Errorf("help %v: %s", help, out.String())
			}
		})
	}
}

// TestMain lets the tests below run Main in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("SERVICE_TEST_MAIN") == "" {
		os.Exit(m.Run())
	}
	Main("example", map[string]func(context.Context, []string) error{
		"wait": func(ctx context.Context, _ []string) error { // until asked to stop
			fmt.Println("ready")
			<-ctx.Done()
			return ctx.Err()
		},
		"hang": func(ctx context.Context, _ []string) error { // even when asked to stop
			fmt.Println("ready")
			<-ctx.Done()
			fmt.Println("asked")
			select {}
		},
		"status": func(context.Context, []string) error {
			limits, err := os.ReadFile("/proc/self/limits")
			fmt.Println(string(limits))
			return err
		},
	})
}

// process starts Main with a command, its output to be read by line.
func process(t *testing.T, command string) (*exec.Cmd, func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], command)
	cmd.Env = append(os.Environ(), "SERVICE_TEST_MAIN=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, func() string {
		var line string
		_, _ = fmt.Fscanln(out, &line) // a process that ended says nothing
		return line
	}
}

func TestSignalEndsTheCommandWell(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, line := process(t, "wait")
		if got := line(); got != "ready" {
			t.Fatalf("said %q", got)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	cmd, line := process(t, "hang")
	for _, want := range []string{"ready", "asked"} {
		if got := line(); got != want {
			t.Fatalf("said %q, want %q", got, want)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // the exit code is looked at below
	if code := cmd.ProcessState.ExitCode(); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
}
