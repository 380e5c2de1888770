package postgres_test

import (
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

func TestNew(t *testing.T) {
	for range 3 {
		d := postgrestest.New(t, "ingest")
		t.Log(d.Name)
	}
}
