package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"
)

// running is a started task: cancel asks it to stop, ended closes when it has.
type running struct {
	Task
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // written before ended closes
}

// Run starts the tasks in order. The first failure, or the end of ctx, stops them one by one in reverse order: a task
// may rely on those before it until it has ended itself. Answers the failures of all tasks, joined, among them those
// that did not stop within StopBound together; nil when all ended well.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	return runWithin(ctx, log, StopBound, tasks)
}

func runWithin(ctx context.Context, log *slog.Logger, bound time.Duration, tasks []Task) error {
	base := context.WithoutCancel(ctx) // each task has its own end
	ends := make(chan *running, len(tasks))
	all := make([]*running, 0, len(tasks))
	for _, t := range tasks {
		taskCtx, cancel := context.WithCancel(base)
		r := &running{Task: t, cancel: cancel, ended: make(chan struct{})}
		all = append(all, r)
		go r.run(taskCtx, log, ends)
	}
	waitForEnd(ctx, ends, len(tasks))
	return stopAll(log, all, bound)
}

func (r *running) run(ctx context.Context, log *slog.Logger, ends chan<- *running) {
	defer func() {
		if v := recover(); v != nil {
			log.ErrorContext(ctx, "task panicked", slog.String("task", r.Name), slog.String("panic", PanicText(v)),
				slog.String("stack", string(debug.Stack())))
			r.err = fmt.Errorf("task %s panicked: %s", r.Name, PanicText(v))
		}
		close(r.ended)
		ends <- r
	}()
	if err := r.Run(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		r.err = fmt.Errorf("task %s: %w", r.Name, err)
	}
}

// waitForEnd waits for a task's failure, the end of ctx or the end of all n tasks.
func waitForEnd(ctx context.Context, ends <-chan *running, n int) {
	for range n {
		select {
		case <-ctx.Done():
			return
		case r := <-ends:
			if r.err != nil {
				return
			}
		}
	}
}

// stopAll stops the tasks in reverse order and answers what went wrong in each. Past the bound it waits for nobody.
func stopAll(log *slog.Logger, all []*running, bound time.Duration) error {
	expired := make(chan struct{})
	timer := time.AfterFunc(bound, func() { close(expired) })
	defer timer.Stop()
	var failures error
	for i := len(all) - 1; i >= 0; i-- {
		r := all[i]
		r.cancel()
		select {
		case <-r.ended:
			failures = errors.Join(failures, r.err)
		case <-expired:
			failures = errors.Join(failures, fmt.Errorf("task %s did not stop within %s", r.Name, bound))
		}
		log.Debug("task stopped", slog.String("task", r.Name))
	}
	return failures
}

// PanicText says what may be said of a recovered panic value: a runtime error's text, else only its type, because the
// value may hold content.
func PanicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
