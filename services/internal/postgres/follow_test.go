package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// The address may change while the pools are in use: one that works takes over, one that does not changes nothing.
func TestAddressIsFollowed(t *testing.T) {
	d := postgrestest.New(t, "ingest", notes)
	file := t.TempDir() + "/url"
	write := func(query string) {
		t.Helper()
		text := string(d.Config.URL)
		if strings.Contains(text, "?") {
			query = strings.Replace(query, "?", "&", 1)
		}
		if err := secret.Replace(file, []byte(text+query)); err != nil {
			t.Fatal(err)
		}
	}
	write("?application_name=one")
	cfg := d.Config
	cfg.URL = secret.File(file)
	db, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := func() (name string) {
		t.Helper()
		if err := db.Worker.QueryRow(t.Context(), "SELECT current_setting('application_name')").Scan(&name); err != nil {
			t.Error(err)
		}
		return name
	}
	held := hold(t, db.Worker)
	if got := name(); got != "one" {
		t.Errorf("connected as %q", got)
	}
	write("?application_name=two")
	await(t, "the new address", func() bool { return name() == "two" })
	write("?application_name=three&database=there_is_none")
	await(t, "the wrong address to be reported", func() bool {
		return strings.Contains(strings.Join(secret.Problems(), "\n"), "POSTGRES_URL keeps its earlier value")
	})
	if got := name(); got != "two" {
		t.Errorf("connected as %q", got)
	}
	if _, err := held.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("a connection in use was cut: %v", err)
	}
	held.Release()
}

func hold(t *testing.T, pool *pgxpool.Pool) *pgxpool.Conn {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		case <-tick.C:
		}
	}
}
