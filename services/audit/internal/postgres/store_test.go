package postgres_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	store "github.com/onlinesms/onlinesms/services/audit/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

func TestPostgreSQLStore(t *testing.T) {
	ledgertest.RunStoreTests(t, func(t *testing.T) ledgertest.Subject {
		return store.NewStore(postgrestest.New(t, "audit", store.Sources...).DB)
	})
}

func BenchmarkAppend(b *testing.B) {
	s := store.NewStore(postgrestest.New(b, "audit", store.Sources...).DB)
	tenant := uuid.New()
	for b.Loop() {
		b.StopTimer()
		records := ledgertest.Records(tenant, "live", 100)
		b.StartTimer()
		if err := s.Append(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
}
