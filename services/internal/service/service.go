// Package service is the frame of every process: subcommands, signals, exit codes, tasks that start in order and stop
// in reverse, settings from the environment.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

// Exit codes of every binary.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// StopBound is how long the tasks of a process have to stop, together (design invariant 8).
const StopBound = 30 * time.Second

// ErrUsage is what a command returns, wrapped, when it was called with wrong arguments: exit code 2.
var ErrUsage = errors.New("wrong usage")

// Task is a part of a process that runs until its context ends. It stops by itself when the context ends, having
// finished or handed back what it had in hand, and answers nil then. An earlier nil means it has nothing left to do;
// an error stops the process.
type Task struct {
	Name string
	Run  func(ctx context.Context) error
}

// Main runs the subcommand named by the first argument and exits: 0 done, 1 failed, 2 wrong usage. Without a known
// subcommand it prints help. SIGTERM and SIGINT end the command's context; a second one ends the process at once.
func Main(name string, commands map[string]func(ctx context.Context, args []string) error) {
	harden()
	limitMemory()
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go watchSignals(signals, cancel)
	os.Exit(run(ctx, name, commands, os.Args[1:], os.Stderr))
}

func run(ctx context.Context, name string, commands map[string]func(context.Context, []string) error, args []string, out io.Writer) int {
	if len(args) == 0 {
		help(out, name, commands)
		return exitUsage
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		help(out, name, commands)
		return exitOK
	}
	command, ok := commands[args[0]]
	if args[0] == "health" && !ok {
		command, ok = health, true
	}
	if !ok {
		fmt.Fprintf(out, "%s: no command %q\n\n", name, args[0])
		help(out, name, commands)
		return exitUsage
	}
	return exitCode(ctx, args[0], command(ctx, args[1:]), out)
}

func exitCode(ctx context.Context, command string, err error, out io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // asked to stop, and did
		return exitOK
	case errors.Is(err, ErrUsage):
		fmt.Fprintln(out, err)
		return exitUsage
	}
	slog.ErrorContext(ctx, "command failed", slog.String("command", command), slog.String("error", err.Error()))
	return exitFailure
}

func help(out io.Writer, name string, commands map[string]func(context.Context, []string) error) {
	fmt.Fprintf(out, "usage: %s <command> [arguments]\n\ncommands:\n", name)
	for _, command := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(out, "  %s\n", command)
	}
	fmt.Fprint(out, "  health (asks the running service at ADMIN_ADDR whether it is ready)\n")
	fmt.Fprint(out, "\nsettings come from the environment; any NAME may be given as NAME_FILE=path or NAME=vault:mount/path#field\n")
}

func watchSignals(signals <-chan os.Signal, cancel context.CancelFunc) {
	slog.Info("stopping", slog.String("signal", (<-signals).String()))
	cancel()
	slog.Warn("stopped at once", slog.String("signal", (<-signals).String()))
	os.Exit(exitFailure)
}

// limitMemory keeps a service within its 300 MiB (design §8) unless the operator says otherwise.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(280 << 20)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}
