package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// operator is the actor of what is done by command.
const operator = "operator/import"

// shownProblems is how many problems of a file the command prints.
const shownProblems = 50

// importCSV imports a portal's file as RegistryService does, shows how far it is, and fails with its problems.
func importCSV(ctx context.Context, cfg importConfig, i portal.Import, content []byte, out io.Writer) error {
	db, err := postgres.OpenCurrent(ctx, cfg.Postgres, slog.Default(), store.Sources...)
	if err != nil {
		return err
	}
	defer db.Close()
	var announced []eventbus.Parcel
	records := store.NewStore(db, func(parcels ...eventbus.Parcel) { announced = append(announced, parcels...) }, newID, time.Now)
	i.Actor = operator
	if i, err = records.CreateImport(ctx, i, content, false); err != nil {
		return err
	}
	if i, err = carry(ctx, records, i, out); err != nil {
		return err
	}
	if cfg.Bus.URL != "" && len(announced) > 0 {
		if err := announce(ctx, cfg.Bus, db, announced); err != nil {
			slog.WarnContext(ctx, "change not announced yet; a running replica will", slog.String("error", err.Error()))
		}
	}
	return verdict(ctx, records, i, out)
}

// carry works through imports until this one has ended, here or by a running replica.
func carry(ctx context.Context, records *store.Store, i portal.Import, out io.Writer) (portal.Import, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	done := make(chan error, 1)
	go func() { done <- portal.NewImporter(records, nil, ticker.C, time.Now).Run(working) }()
	for {
		if !service.Pause(ctx, 250*time.Millisecond) {
			return i, ctx.Err()
		}
		now, err := records.GetImport(ctx, i.Tenant, i.ID)
		if err != nil {
			return i, err
		}
		fmt.Fprintf(out, "\r%3d %%  %d of %d lines", now.Percent, now.Done, now.Lines)
		if now.State.Final() {
			fmt.Fprintln(out)
			stop()
			return now, <-done
		}
	}
}

// verdict prints how an import has ended.
func verdict(ctx context.Context, records *store.Store, i portal.Import, out io.Writer) error {
	fmt.Fprintf(out, "%s: %s of %s, %d new, %d changed, %d unchanged, %d problems, %d of them warnings\n", i.State, i.Kind, i.Portal, i.Created, i.Changed, i.Unchanged, i.Problems, i.Warnings)
	problems, _, err := records.ImportProblems(ctx, i.Tenant, i.ID, 0, shownProblems)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintf(out, "line %d, %s: %s%s: %s\n", p.Line, p.Column, strings.TrimLeft(p.Severity+" ", " "), p.Reason, p.Detail)
	}
	if i.State == portal.Failed {
		return fmt.Errorf("%s: %s", i.Reason, i.Detail)
	}
	return nil
}

// Export writes a tenant's registry: `export -tenant <uuid> [-format ndjson|yaml]`, to standard output. NDJSON is for
// offline scrubs, YAML for `import`.
func Export(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	tenant := flags.String("tenant", "", "tenant (UUID)")
	format := flags.String("format", "ndjson", "ndjson or yaml")
	if err := flags.Parse(args); err != nil {
		return err
	}
	id, err := uuid.Parse(*tenant)
	if err != nil || *format != "ndjson" && *format != "yaml" {
		return fmt.Errorf("%w: export -tenant <uuid> [-format ndjson|yaml]", service.ErrUsage)
	}
	cfg, err := service.LoadConfig[importConfig]()
	if err != nil {
		return err
	}
	return export(ctx, cfg, id, *format, os.Stdout)
}

func export(ctx context.Context, cfg importConfig, tenant uuid.UUID, format string, out io.Writer) error {
	db, err := postgres.OpenCurrent(ctx, cfg.Postgres, slog.Default(), store.Sources...)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := store.NewStore(db, func(...eventbus.Parcel) {}, newID, time.Now).Export(ctx, tenant)
	if err != nil {
		return err
	}
	if len(rows.Objects) == 0 {
		return errors.New("nothing is registered for this tenant")
	}
	if format == "ndjson" {
		return api.WriteExport(out, rows.Objects)
	}
	raw, err := (&registry.File{Tenant: tenant, Rows: rows}).Marshal()
	if err == nil {
		_, err = out.Write(raw)
	}
	return err
}
