package app

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// announceWithin bounds how long an import waits to announce itself; after that the relay of a running replica does it.
const announceWithin = 3 * time.Second

// importConfig is what an import needs. Without NATS_URL the change is announced by a running replica instead.
type importConfig struct {
	Postgres postgres.Config
	Bus      eventbus.Config
}

// Import puts a file into a tenant's registry, all of it or, when anything is wrong, nothing; what is there and not in the
// file stays. Running replicas follow within a second.
//
//	import -file demo.yaml                                a registry file, which names its tenant
//	import -tenant <uuid> [-entity <id>] [-portal <name>] [-mode compare] -file export.csv
//	                                                      what a DLT portal has exported
func Import(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	path := flags.String("file", "", "registry file (YAML with tenant and registry), or a DLT portal's CSV export with -tenant")
	tenant := flags.String("tenant", "", "tenant of a CSV file (UUID)")
	var i portal.Import
	flags.StringVar(&i.Entity, "entity", "", "principal entity of the lines of a CSV file that name none")
	flags.StringVar(&i.Portal, "portal", "", "portal of a CSV file: "+strings.Join(portal.Portals(), ", ")+"; empty: recognised by its header row")
	flags.StringVar(&i.Mode, "mode", portal.ModeImport, "import, or compare to report differences")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *path == "" || i.Mode != portal.ModeImport && i.Mode != portal.ModeCompare {
		return fmt.Errorf("%w: import -file <registry.yaml> | import -tenant <uuid> -file <export.csv>", service.ErrUsage)
	}
	raw, err := os.ReadFile(*path)
	if err != nil {
		return err
	}
	cfg, err := service.LoadConfig[importConfig]()
	if err != nil {
		return err
	}
	if *tenant != "" {
		if i.Tenant, err = uuid.Parse(*tenant); err != nil {
			return fmt.Errorf("%w: -tenant is a UUID", service.ErrUsage)
		}
		return importCSV(ctx, cfg, i, raw, os.Stderr)
	}
	file, err := registry.ParseFile(raw)
	if err != nil {
		return err
	}
	return importFile(ctx, cfg, file)
}

func importFile(ctx context.Context, cfg importConfig, file registry.File) error {
	db, err := postgres.OpenCurrent(ctx, cfg.Postgres, slog.Default(), store.Sources...)
	if err != nil {
		return err
	}
	defer db.Close()
	var announced []eventbus.Parcel
	records := store.NewStore(db, func(parcels ...eventbus.Parcel) { announced = append(announced, parcels...) }, newID, time.Now)
	version, err := records.Import(ctx, file.Tenant, registry.Author{Actor: operator, Action: "registry.import"}, file.Rows.Objects)
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "registry imported", slog.String("tenant_id", file.Tenant.String()), slog.Int64("version", version),
		slog.Int("count", len(file.Rows.Objects)))
	if cfg.Bus.URL == "" || len(announced) == 0 {
		return nil
	}
	if err := announce(ctx, cfg.Bus, db, announced); err != nil {
		slog.WarnContext(ctx, "change not announced yet; a running replica will", slog.String("error", err.Error()))
	}
	return nil
}

// announce publishes the parcels and forgets their outbox rows.
func announce(ctx context.Context, cfg eventbus.Config, db *postgres.DB, parcels []eventbus.Parcel) error {
	ctx, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	bus, err := eventbus.Connect(ctx, cfg, name)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.Own(ctx, streams()); err != nil {
		return err
	}
	published := make(chan []eventbus.Parcel, len(parcels))
	publisher := bus.NewPublisher(name, func(_ context.Context, done []eventbus.Parcel) { published <- done })
	running, stop := context.WithCancel(ctx)
	var runs sync.WaitGroup
	runs.Go(func() { _ = publisher.Run(running) }) // it returns nil: what is left is in the outbox
	defer runs.Wait()
	defer stop()
	publisher.Publish(parcels...)
	for left := len(parcels); left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case done := <-published:
			left -= len(done)
			for _, p := range done {
				if _, err := db.Worker.Exec(ctx, `DELETE FROM outbox WHERE parcel_id = $1`, p.ID); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// DeadLetters lists events that were given up, or treats them again: `dead-letters list | replay <id> | replay all`.
// What a replay decides is published by a running replica.
func DeadLetters(ctx context.Context, args []string) error {
	cfg, err := service.LoadConfig[Config]()
	if err != nil {
		return err
	}
	// The registers belong to the replicas. Without one promotion is held, and decided anew by a replica.
	if cfg.PreferenceDir, err = os.MkdirTemp("", "dead-letters-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(cfg.PreferenceDir) }() // nothing is in it
	c, err := open(ctx, cfg, slog.Default(), time.Now)
	if err != nil {
		return err
	}
	defer c.close()
	return outbox.NewDeadLetters(c.db.Worker).Command(ctx, args, consumer.New(c.screener, c.records).Handle, os.Stdout)
}
