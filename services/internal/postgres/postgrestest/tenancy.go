package postgrestest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// own names the tables of package postgres itself, which hold nothing of a tenant.
var own = []string{"schema_migrations", "onlinesms_partitioned"}

// table is what stands in the catalogue about one table and its rights.
type table struct {
	Name      string
	Forced    bool // row-level security is enabled and forced
	Partition bool
	HasTenant bool
	Policies  []string
	Owner     string
	Grants    int // to others than its owner
	Writes    int // of the tenant role
}

const tables = `
	SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, c.relispartition,
		EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped),
		(SELECT coalesce(array_agg(polname::text ORDER BY polname), '{}') FROM pg_policy p WHERE p.polrelid = c.oid),
		pg_get_userbyid(c.relowner)::text,
		(SELECT count(*) FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner),
		(SELECT count(*) FROM aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
			WHERE r.rolname = onlinesms_role('tenant') AND g.privilege_type <> 'SELECT')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%' AND c.relkind IN ('r', 'p')
	ORDER BY 1`

// CheckTenancy fails t for every table and partition of d that is not secured; a table that is new is covered by itself.
//
//   - Row-level security is enabled and forced, and where a tenant_id stands there are the policies of both roles; a
//     partition, reached through its table only, has no grant to anyone.
//   - The roles a service runs as own nothing, inherit nothing, and are neither superusers nor exempt from row-level
//     security.
//   - It is tried: with a row of some tenant in every table, the tenant role sees none without a tenant set, none as
//     another tenant, its own as itself; it writes nothing, and neither role reads a partition.
func CheckTenancy(t testing.TB, d *Database) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, tables)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil || len(all) <= len(own) {
		t.Fatalf("%d tables: %v", len(all), err)
	}
	roles := rolesOf(ctx, t, conn)
	for _, one := range all {
		one.check(t, roles)
	}
	checkRoles(ctx, t, conn, roles)
	tryTenancy(ctx, t, conn, all, roles)
}

// rolesOf answers the names of the service's roles by kind.
func rolesOf(ctx context.Context, t testing.TB, conn *pgx.Conn) map[string]string {
	t.Helper()
	roles := map[string]string{}
	for _, kind := range []string{postgres.RoleOwner, postgres.RoleWorker, postgres.RoleTenant} {
		var role string
		if err := conn.QueryRow(ctx, "SELECT onlinesms_role($1)", kind).Scan(&role); err != nil {
			t.Fatal(err)
		}
		roles[kind] = role
	}
	return roles
}

func (c table) check(t testing.TB, roles map[string]string) {
	t.Helper()
	if c.Owner != roles[postgres.RoleOwner] {
		t.Errorf("table %s: owned by %s, want %s", c.Name, c.Owner, roles[postgres.RoleOwner])
	}
	if c.Writes > 0 {
		t.Errorf("table %s: the tenant role has more than SELECT", c.Name)
	}
	if slices.Contains(own, c.Name) {
		return
	}
	if !c.Forced {
		t.Errorf("table %s: row-level security is not forced: CALL onlinesms_secure_table", c.Name)
	}
	if c.HasTenant && !c.Partition && !slices.Equal(c.Policies, []string{"tenant", "worker"}) {
		t.Errorf("table %s: policies %v, want tenant and worker", c.Name, c.Policies)
	}
	if c.Partition && c.Grants > 0 {
		t.Errorf("partition %s: %d grants, want none", c.Name, c.Grants)
	}
}

// checkRoles: what a service runs as has no power of its own, and none by another role.
func checkRoles(ctx context.Context, t testing.TB, conn *pgx.Conn, roles map[string]string) {
	t.Helper()
	for _, kind := range []string{postgres.RoleWorker, postgres.RoleTenant} {
		var powers []string
		err := conn.QueryRow(ctx, `SELECT array_remove(ARRAY[
				CASE WHEN r.rolsuper THEN 'is a superuser' END, CASE WHEN r.rolbypassrls THEN 'has BYPASSRLS' END,
				CASE WHEN r.rolcreaterole THEN 'has CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'has CREATEDB' END,
				CASE WHEN r.rolreplication THEN 'has REPLICATION' END,
				CASE WHEN EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) THEN 'is member of another role' END,
				CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid) THEN 'owns a relation' END,
				CASE WHEN EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid) THEN 'owns a function' END,
				CASE WHEN has_schema_privilege(r.oid, 'public', 'CREATE') THEN 'may create in the schema' END
			], NULL) FROM pg_roles r WHERE r.rolname = $1`, roles[kind]).Scan(&powers)
		if err != nil {
			t.Fatal(err)
		}
		if len(powers) > 0 {
			t.Errorf("role %s %s", roles[kind], strings.Join(powers, ", "))
		}
	}
	var loose []string
	err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(p.proname::text), '{}') FROM pg_proc p
		JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prosecdef AND n.nspname = 'public'
		AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=pg\_catalog%')`).Scan(&loose)
	if err != nil || len(loose) > 0 {
		t.Errorf("functions with their owner's rights and the caller's search_path: %v, %v", loose, err)
	}
}

// Two tenants of the trial.
const (
	oneTenant     = "0193aaaa-0000-7000-8000-000000000001"
	anotherTenant = "0193aaaa-0000-7000-8000-000000000002"
)

