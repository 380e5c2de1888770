package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

const (
	one = "CREATE TABLE one (n int)"
	two = "CREATE TABLE two (n int)"
)

func TestMigrate(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	first := source("s", map[string]string{"0001_one.sql": one})
	both := source("s", map[string]string{"0001_one.sql": one, "0002_two.sql": two})
	if err := postgres.CheckCurrent(ctx, d.DB.Worker, first); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "`ingest migrate`") {
		t.Errorf("older schema: %v", err)
	}
	for range 2 { // the second time nothing is left to do
		if err := postgres.Migrate(ctx, d.Config, both); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []postgres.Source{first, both} {
		if err := postgres.CheckCurrent(ctx, d.DB.Worker, s); err != nil {
			t.Errorf("current or newer schema: %v", err)
		}
	}
	if _, err := d.DB.Worker.Exec(ctx, "DELETE FROM schema_migrations"); err == nil {
		t.Error("the worker may change schema_migrations")
	}
}

func TestMigrateRefuses(t *testing.T) {
	d := postgrestest.New(t, "ingest", source("s", map[string]string{"0001_one.sql": one}))
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"changed":   {map[string]string{"0001_one.sql": two}, "applied in another form"},
		"twice":     {map[string]string{"0001_one.sql": one, "0001_two.sql": two}, "number 0001 is taken"},
		"bad name":  {map[string]string{"0001_one.sql": one, "2_x.sql": two}, "NNNN_name.sql"},
		"no number": {map[string]string{"0001_one.sql": one, "x_y.sql": two}, "invalid syntax"},
	} {
		err := postgres.Migrate(t.Context(), d.Config, source("s", test.files))
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestMigrateLeavesNothingOfAFileThatFails(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	bad := source("s", map[string]string{"0001_one.sql": one, "0002_two.sql": two + "; SELECT nonsense"})
	if err := postgres.Migrate(ctx, d.Config, bad); err == nil || !strings.Contains(err.Error(), "s/0002_two") {
		t.Errorf("got %v", err)
	}
	var has1, has2 bool
	err := d.DB.Worker.QueryRow(ctx, "SELECT to_regclass('one') IS NOT NULL, to_regclass('two') IS NOT NULL").Scan(&has1, &has2)
	if err != nil || !has1 || has2 {
		t.Errorf("one %v, two %v, %v; want only the first", has1, has2, err)
	}
}

func TestMigrateByManyAtOnce(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	s := source("s", map[string]string{"0001_one.sql": one, "0002_two.sql": two})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := postgres.Migrate(ctx, d.Config, s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestProvision(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	service := d.Name + "_p" // of this test alone; roles belong to the whole server
	t.Cleanup(func() { dropService(t, d.AdminURL, service) })
	password := func(role string) string { return "secret of " + role }
	var wg sync.WaitGroup
	for range 4 { // four starters at once, as on a first `make up` of replicas
		wg.Go(func() {
			if err := postgres.Provision(ctx, d.AdminURL, service, password); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cfg, err := pgx.ParseConfig(d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{postgres.RoleOwner, postgres.RoleWorker, postgres.RoleTenant} {
		cfg.User, cfg.Database = service+"_"+kind, service
		cfg.Password = password(cfg.User)
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		_ = conn.Close(ctx)
		cfg.Database = d.Name
		if conn, err := pgx.ConnectConfig(ctx, cfg); err == nil {
			_ = conn.Close(ctx)
			t.Errorf("%s of %s enters another service's database", kind, service)
		}
	}
	for name, bad := range map[string]error{
		"name":     postgres.Provision(ctx, d.AdminURL, `x"; DROP`, password),
		"password": postgres.Provision(ctx, d.AdminURL, service, func(string) string { return "" }),
	} {
		if errs.KindOf(bad) != errs.Invalid {
			t.Errorf("bad %s: %v", name, bad)
		}
	}
}

func dropService(t *testing.T, adminURL, service string) {
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + service, "DROP ROLE IF EXISTS " + service + "_owner, " + service + "_worker, " + service + "_tenant"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Error(err)
		}
	}
}

func TestPartitions(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	far := time.Date(2031, 3, 1, 23, 59, 0, 0, time.FixedZone("IST", 5*3600+1800))
	var wg sync.WaitGroup
	for range 6 { // replicas, while writers are at work
		wg.Go(func() {
			if err := postgres.EnsurePartitions(ctx, d.DB.Worker, far); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { addNote(t, d, newID(t)) })
	}
	wg.Wait()
	var names []string
	err := d.DB.Worker.QueryRow(ctx, `SELECT array_agg(relname::text ORDER BY 1) FROM pg_class
		WHERE relispartition AND relkind = 'r' AND relname LIKE 'notes\_2031%'`).Scan(&names)
	want := "notes_20310225 notes_20310226 notes_20310227 notes_20310228 notes_20310301 notes_20310302 notes_20310303 notes_20310304"
	if got := strings.Join(names, " "); err != nil || got != want {
		t.Errorf("partitions %s, %v; want %s", got, err, want)
	}
	postgrestest.CheckTenancy(t, d)
}

func TestDropPartition(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	past := time.Now().UTC().AddDate(0, 0, -10)
	if err := postgres.EnsurePartitions(ctx, d.DB.Worker, past); err != nil {
		t.Fatal(err)
	}
	drop := func(table string, day time.Time) (dropped bool, err error) {
		err = d.DB.Worker.QueryRow(ctx, "SELECT onlinesms_drop_partition($1::text::regclass, $2::date)", table, day).Scan(&dropped)
		return dropped, err
	}
	if ok, err := drop("notes", past); !ok || err != nil {
		t.Errorf("past day: %v, %v", ok, err)
	}
	if ok, err := drop("notes", past); ok || err != nil {
		t.Errorf("again: %v, %v", ok, err)
	}
	if _, err := drop("notes", time.Now().UTC()); err == nil {
		t.Error("today was dropped")
	}
	if _, err := drop("counters", past); err == nil {
		t.Error("a table without partitions was accepted")
	}
}

func TestRunPartitionsEndsWithItsContext(t *testing.T) {
	d := postgrestest.New(t, "ingest", notes)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- postgres.RunPartitions(ctx, d.DB.Worker, func() time.Time { return time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC) })
	}()
	made := false
	for deadline := time.Now().Add(20 * time.Second); !made && time.Now().Before(deadline); {
		err := d.DB.Worker.QueryRow(ctx, "SELECT to_regclass('notes_20310104') IS NOT NULL").Scan(&made)
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !made || err != nil {
		t.Errorf("partitions made: %v, %v", made, err)
	}
}
