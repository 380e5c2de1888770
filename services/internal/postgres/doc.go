// Package postgres is a service's database: pools with a role each, row-level security per tenant, forward-only
// migrations and tables partitioned by day.
//
// Three roles stand on every database, named after its service:
//
//   - <service>_owner owns the tables and runs migrations. Row-level security is FORCED, so that even the owner sees no
//     row without a policy.
//   - <service>_worker reads and writes the rows of all tenants: consumers, relays, batches. Its right is a policy that
//     is written down, not an exemption (no role here has BYPASSRLS).
//   - <service>_tenant reads the rows of the one tenant set by InTenant, nothing without it, and writes nothing.
//
// A table comes into being in a migration and is secured there:
//
//	CREATE TABLE messages (day date NOT NULL, tenant_id uuid NOT NULL, …, PRIMARY KEY (day, tenant_id, message_id))
//	    PARTITION BY RANGE (day);
//	CALL onlinesms_secure_table('messages');
//	CALL onlinesms_partition_by_day('messages');
//
// Partitions are made and dropped by functions the owner owns; no other role has a grant on them. They are attached,
// not created in place: writers to the table never wait for it.
//
// Batches are `INSERT … SELECT unnest($1::uuid[], …)` with the keys sorted: COPY FROM is refused by PostgreSQL under
// row-level security, and two transactions that insert the same unique keys in different orders deadlock.
//
// # Crashes
//
// A migration file is one transaction with its row in schema_migrations: a kill leaves all of it or none. Two
// migrators wait for one another on an advisory lock, which ends with its connection. InTx runs its function again on a
// serialisation failure or a deadlock only; after a lost connection the fate of a COMMIT is unknown, and the caller's
// keys (inbox, idempotency) decide, not a blind repetition.
package postgres
