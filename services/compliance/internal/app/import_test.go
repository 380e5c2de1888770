package app

import (
	"os"
	"testing"

	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// TestImportWaitsForNobody: without NATS the registry is imported all the same, and announced by the relay later.
func TestImportWaitsForNobody(t *testing.T) {
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	must(t, err)
	demo, err := registry.ParseFile(raw)
	must(t, err)
	database := postgrestest.New(t, name, store.Sources...)
	must(t, importFile(t.Context(), importConfig{Postgres: database.Config}, demo))
	var waiting int
	must(t, database.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&waiting))
	if waiting != 1 {
		t.Errorf("%d announcements wait", waiting)
	}
}
