// Package postgrestest gives a test a fresh PostgreSQL database, migrated, with the roles and the row-level security of
// production.
//
// All test processes of a user on a machine share one private server (package testbed, fsync off). The first one
// starts it by running its own test binary again, detached; it ends two minutes after its last client. Databases are
// cloned from a template made once for each set of migrations.
package postgrestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// deadline bounds the making of a database, the start of the server and a download of PostgreSQL included.
const deadline = 3 * time.Minute

// Database is a database of one test.
type Database struct {
	Config   postgres.Config // as a service gets it
	DB       *postgres.DB    // open; closed by the test's cleanup
	AdminURL string          // superuser, this database: to look past row-level security
	Name     string          // of the database
}

// New makes a database for service (its roles are <service>_worker and so on, shared by all test databases) with the
// migrations of sources and the partitions of today. It is dropped when the test ends. The test fails, and is not
// skipped, when no server can be had.
func New(t testing.TB, service string, sources ...postgres.Source) *Database {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	d, err := create(ctx, service, sources)
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	t.Cleanup(func() {
		if err := d.drop(); err != nil {
			t.Errorf("postgrestest: drop %s: %v", d.Name, err)
		}
	})
	return d
}

func create(ctx context.Context, service string, sources []postgres.Source) (*Database, error) {
	s, err := shared(ctx)
	if err != nil {
		return nil, err
	}
	template, err := s.template(ctx, service, sources)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	d := &Database{Name: "test_" + strings.ToLower(rand.Text())}
	d.AdminURL = s.url("", d.Name)
	d.Config = postgres.Config{
		URL:       secret.Ref(s.url(service+"_"+postgres.RoleWorker, d.Name)),
		TenantURL: secret.Ref(s.url(service+"_"+postgres.RoleTenant, d.Name)),
		OwnerURL:  secret.Ref(s.url(service+"_"+postgres.RoleOwner, d.Name)),
		MaxConns:  8,
	}
	if err := s.clone(ctx, template, d.Name, service); err != nil {
		return nil, fmt.Errorf("clone: %w", err)
	}
	if d.DB, err = postgres.Open(ctx, d.Config); err != nil {
		return nil, err
	}
	return d, postgres.EnsurePartitions(ctx, d.DB.Worker, time.Now()) // the template may be of yesterday
}

func (d *Database) drop() error {
	d.DB.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := shared(ctx)
	if err != nil {
		return err
	}
	return s.exec(ctx, "DROP DATABASE IF EXISTS "+d.Name+" WITH (FORCE)")
}

// clone copies template under a new name. The service is a setting of the database, which a copy does not inherit.
func (s *server) clone(ctx context.Context, template, name, service string) error {
	return s.exec(ctx,
		fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s OWNER %s_%s %s", name, template, service, postgres.RoleOwner, s.strategy),
		fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC", name),
		fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s_worker, %[2]s_tenant", name, service),
		fmt.Sprintf("ALTER DATABASE %s SET onlinesms.service = '%s'", name, service))
}

// template answers the name of the migrated database for these sources, and makes it when it is not there. Other
// processes that want the same wait for an advisory lock.
func (s *server) template(ctx context.Context, service string, sources []postgres.Source) (string, error) {
	sum, err := postgres.Fingerprint(sources...)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("template_%s_%.16s", service, sum)
	s.templates.Lock()
	defer s.templates.Unlock()
	if s.made[name] {
		return name, nil
	}
	err = s.locked(ctx, name, func(conn *pgx.Conn) error {
		var exists bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
		if err != nil || exists {
			return err
		}
		return s.makeTemplate(ctx, name, service, sources)
	})
	s.made[name] = err == nil
	return name, err
}

// makeTemplate works under another name and renames at the end: a killed test leaves no half template.
func (s *server) makeTemplate(ctx context.Context, name, service string, sources []postgres.Source) error {
	aside := "test_" + strings.ToLower(rand.Text())
	if err := postgres.ProvisionDatabase(ctx, s.admin, aside, service, s.rolePassword); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, postgres.Config{OwnerURL: secret.Ref(s.url(service+"_"+postgres.RoleOwner, aside))}, sources...); err != nil {
		return err
	}
	return s.exec(ctx, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", aside, name),
		fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false", name))
}
