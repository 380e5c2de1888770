package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/offline"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const scrubUsage = `usage: compliance scrub -registry <export> [flags] [<messages>]

Decides every message of a CSV or NDJSON file (standard input without one) by a registry export, exactly as the service
would, without a database or a network; nothing is sent or recorded. Consents and preferences are not known here, so that
promotion is refused unless its template has the override preference_unchecked_allowed.

  CSV     needs a header row. Columns are found by their names (to, entity_id, header, template_id, text, var1, var2, …,
          var:<name>, client_reference, schedule_time) or mapped: -col to=Mobile -col var1=Name
  NDJSON  a document a line with the fields of POST /v1/messages

Output: a line for each line, with outcome (CLEARED, REFUSED, HELD, INVALID), reasons, remedy, encoding and segments.
Exit code: 0 all lines cleared or held, 1 some refused, 2 bad input or wrong usage.

`

// scrubRun is what a scrub was asked for.
type scrubRun struct {
	registry, file, format, out, outFormat string
	columns                                map[string]string
	operators                              string
	telemarketer                           string
	quiet                                  bool
	now, pack                              string
	cfg                                    offline.Config
}

// Scrub decides the messages of a file offline; see scrubUsage.
func Scrub(ctx context.Context, args []string) error {
	run, err := parseScrub(args, os.Stderr)
	if err != nil {
		return err
	}
	return run.do(ctx, os.Stdin, os.Stdout, os.Stderr)
}

func parseScrub(args []string, help io.Writer) (*scrubRun, error) {
	r := &scrubRun{columns: map[string]string{}}
	flags := flag.NewFlagSet("scrub", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.Usage = func() {
		fmt.Fprint(help, scrubUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&r.registry, "registry", "", "`export` of the registry: NDJSON or YAML of compliance export, or the answer of GET /v1/registry-export")
	flags.StringVar(&r.format, "format", "", "of the messages: csv or ndjson; empty: by the file's name, else by its first character")
	flags.StringVar(&r.out, "out", "", "file to write to; empty: standard output")
	flags.StringVar(&r.outFormat, "out-format", "ndjson", "ndjson or csv")
	flags.StringVar(&r.cfg.Env, "env", "live", "environment: live or test, where overrides of templates count")
	flags.StringVar(&r.now, "now", "", "time of the decisions, such as 2026-01-31T10:00:00+05:30; empty: now")
	flags.StringVar(&r.pack, "pack", "", "rule pack: "+strings.Join(packNames(), ", ")+"; empty: the one in force at -now")
	flags.StringVar(&r.operators, "operators", "", "operators of the live routes, separated by commas, as LIVE_OPERATORS of the service")
	flags.StringVar(&r.telemarketer, "telemarketer", "", "telemarketer of the route, 19 digits, as ROUTE_LIVE_TELEMARKETER of the service")
	flags.StringVar(&r.cfg.Defaults.EntityID, "entity", "", "entity id of lines that name none")
	flags.StringVar(&r.cfg.Defaults.Header, "header", "", "header of lines that name none")
	flags.StringVar(&r.cfg.Defaults.Template, "template", "", "template id of lines that name none")
	flags.BoolVar(&r.quiet, "quiet", false, "no progress and no summary")
	flags.Func("col", "column of a CSV field, `field=column`; may be repeated", func(pair string) error {
		field, column, ok := strings.Cut(pair, "=")
		if !ok || field == "" || column == "" {
			return errors.New("write field=column, for example to=Mobile")
		}
		r.columns[field] = column
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	r.file = flags.Arg(0)
	if err := r.check(flags.NArg()); err != nil {
		return nil, fmt.Errorf("%w: scrub: %w; see compliance scrub --help", service.ErrUsage, err)
	}
	return r, nil
}

func packNames() (names []string) {
	packs, err := policy.Builtin()
	if err != nil {
		return nil // a test loads them
	}
	for _, p := range packs {
		names = append(names, p.Version)
	}
	return names
}

// check completes the settings.
func (r *scrubRun) check(files int) error {
	oneOf := func(name, value string, allowed ...string) error {
		for _, a := range allowed {
			if value == a {
				return nil
			}
		}
		return fmt.Errorf("-%s is one of %s", name, strings.Join(allowed, ", "))
	}
	if r.registry == "" || files > 1 {
		return errors.New("a registry export and at most one file of messages are wanted, after the flags")
	}
	if r.telemarketer != "" && !policy.IsID(r.telemarketer) {
		return errors.New("-telemarketer has 19 digits")
	}
	r.cfg.Route = policy.Route{Telemarketer: r.telemarketer}
	if r.operators != "" {
		r.cfg.Operators = strings.Split(r.operators, ",")
	}
	for _, o := range r.cfg.Operators {
		if err := oneOf("operators", o, registry.Operators()...); err != nil {
			return err
		}
	}
	if err := errors.Join(oneOf("env", r.cfg.Env, "live", "test"), oneOf("format", r.format, "", "csv", "ndjson"),
		oneOf("out-format", r.outFormat, "ndjson", "csv")); err != nil {
		return err
	}
	r.cfg.Now = time.Now()
	if r.now != "" {
		var err error
		if r.cfg.Now, err = time.Parse(time.RFC3339, r.now); err != nil {
			return errors.New("-now is a time such as 2026-01-31T10:00:00+05:30")
		}
	}
	packs, err := policy.Builtin()
	if err != nil {
		return err
	}
	if r.cfg.Pack = packs.At(r.cfg.Now); r.pack != "" {
		if r.cfg.Pack = packs.Version(r.pack); r.cfg.Pack == nil {
			return fmt.Errorf("no rule pack %q: there are %s", r.pack, strings.Join(packNames(), ", "))
		}
	}
	return nil
}

// badInput marks what ends with exit code 2.
func badInput(format string, args ...any) error {
	return fmt.Errorf("%w: %w", service.ErrUsage, fmt.Errorf(format, args...))
}

// readRegistry reads an export; what is wrong with single objects is told, and they are left out, as the service does.
func readRegistry(path string, told io.Writer) (*registry.Snapshot, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, badInput("registry: %w", err)
	}
	var objects []registry.Object
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		objects, err = api.ReadExport(bytes.NewReader(raw))
	} else {
		var f registry.File
		f, err = registry.ParseFile(raw)
		objects = f.Rows.Objects
	}
	if err != nil {
		return nil, badInput("%w", err)
	}
	if len(objects) == 0 {
		return nil, badInput("the registry export %s is empty", path)
	}
	snapshot, wrong := registry.NewSnapshot(registry.Rows{Objects: objects})
	if wrong != nil {
		fmt.Fprintf(told, "left out of the registry: %v\n", wrong)
	}
	return snapshot, nil
}

func (r *scrubRun) do(ctx context.Context, stdin io.Reader, stdout, told io.Writer) (err error) {
	if r.cfg.Registry, err = readRegistry(r.registry, told); err != nil {
		return err
	}
	counted := &counter{Reader: stdin}
	if r.file != "" && r.file != "-" {
		f, err := os.Open(r.file)
		if err != nil {
			return badInput("%w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return badInput("%w", err)
		}
		counted.Reader, counted.size = f, info.Size()
	}
	in, err := r.reader(counted)
	if err != nil {
		return err
	}
	if r.out == "" {
		return r.scrub(ctx, in, counted, stdout, told)
	}
	f, err := os.Create(r.out)
	if err != nil {
		return badInput("%w", err)
	}
	err = r.scrub(ctx, in, counted, f, told)
	return errors.Join(err, f.Close())
}

// reader chooses the form of the messages.
func (r *scrubRun) reader(in io.Reader) (offline.Reader, error) {
	buffered := bufio.NewReader(in)
	format := r.format
	if format == "" {
		switch first, _ := buffered.Peek(1); {
		case strings.EqualFold(filepath.Ext(r.file), ".csv"):
			format = "csv"
		case strings.EqualFold(filepath.Ext(r.file), ".ndjson"), strings.EqualFold(filepath.Ext(r.file), ".jsonl"), string(first) == "{":
			format = "ndjson"
		default:
			format = "csv"
		}
	}
	if format == "ndjson" {
		if len(r.columns) > 0 {
			return nil, badInput("-col is for CSV")
		}
		return offline.NewNDJSON(buffered), nil
	}
	reader, err := offline.NewCSV(buffered, r.columns)
	if err != nil {
		return nil, badInput("%w", err)
	}
	return reader, nil
}

func (r *scrubRun) scrub(ctx context.Context, in offline.Reader, counted *counter, out, told io.Writer) error {
	w := offline.NewJSONWriter(out, r.cfg.Pack.Version)
	if r.outFormat == "csv" {
		w = offline.NewCSVWriter(out, r.cfg.Pack.Version)
	}
	s := &tally{told: told, pack: r.cfg.Pack.Version, in: counted, began: time.Now(), codes: map[string]int{}, bar: !r.quiet && isTerminal(told)}
	err := offline.Scrub(ctx, r.cfg, in, func(result *offline.Result) error {
		s.add(result)
		return w.Write(result)
	})
	err = errors.Join(err, w.Flush())
	s.end(r.quiet)
	switch {
	case ctx.Err() != nil:
		return badInput("interrupted after %d lines", s.lines)
	case err != nil:
		return badInput("%w", err)
	case s.invalid > 0:
		return badInput("%d of %d lines are no messages", s.invalid, s.lines)
	case s.lines == 0:
		return badInput("there are no messages in the file")
	case s.refused > 0:
		return fmt.Errorf("%d of %d messages would be refused", s.refused, s.lines)
	}
	return nil
}