// tryTenancy puts a row into every table and looks at it as the roles of the service, in one transaction of the
// superuser that is rolled back: SET ROLE takes on a role's rights whole.
func tryTenancy(ctx context.Context, t testing.TB, conn *pgx.Conn, all []table, roles map[string]string) {
	t.Helper()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	trial := &trial{t: t, tx: tx, roles: roles}
	// Foreign keys and triggers, which have no part in this, rest; row-level security does not.
	trial.exec(ctx, "SET LOCAL session_replication_role = replica")
	for _, one := range all {
		if one.HasTenant && !one.Partition {
			trial.fill(ctx, one.Name)
		}
	}
	for _, one := range all {
		switch {
		case one.Partition:
			trial.refuse(ctx, postgres.RoleTenant, oneTenant, "SELECT FROM "+quoted(one.Name))
			trial.refuse(ctx, postgres.RoleWorker, "", "SELECT FROM "+quoted(one.Name))
		case one.HasTenant:
			trial.look(ctx, one.Name)
		}
	}
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// trial is a transaction of the superuser.
type trial struct {
	t     testing.TB
	tx    pgx.Tx
	roles map[string]string
}

func (r *trial) exec(ctx context.Context, sql string) {
	r.t.Helper()
	if _, err := r.tx.Exec(ctx, sql); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// fill puts a row of oneTenant into a table: its columns hold any value of their type, so its checks are dropped first.
func (r *trial) fill(ctx context.Context, name string) {
	r.t.Helper()
	rows, err := r.tx.Query(ctx, "SELECT conname::text FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'", quoted(name))
	if err != nil {
		r.t.Fatal(err)
	}
	checks, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	for _, check := range checks {
		r.exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", quoted(name), quoted(check)))
	}
	rows, err = r.tx.Query(ctx, columns, quoted(name))
	if err != nil {
		r.t.Fatal(err)
	}
	var names, values []string
	var column, kind, value string
	_, err = pgx.ForEachRow(rows, []any{&column, &kind, &value}, func() error {
		names, values = append(names, quoted(column)), append(values, fmt.Sprintf("'%s'::%s", value, kind))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)", quoted(name), strings.Join(names, ", "), strings.Join(values, ", ")))
}

// columns of a table that must be given, with a value for each: the tenant, today, now, or the least of its type.
const columns = `
	SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attname = 'tenant_id' THEN '` + oneTenant + `'
			WHEN b.typtype = 'e' THEN (SELECT enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY enumsortorder LIMIT 1)
			WHEN b.typtype = 'r' THEN 'empty'
			WHEN b.typcategory = 'A' THEN '{}'
			WHEN b.typname = 'uuid' THEN '` + oneTenant + `'
			WHEN b.typname IN ('json', 'jsonb') THEN '{}'
			WHEN b.typname IN ('inet', 'cidr') THEN '127.0.0.1'
			WHEN b.typcategory = 'D' THEN 'now'
			WHEN b.typcategory = 'B' THEN 'f'
			WHEN b.typcategory IN ('N', 'T') THEN '0'
			WHEN b.typname = 'bytea' THEN '\x00'
			ELSE 'x' END
	FROM pg_attribute a JOIN pg_type k ON k.oid = a.atttypid
		JOIN pg_type b ON b.oid = CASE WHEN k.typtype = 'd' THEN k.typbasetype ELSE k.oid END
	WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		AND (a.attnotnull OR k.typnotnull OR a.attname = 'tenant_id')`

// look reads and writes a filled table as the tenant role.
func (r *trial) look(ctx context.Context, name string) {
	r.t.Helper()
	count := fmt.Sprintf("SELECT count(*) FROM %s WHERE tenant_id = '%s'", quoted(name), oneTenant)
	for tenant, want := range map[string]int{"": 0, anotherTenant: 0, oneTenant: 1} {
		var seen int
		err := r.as(ctx, postgres.RoleTenant, tenant, func(tx pgx.Tx) error { return tx.QueryRow(ctx, count).Scan(&seen) })
		if err != nil || seen != want {
			r.t.Errorf("table %s: tenant %q sees %d rows of %s, want %d: %v", name, tenant, seen, oneTenant, want, err)
		}
	}
	for _, tenant := range []string{"", oneTenant} {
		for _, sql := range []string{
			"INSERT INTO %s (tenant_id) VALUES ('" + oneTenant + "')", "UPDATE %s SET tenant_id = tenant_id", "DELETE FROM %s", "TRUNCATE %s",
		} {
			r.refuse(ctx, postgres.RoleTenant, tenant, fmt.Sprintf(sql, quoted(name)))
		}
	}
}

// as runs fn with the rights of a role and, unless it is "", a tenant set; nothing of it stays.
func (r *trial) as(ctx context.Context, kind, tenant string, fn func(pgx.Tx) error) error {
	inner, err := r.tx.Begin(ctx) // a savepoint
	if err != nil {
		return err
	}
	defer func() { _ = inner.Rollback(ctx) }()
	settings := "SET LOCAL ROLE " + quoted(r.roles[kind])
	if tenant != "" {
		settings += "; SET LOCAL onlinesms.tenant = '" + tenant + "'"
	}
	if _, err := inner.Exec(ctx, settings); err != nil {
		return err
	}
	return fn(inner)
}

// refuse expects that a statement is beyond the rights of a role.
func (r *trial) refuse(ctx context.Context, kind, tenant, sql string) {
	r.t.Helper()
	err := r.as(ctx, kind, tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "SQLSTATE 42501") {
		r.t.Errorf("%s as %s with tenant %q: %v, want no permission", sql, r.roles[kind], tenant, err)
	}
}
