package postgrestest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// tables lists every table with what stands in the catalogue about its rights.
const tables = `
	SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, c.relispartition,
		EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'),
		(SELECT coalesce(array_agg(polname::text ORDER BY polname), '{}') FROM pg_policy p WHERE p.polrelid = c.oid),
		(SELECT count(*) FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner),
		(SELECT count(*) FROM aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
			WHERE r.rolname = onlinesms_role('tenant') AND g.privilege_type <> 'SELECT')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
		AND c.relname NOT IN ('schema_migrations', 'onlinesms_partitioned') ORDER BY 1`

// CheckTenancy fails t for every table of d's own schema that is not secured: row-level security enabled and forced on
// all but schema_migrations and onlinesms_partitioned; on what has a tenant_id and is no partition, the policies of both
// roles too; no grant on a partition to anyone; no right to write for the tenant role anywhere.
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
	var table string
	var forced, partition, hasTenant bool
	var policies []string
	var grants, writes int
	checked := 0
	_, err = pgx.ForEachRow(rows, []any{&table, &forced, &partition, &hasTenant, &policies, &grants, &writes}, func() error {
		checked++
		if !forced {
			t.Errorf("table %s: row-level security is not forced: CALL onlinesms_secure_table", table)
		}
		if hasTenant && !partition && (len(policies) != 2 || policies[0] != "tenant" || policies[1] != "worker") {
			t.Errorf("table %s: policies %v, want tenant and worker", table, policies)
		}
		if partition && grants > 0 {
			t.Errorf("partition %s: %d grants, want none", table, grants)
		}
		if writes > 0 {
			t.Errorf("table %s: the tenant role has more than SELECT", table)
		}
		return nil
	})
	if err != nil || checked == 0 {
		t.Fatalf("checked %d tables: %v", checked, err)
	}
}
