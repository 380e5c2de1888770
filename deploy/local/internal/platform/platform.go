package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
	"github.com/onlinesms/onlinesms/deploy/local/internal/supervise"
)

// Platform is one platform while it is brought up and kept.
type Platform struct {
	options Options
	dir     rundir.Dir
	report  *Report
	set     *supervise.Set
	// programs is the directory of our programs; <dir>/bin but in an image.
	programs string

	at        addresses
	postgres  database
	storeSize int64 // bytes NATS may store
	tenants   []tenant
	feeds     []feed // of the first tenant, by environment
}

// Run brings a platform up, calls ready, keeps it until ctx ends and takes it down in order. It is the supervisor: its
// pid stands in pids/local.
func Run(ctx context.Context, options Options, out io.Writer, ready func()) error {
	dir, err := rundir.Open(options.Run)
	if err != nil {
		return err
	}
	report := NewReport(out, dir)
	if err := os.WriteFile(dir.Pid(supervisorName), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	defer func() { _ = os.Remove(dir.Pid(supervisorName)) }() // a stale one is not believed
	p := &Platform{options: options, dir: dir, report: report, set: supervise.New(dir, report.Say), programs: dir.Path("bin")}
	defer p.set.StopAll()
	if err := p.up(ctx); err != nil {
		if ctx.Err() == nil {
			report.Fail(err)
		}
		return err
	}
	ready()
	p.renewOnSignal(ctx)
	return nil
}

// up takes the steps in their order.
func (p *Platform) up(ctx context.Context) error {
	if _, err := sweep(p.dir, p.report); err != nil {
		return err
	}
	if err := p.chooseAddresses(); err != nil {
		return err
	}
	if err := p.report.Step("tools built", func() error { return p.build(ctx, tools...) }); err != nil {
		return err
	}
	err := together(ctx,
		func(ctx context.Context) error {
			return p.report.Step("services built", func() error { return p.build(ctx, servicePackages()...) })
		},
		p.foundations)
	if err != nil {
		return err
	}
	if err := p.openServices(ctx); err != nil {
		return err
	}
	if err := errors.Join(p.writeEnv(), p.writeCommandEnv()); err != nil {
		return err
	}
	return p.prove(ctx)
}

// foundations makes identities and starts what the services stand on.
func (p *Platform) foundations(ctx context.Context) error {
	if err := p.report.Step("keys, certificates and NATS identities", func() error { return p.makeIdentities(ctx) }); err != nil {
		return err
	}
	return together(ctx, p.startPostgres, p.startNATS, p.startSimulator)
}

// openServices migrates the databases, loads tenants and registries, and starts the services.
func (p *Platform) openServices(ctx context.Context) error {
	if err := p.makeSecretFiles(ctx); err != nil {
		return err
	}
	if err := p.report.Step("databases migrated", func() error { return p.migrate(ctx) }); err != nil {
		return err
	}
	if err := p.report.Step("tenants and registries loaded", func() error { return p.load(ctx) }); err != nil {
		return err
	}
	return p.report.Step("services ready", func() error { return p.startServices(ctx) })
}

// prove sends one message through and prints how to send another.
func (p *Platform) prove(ctx context.Context) error {
	if !p.options.NoFirstMessage {
		if err := p.report.Step("one message delivered", func() error { return p.firstMessage(ctx) }); err != nil {
			return err
		}
	}
	var text writer
	if err := Describe(p.dir, &text); err != nil {
		return err
	}
	p.report.Say("\n%s", text.String())
	return nil
}

// together runs all at once, ends the others when one fails, and answers the first failure.
func together(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, one := range all {
		wg.Go(func() {
			if err := one(ctx); err != nil {
				cancel(err) // the first cause stays
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// each runs one command for each service at once.
func each(ctx context.Context, names []string, run func(ctx context.Context, name string) error) error {
	var all []func(context.Context) error
	for _, name := range names {
		all = append(all, func(ctx context.Context) error {
			if err := run(ctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	return together(ctx, all...)
}
