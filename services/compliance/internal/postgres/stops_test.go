package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// TestStopsWaitForNoImport: while a transaction holds a tenant's registry, as the end of an import does, a kill switch goes
// on.
func TestStopsWaitForNoImport(t *testing.T) {
	s, _, d := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	err := postgres.InTx(t.Context(), d.DB.Worker, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM registry_versions WHERE tenant_id = $1 FOR UPDATE`, f.Tenant); err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Stop(waiting, f.Tenant, registry.Stop{Scope: registry.StopTenant, Reason: "attack", Actor: "key/k1"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.Stops(t.Context(), f.Tenant); err != nil || len(all.Stops) != 1 {
		t.Errorf("%+v %v", all, err)
	}
}
