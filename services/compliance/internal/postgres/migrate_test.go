package postgres_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"

	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// TestRegistryMigrates: what stood in a table for each kind is the same registry afterwards.
func TestRegistryMigrates(t *testing.T) {
	before := fstest.MapFS{}
	for _, name := range []string{"migrations/0001_registry.sql", "migrations/0002_decisions.sql"} {
		raw, err := fs.ReadFile(store.Sources[1].FS, name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: raw}
	}
	d := postgrestest.New(t, "compliance", outbox.Source, postgres.Source{Name: "compliance", FS: before})
	tenant := uuid.New()
	for _, sql := range []string{
		`INSERT INTO registry_versions (tenant_id, version) VALUES ($1, 7)`,
		`INSERT INTO telemarketers VALUES ($1, '1302157243747322354', 'TM', 'TM-DF', '')`,
		`INSERT INTO entities VALUES ($1, '1701158019811140068', 'ABC Bank', 'active', '{1302157243747322354}', '')`,
		`INSERT INTO headers VALUES ($1, 'ABCBNK', '1701158019811140068', '', 'inactive')`,
		`INSERT INTO ctas VALUES ($1, '1701158019811140068', 'dynamic', 'https://abc.in/t?', '')`,
		`INSERT INTO templates VALUES ($1, '1107160000000000011', '1701158019811140068', '{ABCBNK}', 'service', 'suspended', 'x {#var#}', '{a}', '{untyped_allowed}', 9, 0)`,
	} {
		if _, err := d.DB.Worker.Exec(t.Context(), sql, tenant); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Migrate(t.Context(), d.Config, store.Sources...); err != nil {
		t.Fatal(err)
	}
	goods := 0
	const pe = "1701158019811140068"
	want := []registry.Object{
		{Kind: registry.Telemarketers, ID: "1302157243747322354", Detail: registry.Detail{Name: "TM", Role: "TM-DF"}},
		{Kind: registry.Entities, ID: pe, Detail: registry.Detail{Name: "ABC Bank", Chain: []string{"1302157243747322354"}}},
		{Kind: registry.Headers, ID: "ABCBNK", Entity: pe, Status: "inactive"},
		{Kind: registry.CTAs, Entity: pe, Detail: registry.Detail{Type: "dynamic", Value: "https://abc.in/t?"}},
		{Kind: registry.Templates, ID: "1107160000000000011", Entity: pe, Status: "suspended", Detail: registry.Detail{Body: "x {#var#}", Category: "service",
			Headers: []string{"ABCBNK"}, Variables: []string{"a"}, Overrides: []string{"untyped_allowed"}, MaxLength: 9, Goods: &goods}},
	}
	s := store.NewStore(d.DB, (&published{}).publish, newID, nil)
	got, err := s.Export(t.Context(), tenant)
	if err != nil || got.Version != 7 || len(got.Objects) != len(want) {
		t.Fatalf("%+v %v", got, err)
	}
	for i := range want {
		want[i].Settle()
		if g := got.Objects[i]; g.Key() != want[i].Key() || !registry.Same(&g, &want[i]) {
			t.Errorf("%+v, want %+v", g, want[i])
		}
	}
	if revisions, err := s.Revisions(t.Context(), tenant, "1107160000000000011"); err != nil || len(revisions) != 1 || revisions[0].Body != "x {#var#}" {
		t.Errorf("%+v %v", revisions, err)
	}
	postgrestest.CheckTenancy(t, d)
}
