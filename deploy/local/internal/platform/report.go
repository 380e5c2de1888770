package platform

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// tailLines of a failed process's log are shown.
const tailLines = 20

// Report prints the progress of a start, one line a step, in the order they end.
type Report struct {
	mu  sync.Mutex
	out io.Writer
	dir rundir.Dir
}

// NewReport writes to out.
func NewReport(out io.Writer, dir rundir.Dir) *Report { return &Report{out: out, dir: dir} }

// Say prints one line.
func (r *Report) Say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// Step runs one step and prints what it did and how long it took.
func (r *Report) Step(name string, run func() error) error {
	began := time.Now()
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.Say("  %6.1fs  %s", time.Since(began).Seconds(), name)
	return nil
}

// Failure is a step's error with what helps to mend it.
type Failure struct {
	// Process whose log shows more; empty for none.
	Process string
	// Remedy is one sentence.
	Remedy string
	Err    error
}

// Error is the cause's text.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap answers the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Fail prints an error, the end of the log it belongs to, and the remedy.
func (r *Report) Fail(err error) {
	r.Say("\nfailed: %v", err)
	var failure *Failure
	if !errors.As(err, &failure) {
		return
	}
	if failure.Process != "" {
		tail := strings.ReplaceAll(r.dir.Tail(failure.Process, tailLines), "\n", "\n  | ")
		r.Say("\nlast lines of %s:\n  | %s", r.dir.Log(failure.Process), tail)
	}
	if failure.Remedy != "" {
		r.Say("\nremedy: %s", failure.Remedy)
	}
}
