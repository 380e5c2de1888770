package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// The kinds of a service's roles, appended to its name with an underscore.
const (
	RoleOwner  = "owner"
	RoleWorker = "worker"
	RoleTenant = "tenant"
)

// provisionLock is the advisory lock of Provision, in the database of the admin's address. Roles belong to the whole
// server, and two concurrent CREATE ROLE fail with a unique violation.
const provisionLock int64 = 0x6f736d73_70726f76 // "osmsprov"

// names that need no quoting and leave room for "_tenant" within PostgreSQL's 63 bytes.
var names = regexp.MustCompile(`^[a-z][a-z0-9_]{0,50}$`)

// Provision makes the database <service> and the roles <service>_{owner,worker,tenant} with the passwords that
// password answers for each role's name (ASCII). It is idempotent: roles that exist get the password anew. adminURL
// names a superuser, or a role with CREATEDB, CREATEROLE and the membership PostgreSQL asks for.
func Provision(ctx context.Context, adminURL, service string, password func(role string) string) error {
	return ProvisionDatabase(ctx, adminURL, service, service, password)
}

// ProvisionDatabase is Provision for a database whose name differs from the service's, whose roles it uses.
func ProvisionDatabase(ctx context.Context, adminURL, database, service string, password func(role string) string) error {
	if !names.MatchString(database) || !names.MatchString(service) {
		return errs.E(errs.Invalid, "NAME_INVALID", "Database and service names are lower case letters, digits and _.", nil)
	}
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return Map(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", provisionLock); err != nil {
		return Map(err)
	}
	for _, kind := range []string{RoleOwner, RoleWorker, RoleTenant} {
		role := service + "_" + kind
		if err := ensureRole(ctx, conn, role, password(role)); err != nil {
			return Map(err)
		}
	}
	return Map(ensureDatabase(ctx, conn, database, service))
}

// ensureRole sends the SCRAM verifier, not the password: a failing statement stands in the server's log.
func ensureRole(ctx context.Context, conn *pgx.Conn, role, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists); err != nil {
		return err
	}
	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("%s ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION PASSWORD '%s'",
		verb, role, verifier))
	return err
}

func ensureDatabase(ctx context.Context, conn *pgx.Conn, database, service string) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		// The C collation compares bytes: the order of keys does not change with the system's library.
		_, err := conn.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s OWNER %s_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'", database, service))
		if err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"REVOKE ALL ON DATABASE %[1]s FROM PUBLIC",
		"GRANT CONNECT ON DATABASE %[1]s TO %[2]s_worker, %[2]s_tenant",
		"ALTER DATABASE %[1]s SET onlinesms.service = '%[2]s'", // read by onlinesms_role
	} {
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, database, service)); err != nil {
			return err
		}
	}
	return nil
}

// scramVerifier is what PostgreSQL stores of a password (RFC 5803 form, SCRAM-SHA-256 of RFC 7677, 4096 iterations).
// password is ASCII, so that SASLprep changes nothing.
func scramVerifier(password string) (string, error) {
	const iterations = 4096
	if password == "" || strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errs.E(errs.Invalid, "PASSWORD_INVALID", "A role's password is printable ASCII and not empty.", nil)
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails since Go 1.24
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	clientKey := keyed(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, enc(salt), enc(storedKey[:]), enc(keyed(salted, "Server Key"))), nil
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
