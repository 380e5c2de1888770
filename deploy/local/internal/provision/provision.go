// Package provision makes a database and three roles for each service: what a database administrator does once, before
// the service's own migrations. The owner migrates, the worker reads and writes across tenants, the tenant role sees
// the rows of one tenant; none of them is a superuser or passes row-level security by (design section 6).
package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Kinds of roles each service has, appended to its name with an underscore.
var Kinds = []string{"owner", "worker", "tenant"}

// OpenPasswords reads the passwords of all roles from file and makes those that are missing (128 random bits).
func OpenPasswords(file string, services []string) (map[string]string, error) {
	passwords := map[string]string{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &passwords)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	for _, service := range services {
		for _, kind := range Kinds {
			if role := service + "_" + kind; passwords[role] == "" {
				passwords[role] = rand.Text()
			}
		}
	}
	if data, err = json.MarshalIndent(passwords, "", "  "); err != nil {
		return nil, err
	}
	return passwords, os.WriteFile(file, append(data, '\n'), 0o600)
}

// Databases makes what is missing and sets the roles' passwords. admin names a superuser.
func Databases(ctx context.Context, admin string, services []string, passwords map[string]string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer closing(ctx, conn)
	for _, service := range services {
		for _, kind := range Kinds {
			if err := ensureRole(ctx, conn, service+"_"+kind, passwords[service+"_"+kind]); err != nil {
				return fmt.Errorf("role %s_%s: %w", service, kind, err)
			}
		}
		if err := ensureDatabase(ctx, conn, service); err != nil {
			return fmt.Errorf("database %s: %w", service, err)
		}
	}
	return nil
}

// closing ends a connection on which every statement has been answered.
func closing(ctx context.Context, conn *pgx.Conn) { _ = conn.Close(context.WithoutCancel(ctx)) }

func ensureRole(ctx context.Context, conn *pgx.Conn, role, password string) error {
	verb := "CREATE"
	if found, err := exists(ctx, conn, "SELECT FROM pg_roles WHERE rolname = $1", role); err != nil {
		return err
	} else if found {
		verb = "ALTER"
	}
	_, err := conn.Exec(ctx, fmt.Sprintf(
		"%s ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION PASSWORD '%s'",
		verb, role, strings.ReplaceAll(password, "'", "''")))
	return err
}

func ensureDatabase(ctx context.Context, conn *pgx.Conn, service string) error {
	found, err := exists(ctx, conn, "SELECT FROM pg_database WHERE datname = $1", service)
	if err != nil {
		return err
	}
	statements := []string{
		"REVOKE ALL ON DATABASE %[1]s FROM PUBLIC",
		"GRANT CONNECT ON DATABASE %[1]s TO %[1]s_worker, %[1]s_tenant",
		"ALTER DATABASE %[1]s SET onlinesms.service = '%[1]s'", // by it a service's migrations know its roles
	}
	if !found {
		// The C collation compares bytes: the order of keys does not change with the system's library.
		statements = append([]string{
			"CREATE DATABASE %[1]s OWNER %[1]s_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'",
		}, statements...)
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, service)); err != nil {
			return err
		}
	}
	return nil
}

func exists(ctx context.Context, conn *pgx.Conn, query, name string) (found bool, err error) {
	err = conn.QueryRow(ctx, "SELECT EXISTS ("+query+")", name).Scan(&found)
	return found, err
}

// Drop drops the databases and roles of the services, for a server that is not ours to delete.
func Drop(ctx context.Context, admin string, services []string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer closing(ctx, conn)
	for _, service := range services {
		if _, err := conn.Exec(ctx, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", service)); err != nil {
			return err
		}
		for _, kind := range Kinds {
			if _, err := conn.Exec(ctx, fmt.Sprintf("DROP ROLE IF EXISTS %s_%s", service, kind)); err != nil {
				return err
			}
		}
	}
	return nil
}
