package postgres_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// Item 8, the database's part: a service neither migrates nor starts by an address that could go over the wire in clear
// or to a server nobody vouches for, and says how to mend it. The addresses name ports where nothing listens: what
// passes is told by being unavailable.
func TestItem8AddressesWithoutVerifiedTLSAreRefused(t *testing.T) {
	ca := rootCert(t, postgrestest.New(t, "ingest").Config.URL)
	verified := "?sslmode=verify-full&sslrootcert=" + ca
	for _, test := range []struct {
		address, tls string
		ok           bool
	}{
		{"postgres://u:p@127.0.0.1:1/db" + verified, "", true},
		{"postgres://u:p@127.0.0.1:1,localhost:1/db" + verified, "verify-full", true},
		{"host=localhost port=1 user=u dbname=db sslmode=verify-full sslrootcert=" + ca, "", true},
		{"host=/nonexistent user=u dbname=db", "", true}, // a unix socket
		{"postgres://u:p@127.0.0.1:1/db", "", false},     // prefer: falls back to clear
		{"postgres://u:p@127.0.0.1:1/db?sslmode=disable", "", false},
		{"postgres://u:p@127.0.0.1:1/db?sslmode=allow", "", false},
		{"postgres://u:p@127.0.0.1:1/db?sslmode=require", "", false},
		{"postgres://u:p@127.0.0.1:1/db?sslmode=verify-ca&sslrootcert=" + ca, "", false},
		{"postgres://u:p@127.0.0.1:1/db?sslmode=require&sslrootcert=" + ca, "", false}, // as verify-ca: any name
		{"postgres://u:p@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nonexistent", "", false},
		{"postgres://u:p@127.0.0.1:1/db?sslmode=disable", "off", true},
		{"postgres://u:p@[::1]:1/db", "off", true},
		{"postgres://u:p@localhost:1/db?sslmode=disable", "off", true},
		{"postgres://u:p@192.0.2.1:1/db?sslmode=disable", "off", false},
		{"postgres://u:p@db.example:1/db?sslmode=disable", "off", false},
		{"postgres://u:p@127.0.0.1:1,192.0.2.1:1/db?sslmode=disable", "off", false}, // one of two
		{"postgres://u:p@127.0.0.1:1/db" + verified, "on", false},
	} {
		t.Run(test.address+" "+test.tls, func(t *testing.T) {
			address := secret.Ref(test.address)
			cfg := postgres.Config{OwnerURL: address, TLS: test.tls}
			err := postgres.Migrate(t.Context(), cfg)
			if want := map[bool]errs.Kind{true: errs.Unavailable, false: errs.Invalid}[test.ok]; errs.KindOf(err) != want {
				t.Errorf("Migrate = %v", err)
			}
			if test.ok {
				return // Open would wait for the server
			}
			if strings.Contains(err.Error(), "u:p") {
				t.Errorf("the error quotes the address: %v", err)
			}
			cfg.URL, cfg.TenantURL = address, address
			if _, err := postgres.Open(t.Context(), cfg); errs.KindOf(err) != errs.Invalid {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

func rootCert(t *testing.T, address secret.Ref) string {
	t.Helper()
	u, err := url.Parse(string(address))
	if err != nil || u.Query().Get("sslrootcert") == "" {
		t.Fatalf("the tests' server names no authority: %v", err)
	}
	return u.Query().Get("sslrootcert")
}

// A server whose certificate is of another authority is not believed, whatever it says.
func TestUnknownAuthorityIsRefused(t *testing.T) {
	d := postgrestest.New(t, "ingest")
	dir := t.TempDir()
	if err := devca.Create(dir); err != nil {
		t.Fatal(err)
	}
	address := strings.Replace(string(d.Config.OwnerURL), url.QueryEscape(rootCert(t, d.Config.OwnerURL)),
		url.QueryEscape(dir+"/ca.pem"), 1)
	cfg := postgres.Config{OwnerURL: secret.Ref(address)}
	if err := postgres.Migrate(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Migrate = %v", err)
	}
}
