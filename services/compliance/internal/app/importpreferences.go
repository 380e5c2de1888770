package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/scrub"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const preferencesUsage = "import-preferences (-file <csv> -at <RFC 3339> | -url <https://…>) -provider <name> [-reference <r>] [-coverage listed|all]" +
	" | import-preferences -changes <csv>"

// preferencesConfig is what importing preferences needs.
type preferencesConfig struct {
	Postgres postgres.Config
	Bus      eventbus.Config
	KEK      secret.Ref `env:"KEK"`
	Keyring  secret.Ref `env:"KEYRING"`
	// PreferenceDir is a replica's directory; the importer works in one beside it, on the same volume. Empty: the system's
	// directory for temporary files.
	PreferenceDir        string `env:"PREFERENCE_DIR"`
	PreferenceStoreBytes int64  `env:"PREFERENCE_STORE_BYTES" envDefault:"1073741824"`
	// ScrubToken is the bearer token of an HTTP provider.
	ScrubToken secret.Ref `env:"SCRUB_TOKEN"`
}

// ImportPreferences puts the result of a scrub run in force on every replica, or makes changes to the one in force. Only
// who can start it, with the credentials of the service, may: the register is the platform's, and what it says decides for
// every tenant. It can be stopped and started again at any time; until it has ended nothing has changed.
//
//	import-preferences -file scrub.csv -at 2026-11-28T06:00:00+05:30 -provider NAME -reference R
//	import-preferences -url https://scrub.example/latest -provider NAME       with SCRUB_TOKEN or SCRUB_TOKEN_FILE
//	import-preferences -changes changes.csv                                   at most 10,000 lines
func ImportPreferences(ctx context.Context, args []string) error {
	cfg, err := service.LoadConfig[preferencesConfig]()
	if err != nil {
		return err
	}
	return importPreferences(ctx, cfg, args, os.Stderr)
}

// preferencesFlags are the command's.
type preferencesFlags struct {
	file, url, changes, provider, reference, at, coverage string
}

func parsePreferences(args []string) (f preferencesFlags, err error) {
	flags := flag.NewFlagSet("import-preferences", flag.ContinueOnError)
	flags.StringVar(&f.file, "file", "", "result of a scrub: a number a line, then none, full, promo, or blocked categories, modes, days, bands; - reads the standard input")
	flags.StringVar(&f.url, "url", "", "HTTP provider that answers the same")
	flags.StringVar(&f.changes, "changes", "", "changes to the run in force, in the same form")
	flags.StringVar(&f.provider, "provider", "", "who scrubbed")
	flags.StringVar(&f.reference, "reference", "", "the provider's reference of the run")
	flags.StringVar(&f.at, "at", "", "when it was scrubbed, RFC 3339; the run is valid until 23:59:59 IST of that day")
	flags.StringVar(&f.coverage, "coverage", "listed", "listed: other numbers were not scrubbed; all: other numbers have nothing registered")
	if err := flags.Parse(args); err != nil {
		return f, err
	}
	sources := 0
	for _, s := range []string{f.file, f.url, f.changes} {
		if s != "" {
			sources++
		}
	}
	if sources != 1 || f.changes == "" && f.provider == "" || f.file != "" && f.at == "" {
		return f, fmt.Errorf("%w: %s", service.ErrUsage, preferencesUsage)
	}
	return f, nil
}

func (f preferencesFlags) source(ctx context.Context, cfg preferencesConfig) (scrub.Provider, error) {
	if f.url != "" {
		token := ""
		if cfg.ScrubToken != "" {
			text, err := secret.Read(ctx, cfg.ScrubToken)
			if err != nil {
				return nil, err
			}
			token = strings.TrimSpace(string(text))
		}
		return scrub.HTTP{URL: f.url, Name: f.provider, Token: token, Client: http.DefaultClient, Pause: retryEvery}, nil
	}
	run := scrub.Result{Provider: f.provider, Reference: f.reference}
	var err error
	if run.At, err = time.Parse(time.RFC3339, f.at); err != nil {
		return nil, fmt.Errorf("%w: -at is a time as 2026-11-28T06:00:00+05:30", service.ErrUsage)
	}
	if run.Coverage, err = preference.ParseCoverage(f.coverage); err != nil {
		return nil, fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	return scrub.File{Path: f.file, Run: run}, nil
}

func importPreferences(ctx context.Context, cfg preferencesConfig, args []string, out io.Writer) error {
	f, err := parsePreferences(args)
	if err != nil {
		return err
	}
	keyring, err := seal.OpenKeyring(ctx, cfg.KEK, cfg.Keyring, time.Now)
	if err != nil {
		return err
	}
	db, err := postgres.OpenCurrent(ctx, cfg.Postgres, slog.Default(), store.Sources...)
	if err != nil {
		return err
	}
	defer db.Close()
	var announced []eventbus.Parcel
	records := store.NewStore(db, func(parcels ...eventbus.Parcel) { announced = append(announced, parcels...) }, newID, time.Now)
	if f.changes != "" {
		err = changePreferences(ctx, records, keyring, f.changes, out)
	} else {
		err = runImport(ctx, cfg, f, records, keyring, out)
	}
	if err != nil {
		return explained(err, out)
	}
	if err := announce(ctx, cfg.Bus, db, announced); err != nil {
		slog.WarnContext(ctx, "change not announced yet; a running replica will", slog.String("error", err.Error()))
	}
	return nil
}

func runImport(ctx context.Context, cfg preferencesConfig, f preferencesFlags, records *store.Store, keyring *seal.Keyring, out io.Writer) error {
	provider, err := f.source(ctx, cfg)
	if err != nil {
		return err
	}
	bus, err := eventbus.Connect(ctx, cfg.Bus, name)
	if err != nil {
		return err
	}
	defer bus.Close()
	objects, err := bus.Objects(ctx, bucket, cfg.PreferenceStoreBytes)
	if err != nil {
		return err
	}
	dir := os.TempDir()
	if cfg.PreferenceDir != "" {
		dir = filepath.Dir(filepath.Clean(cfg.PreferenceDir))
	}
	importer := scrub.Importer{Dir: scrub.Scratch(dir), Keys: keyring, Objects: objects, Recorder: records, NewID: newID, Now: time.Now, Actor: operator}
	r, err := importer.Import(ctx, provider, func(p preference.Progress, size int64) { showProgress(out, p, size) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nrun %s: %d lines, %d numbers, %d with anything blocked; valid until %s\n", r.ID, r.Lines, r.Numbers, r.Suppressed,
		r.Expires.Format(time.RFC3339))
	return nil
}

func changePreferences(ctx context.Context, records *store.Store, keyring *seal.Keyring, path string, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := (&scrub.Changer{Keys: keyring, Recorder: records, Actor: operator}).Change(ctx, file)
	if err == nil {
		fmt.Fprintf(out, "%d changes made\n", n)
	}
	return err
}

func showProgress(out io.Writer, p preference.Progress, size int64) {
	percent := ""
	if size > 0 {
		percent = fmt.Sprintf("%3d %%  ", min(100, int64(p.Bytes)*100/size))
	}
	fmt.Fprintf(out, "\r%s%d lines, %d wrong", percent, p.Lines, p.Wrong)
}

// explained prints what is wrong with lines, one each.
func explained(err error, out io.Writer) error {
	var e *errs.Error
	if errors.As(err, &e) {
		for _, v := range e.Violations {
			fmt.Fprintf(out, "\n%s: %s", v.Field, v.Detail)
		}
		if len(e.Violations) > 0 {
			fmt.Fprintln(out)
		}
	}
	return err
}
