package service

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// harden keeps content out of core dumps and out of reach of other processes of the same user (no ptrace, no
// /proc/<pid>/mem).
func harden() {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		slog.Warn("core dumps stay on", slog.String("error", err.Error()))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		slog.Warn("process stays dumpable", slog.String("error", err.Error()))
	}
}
