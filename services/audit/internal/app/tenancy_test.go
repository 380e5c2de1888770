package app

import (
	"testing"

	store "github.com/onlinesms/onlinesms/services/audit/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// Item 25: tenants are kept apart in every table and partition of the migrated database.
func TestItem25EveryTableIsTheTenants(t *testing.T) {
	postgrestest.CheckTenancy(t, postgrestest.New(t, "audit", store.Sources...))
}
