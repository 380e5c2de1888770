package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// notes is a schema as services write it.
var notes = source("notes", map[string]string{"0001_notes.sql": `
	CREATE TABLE notes (day date NOT NULL, tenant_id uuid NOT NULL, note_id uuid NOT NULL, text text,
		PRIMARY KEY (day, tenant_id, note_id)) PARTITION BY RANGE (day);
	CALL onlinesms_secure_table('notes');
	CALL onlinesms_partition_by_day('notes');
	CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL DEFAULT 0);
	CALL onlinesms_secure_table('counters');`})

func source(name string, files map[string]string) postgres.Source {
	fs := fstest.MapFS{}
	for file, sql := range files {
		fs["migrations/"+file] = &fstest.MapFile{Data: []byte(sql)}
	}
	return postgres.Source{Name: name, FS: fs}
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func addNote(t testing.TB, d *postgrestest.Database, tenant uuid.UUID) uuid.UUID {
	t.Helper()
	id := newID(t)
	_, err := d.DB.Worker.Exec(t.Context(), "INSERT INTO notes VALUES ($1, $2, $3, 'x')", postgres.Day(id), tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func countNotes(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (n int, err error) {
	err = q.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&n)
	return n, err
}

func TestTenantSeesItsOwnRowsOnly(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	a, b := newID(t), newID(t)
	addNote(t, d, a)
	addNote(t, d, b)
	addNote(t, d, b)
	for tenant, want := range map[uuid.UUID]int{a: 1, b: 2, newID(t): 0} {
		err := d.DB.InTenant(ctx, tenant, func(tx pgx.Tx) error {
			n, err := countNotes(ctx, tx)
			if n != want {
				t.Errorf("tenant %s sees %d rows, want %d", tenant, n, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n, err := countNotes(ctx, d.DB.Worker); n != 3 || err != nil {
		t.Errorf("worker sees %d rows, %v; want 3", n, err)
	}
	// The same connection, after a transaction that had a tenant: nothing is left of it.
	if n, err := countNotes(ctx, d.DB.Tenant); n != 0 || err != nil {
		t.Errorf("without a tenant %d rows are seen, %v; want 0", n, err)
	}
}

func TestTenantWritesNothing(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	tenant := newID(t)
	addNote(t, d, tenant)
	for _, sql := range []string{
		"UPDATE notes SET text = 'y'", "DELETE FROM notes", "INSERT INTO notes SELECT * FROM notes",
		"SELECT * FROM counters", "SELECT onlinesms_ensure_partitions(current_date, current_date)",
		"SELECT onlinesms_drop_partition('notes', current_date - 1)",
	} {
		_, err := d.DB.Tenant.Exec(ctx, sql)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient_privilege", sql, err)
		}
	}
	err := d.DB.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "CREATE TEMP TABLE x (n int)")
		return err
	})
	if err == nil {
		t.Error("InTenant is not read-only")
	}
}

func TestNobodyTouchesPartitions(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	partition := "notes_" + time.Now().UTC().Format("20060102")
	for _, sql := range []string{"SELECT * FROM " + partition, "DROP TABLE " + partition, "DROP TABLE notes"} {
		_, err := d.DB.Worker.Exec(ctx, sql)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient_privilege", sql, err)
		}
	}
}

func TestOwnerSeesNoRow(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	addNote(t, d, newID(t))
	conn, err := pgx.Connect(ctx, string(d.Config.OwnerURL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if n, err := countNotes(ctx, conn); n != 0 || err != nil {
		t.Errorf("owner sees %d rows, %v: row-level security is not forced", n, err)
	}
}

func TestCheckTenancy(t *testing.T) {
	postgrestest.CheckTenancy(t, postgrestest.New(t, "ingest", notes))
}

// fails counts what CheckTenancy reports.
type fails struct {
	testing.TB
	reports []string
}

func (f *fails) Errorf(format string, args ...any) {
	f.reports = append(f.reports, fmt.Sprintf(format, args...))
}

// What CheckTenancy must find: each schema is one mistake that a migration can make.
func TestCheckTenancyFindsMistakes(t *testing.T) {
	const good = "CREATE TABLE t (tenant_id uuid NOT NULL, kind text NOT NULL CHECK (kind <> 'x')); CALL onlinesms_secure_table('t');"
	for sql, want := range map[string][]string{
		good: nil,
		"CREATE TABLE t (tenant_id uuid); GRANT SELECT, INSERT ON t TO ingest_tenant": {
			"row-level security is not forced", "policies []", "more than SELECT", `tenant "" sees 1`, "INSERT INTO"},
		good + "ALTER TABLE t NO FORCE ROW LEVEL SECURITY":                                  {"row-level security is not forced"},
		good + "DROP POLICY tenant ON t; CREATE POLICY tenant ON t FOR SELECT USING (true)": {`tenant "" sees 1`},
		good + "CREATE POLICY other ON t FOR SELECT TO ingest_tenant USING (kind = 'x')":    {"policies [other tenant worker]", "sees 1"},
		good + "DROP POLICY worker ON t":                                                    {"policies [tenant]"},
		good + "GRANT UPDATE, TRUNCATE ON t TO ingest_tenant": {
			"more than SELECT", "UPDATE", "TRUNCATE"},
		good + "GRANT CREATE ON SCHEMA public TO ingest_worker": {"ingest_worker may create in the schema"},
		good + "CREATE FUNCTION loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": {
			"caller's search_path: [loose]"},
	} {
		f := &fails{TB: t}
		postgrestest.CheckTenancy(f, postgrestest.New(t, "ingest", source("s", map[string]string{"0001_s.sql": sql})))
		all := strings.Join(f.reports, "\n")
		for _, one := range want {
			if !strings.Contains(all, one) {
				t.Errorf("%s: reports %q, want %q among them", sql, f.reports, one)
			}
		}
		if len(want) == 0 && len(f.reports) > 0 {
			t.Errorf("%s: reports %q, want none", sql, f.reports)
		}
	}
}

// A partition that somebody was given rights on is found, too.
func TestCheckTenancyFindsAnOpenPartition(t *testing.T) {
	d := postgrestest.New(t, "ingest", notes)
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	partition := "notes_" + time.Now().UTC().Format("20060102")
	if _, err := conn.Exec(t.Context(), "GRANT SELECT ON "+partition+" TO ingest_tenant"); err != nil {
		t.Fatal(err)
	}
	f := &fails{TB: t}
	postgrestest.CheckTenancy(f, d)
	if all := strings.Join(f.reports, "\n"); !strings.Contains(all, "partition "+partition+": 1 grants") || !strings.Contains(all, "SELECT FROM") {
		t.Errorf("reports %q", f.reports)
	}
}

func TestDayIsTheSameInSQL(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	ids := make([]uuid.UUID, 1000)
	for i := range ids {
		ms := rand.Int64N(4102444800_000) // to the year 2100
		ids[i] = newID(t)
		for j := range 6 {
			ids[i][j] = byte(ms >> (40 - 8*j))
		}
	}
	rows, err := d.DB.Worker.Query(ctx, "SELECT id, onlinesms_day(id) FROM unnest($1::uuid[]) id", ids)
	if err != nil {
		t.Fatal(err)
	}
	var id uuid.UUID
	var day time.Time
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &day}, func() error {
		n++
		if got := postgres.Day(id); !got.Equal(day) {
			t.Errorf("Day(%s) = %s, in SQL %s", id, got, day)
		}
		return nil
	})
	if err != nil || n != len(ids) {
		t.Fatalf("%d rows: %v", n, err)
	}
}

func TestUUIDs(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest")
	want := []uuid.UUID{newID(t), {}, newID(t)}
	var one uuid.UUID
	var all []uuid.UUID
	var null, some *uuid.UUID
	err := d.DB.Worker.QueryRow(ctx, "SELECT $1::uuid, $2::uuid[], $3::uuid, $4::uuid", want[0], want, (*uuid.UUID)(nil), &want[2]).
		Scan(&one, &all, &null, &some)
	if err != nil {
		t.Fatal(err)
	}
	if one != want[0] || fmt.Sprint(all) != fmt.Sprint(want) || null != nil || some == nil || *some != want[2] {
		t.Errorf("got %s %s %v %v", one, all, null, some)
	}
	if err := d.DB.Worker.QueryRow(ctx, "SELECT NULL::uuid").Scan(&one); err == nil {
		t.Error("NULL was scanned into a uuid.UUID")
	}
}

func TestInTxRunsAgainAfterADeadlock(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	if _, err := d.DB.Worker.Exec(ctx, "INSERT INTO counters VALUES ('a'), ('b')"); err != nil {
		t.Fatal(err)
	}
	var wg, both sync.WaitGroup
	both.Add(2)
	runs := make([]int, 2)
	for i, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error {
				runs[i]++
				for j, name := range order {
					if _, err := tx.Exec(ctx, "UPDATE counters SET n = n + 1 WHERE name = $1", name); err != nil {
						return postgres.Map(err) // as rooms do: the rivalry must still be seen
					}
					if j == 0 && runs[i] == 1 { // each holds its first row before it asks for the second
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var sum int
	if err := d.DB.Worker.QueryRow(ctx, "SELECT sum(n) FROM counters").Scan(&sum); err != nil || sum != 4 {
		t.Errorf("sum %d, %v; want 4", sum, err)
	}
	if runs[0]+runs[1] != 3 {
		t.Errorf("runs %v, want one repetition", runs)
	}
}

func TestInTxKeepsTheErrorOfItsFunction(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	want := errs.E(errs.Denied, "SCOPE_MISSING", "no", nil)
	err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO counters VALUES ('gone')"); err != nil {
			return err
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	err = d.DB.Worker.QueryRow(ctx, "SELECT n FROM counters").Scan(new(int))
	if got := errs.KindOf(postgres.Map(err)); got != errs.NotFound {
		t.Errorf("a row is left of a failed transaction: kind %v", got)
	}
}

func TestOpenSaysWhatIsWrongAndNoSecret(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	const away = "postgres://u:hunter2@127.0.0.1:1/x?sslmode=verify-full"
	for name, test := range map[string]struct {
		cfg  postgres.Config
		kind errs.Kind
	}{
		"missing":   {postgres.Config{}, errs.Invalid},
		"malformed": {postgres.Config{URL: "postgres://u:hunter2@:x/y z"}, errs.Invalid},
		"no tenant": {postgres.Config{URL: away}, errs.Invalid},
		"away":      {postgres.Config{URL: away, TenantURL: away}, errs.Unavailable},
	} {
		_, err := postgres.Open(ctx, test.cfg)
		if err == nil || errs.KindOf(err) != test.kind || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
