package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// migrationLock is the advisory lock of all migrators of a database; the number only has to be the same for ever.
const migrationLock int64 = 0x6f736d73_6d696772 // "osmsmigr"

//go:embed migrations/*.sql
var kitFiles embed.FS

// kit is what the rooms of this package need in every database; Migrate applies it before all else.
var kit = Source{Name: "postgres", FS: kitFiles}

// Source is a named series of migrations: files migrations/NNNN_name.sql, NNNN counting from 0001 without a gap. An
// embed.FS is meant.
type Source struct {
	Name string
	FS   fs.FS
}

// migration is one file of a source.
type migration struct {
	source  string
	version int
	name    string
	sql     string
	sha256  string // of the file's bytes, hexadecimal
}

// Migrate brings the database of of.OwnerURL (role <service>_owner) to the schema of sources, in their order, after this
// package's own. Each file is one transaction with its row in schema_migrations. A file that was applied and has
// changed since is refused (errs.Invalid): a schema only goes forward.
func Migrate(ctx context.Context, of Config, sources ...Source) error {
	wanted, err := load(sources)
	if err != nil {
		return err
	}
	url, err := secret.Read(ctx, of.OwnerURL)
	if err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(string(url))
	if err != nil || of.OwnerURL == "" {
		return errs.E(errs.Invalid, "CONFIG_INVALID", "POSTGRES_OWNER_URL is not a PostgreSQL address, or its sslrootcert cannot be read.", nil)
	}
	if err := of.checkTransport(&cfg.Config, "POSTGRES_OWNER_URL"); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return Map(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return Map(err)
	}
	return apply(ctx, conn, wanted)
}

func apply(ctx context.Context, conn *pgx.Conn, wanted []migration) error {
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
		source text, version int, name text NOT NULL, sha256 text NOT NULL,
		applied_time timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (source, version))`); err != nil {
		return Map(err)
	}
	applied, err := appliedSums(ctx, conn)
	if err != nil {
		return err
	}
	for _, m := range wanted {
		sum, done := applied[m.key()]
		if done && sum != m.sha256 {
			return errs.E(errs.Invalid, "MIGRATION_CHANGED", fmt.Sprintf(
				"Migration %s was applied in another form (%.12s, now %.12s). Restore the file and put the change into a new one.",
				m.path(), sum, m.sha256), nil)
		}
		if done {
			continue
		}
		if err := applyOne(ctx, conn, m); err != nil {
			return fmt.Errorf("migration %s: %w", m.path(), err)
		}
	}
	return nil
}

func applyOne(ctx context.Context, conn *pgx.Conn, m migration) error {
	return Map(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.sql); err != nil { // no arguments: the simple protocol takes many statements
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_migrations (source, version, name, sha256) VALUES ($1, $2, $3, $4)",
			m.source, m.version, m.name, m.sha256)
		return err
	}))
}

// CheckCurrent refuses (errs.Unavailable) a database that lacks a migration of sources, and names the command that
// mends it. A database that is ahead is fine: the schema of one version later serves this one too.
func CheckCurrent(ctx context.Context, pool *pgxpool.Pool, sources ...Source) error {
	wanted, err := load(sources)
	if err != nil {
		return err
	}
	var service string
	var exists bool
	err = pool.QueryRow(ctx, `SELECT coalesce(current_setting('onlinesms.service', true), current_database()),
		to_regclass('schema_migrations') IS NOT NULL`).Scan(&service, &exists)
	if err != nil {
		return Map(err)
	}
	applied := map[string]string{}
	if exists {
		if applied, err = appliedSums(ctx, pool); err != nil {
			return err
		}
	}
	for _, m := range wanted {
		if _, ok := applied[m.key()]; !ok {
			return errs.E(errs.Unavailable, "SCHEMA_OLD", fmt.Sprintf(
				"The database lacks migration %s. Run `%s migrate` first.", m.path(), service), nil)
		}
	}
	return nil
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// appliedSums answers the checksum of each applied migration by its key.
func appliedSums(ctx context.Context, q Querier) (map[string]string, error) {
	sums := map[string]string{}
	rows, err := q.Query(ctx, "SELECT source, version, sha256 FROM schema_migrations")
	if err != nil {
		return nil, Map(err)
	}
	var m migration
	_, err = pgx.ForEachRow(rows, []any{&m.source, &m.version, &m.sha256}, func() error {
		sums[m.key()] = m.sha256
		return nil
	})
	return sums, Map(err)
}

func (m migration) key() string  { return fmt.Sprintf("%s/%d", m.source, m.version) }
func (m migration) path() string { return fmt.Sprintf("%s/%04d_%s", m.source, m.version, m.name) }

// load reads all migrations in the order they are to be applied.
func load(sources []Source) ([]migration, error) {
	var all []migration
	for _, source := range append([]Source{kit}, sources...) {
		files, err := fs.Glob(source.FS, "migrations/*.sql")
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		last := 0
		for _, file := range files {
			m, err := read(source, file)
			if err == nil && m.version <= last { // gaps are for branches that are merged later
				err = fmt.Errorf("number %04d is taken", m.version)
			}
			last = m.version
			if err != nil {
				return nil, errs.E(errs.Invalid, "MIGRATION_INVALID", "Migration "+source.Name+"/"+file+" is not usable.", err)
			}
			all = append(all, m)
		}
	}
	return all, nil
}

func read(source Source, file string) (migration, error) {
	number, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
	version, err := strconv.Atoi(number)
	if err != nil || len(number) != 4 || name == "" {
		return migration{}, cmp.Or(err, fmt.Errorf("the name is not NNNN_name.sql"))
	}
	sql, err := fs.ReadFile(source.FS, file)
	sum := sha256.Sum256(sql)
	return migration{source.Name, version, name, string(sql), hex.EncodeToString(sum[:])}, err
}

// Fingerprint is a checksum of all migrations of sources and of this package, in hexadecimal: equal for equal schemas.
func Fingerprint(sources ...Source) (string, error) {
	all, err := load(sources)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, m := range all {
		fmt.Fprintln(sum, m.path(), m.sha256)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
