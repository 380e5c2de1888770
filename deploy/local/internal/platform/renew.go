package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// renewWithin bounds the wait for new demo keys.
const renewWithin = 30 * time.Second

// renewOnSignal makes new demo keys for those that no longer work whenever the supervisor gets SIGUSR1, until ctx ends.
// A key that was sent in clear is revoked, here as anywhere; a trial must not cost the platform.
func (p *Platform) renewOnSignal(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			if err := p.renew(ctx); err != nil {
				p.report.Say("no new keys: %v", err)
			}
		}
	}
}

func (p *Platform) renew(ctx context.Context) error {
	p.tenants = nil
	if err := p.load(ctx); err != nil {
		return err
	}
	return p.writeEnv()
}

// Keys has the running platform replace those demo keys that no longer work, and says which are new.
func Keys(ctx context.Context, options Options, out io.Writer) error {
	dir, err := rundir.Open(options.Run)
	if err != nil {
		return err
	}
	pid, running := Running(dir)
	if !running {
		return fmt.Errorf("nothing runs in %s; `make up` replaces keys that no longer work", dir)
	}
	before, err := dir.ReadEnv()
	if err != nil {
		return err
	}
	written, err := os.Stat(dir.Path("env"))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	if err := rewritten(ctx, dir.Path("env"), written.ModTime()); err != nil {
		return err
	}
	after, err := dir.ReadEnv()
	if err != nil {
		return err
	}
	for _, name := range []string{"ONLINESMS_LIVE_KEY", "ONLINESMS_TEST_KEY", restrictedKey} {
		word := "works and is kept"
		if before[name] != after[name] {
			word = "is new"
		}
		fmt.Fprintf(out, "%-25s %s\n", name, word)
	}
	fmt.Fprintf(out, "\nTake them over: . %s\n", dir.Path("env"))
	return nil
}

// rewritten waits until file was written after a time.
func rewritten(ctx context.Context, file string, after time.Time) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(after) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the supervisor made no keys; its log (logs/local.log) says why")
		case <-ticker.C:
		}
	}
}
