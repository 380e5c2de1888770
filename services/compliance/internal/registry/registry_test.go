package registry_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// TestDemoFile reads the file that make up imports: its ids and texts are part of the run contract.
func TestDemoFile(t *testing.T) {
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := registry.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.NewSnapshot(f.Rows)
	if err != nil {
		t.Fatal(err)
	}
	e := s.Entity("1701158019811140068")
	if e == nil || e.Status != policy.Active || e.Chain.Status != policy.Active ||
		hex.EncodeToString(e.Chain.Hash) != "643606c77b50faade9b80953b40dcc2685529e185d8427fde5c3f3fae23284c1" {
		t.Errorf("entity: %+v", e)
	}
	if h := s.Header("512345"); h == nil || h.Kind != policy.PromotionalHeader || s.Header("abcbnk") != nil {
		t.Errorf("header: %+v", h)
	}
	for id, category := range map[string]policy.Category{
		"1107160000000000011": policy.Transactional, "1107160000000000022": policy.Service,
		"1107160000000000033": policy.Promotional, "1107160000000000044": policy.Service, "1107160000000000055": policy.Service,
	} {
		if tpl := s.Template(id); tpl == nil || tpl.Category != category || tpl.Unlisted {
			t.Errorf("template %s: %+v", id, tpl)
		}
	}
	if tpl := s.Template("1107160000000000055"); tpl.UntypedMax != 2000 || !tpl.Parsed.HasUntyped() {
		t.Errorf("override: %+v", tpl)
	}
}

func TestFileRefusals(t *testing.T) {
	const head = "tenant: {id: 01930000-0000-7000-8000-000000000001}\nregistry:\n"
	for want, yaml := range map[string]string{
		"tenant.id is missing":     "registry: {}",
		"is not 19 digits":         head + `  entities: [{id: "12"}]`,
		"status \"x\"":             head + `  entities: [{id: "1701158019811140068", status: x}]`,
		"is not registered":        head + `  headers: [{header: ABCBNK, entity: "1701158019811140068"}]`,
		"3 to 6 letters":           head + `  entities: [{id: "1701158019811140068"}]` + "\n" + `  headers: [{header: AB, entity: "1701158019811140068"}]`,
		"of the chain is not":      head + `  entities: [{id: "1701158019811140068", chain: ["1302157243747322354"]}]`,
		"category \"\"":            head + `  entities: [{id: "1701158019811140068"}]` + "\n" + `  templates: [{id: "1107160000000000011", entity: "1701158019811140068", body: x}]`,
		"the template is empty":    head + `  entities: [{id: "1701158019811140068"}]` + "\n" + `  templates: [{id: "1107160000000000011", entity: "1701158019811140068", category: service}]`,
		"unknown override \"all\"": head + `  entities: [{id: "1701158019811140068"}]` + "\n" + `  templates: [{id: "1107160000000000011", entity: "1701158019811140068", category: service, body: x, overrides: [all]}]`,
	} {
		if _, err := registry.ParseFile([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestBadRowIsLeftOut: one wrong template does not stop the others.
func TestBadRowIsLeftOut(t *testing.T) {
	const entity = "1701158019811140068"
	s, err := registry.NewSnapshot(registry.Rows{Entities: []registry.EntityRow{{ID: entity}},
		Templates: []registry.TemplateRow{
			{ID: "1107160000000000011", Entity: entity, Category: "service", Body: "fine"},
			{ID: "1107160000000000012", Entity: entity, Category: "service", Body: ""}}})
	if err == nil || s.Template("1107160000000000011") == nil || s.Template("1107160000000000012") != nil {
		t.Errorf("%v %+v", err, s)
	}
}

// TestStatusesThatDerive: a template whose own link is not whitelisted any more is marked, and the chain of a suspended
// telemarketer is not active.
func TestStatusesThatDerive(t *testing.T) {
	const entity, tm = "1701158019811140068", "1302157243747322354"
	s, err := registry.NewSnapshot(registry.Rows{
		Telemarketers: []registry.TelemarketerRow{{ID: tm, Role: "TM-DF", Status: "suspended"}},
		Entities:      []registry.EntityRow{{ID: entity, Chain: []string{tm}}},
		Templates:     []registry.TemplateRow{{ID: "1107160000000000011", Entity: entity, Category: "service", Body: "See https://abc.in/x now"}}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Template("1107160000000000011").Unlisted || s.Entity(entity).Chain.Telemarketer != policy.Suspended {
		t.Errorf("%+v %+v", s.Template("1107160000000000011"), s.Entity(entity))
	}
}

// source is a registry in memory.
type source struct {
	rows map[uuid.UUID]registry.Rows
	err  error
}

func (s *source) Versions(context.Context) (map[uuid.UUID]int64, error) {
	versions := map[uuid.UUID]int64{}
	for t, r := range s.rows {
		versions[t] = r.Version
	}
	return versions, s.err
}

func (s *source) Rows(_ context.Context, tenant uuid.UUID) (registry.Rows, error) {
	return s.rows[tenant], s.err
}

func TestRegistryFollowsItsSource(t *testing.T) {
	ctx, tenant := t.Context(), uuid.MustParse("01930000-0000-7000-8000-000000000001")
	src := &source{rows: map[uuid.UUID]registry.Rows{tenant: {Version: 1}}}
	r := registry.New(src)
	if r.Ready() == nil {
		t.Error("ready before it was loaded")
	}
	load := func() {
		t.Helper()
		if wrong, err := r.Load(ctx); wrong != nil || err != nil {
			t.Fatal(wrong, err)
		}
	}
	load()
	if r.Ready() != nil || r.Snapshot(tenant).Version() != 1 || r.Snapshot(uuid.Nil).Entity("x") != nil {
		t.Error("not loaded")
	}
	src.rows[tenant] = registry.Rows{Version: 3, Entities: []registry.EntityRow{{ID: "1701158019811140068"}}}
	if _, err := r.Refresh(ctx, tenant, 2); err != nil || r.Snapshot(tenant).Version() != 3 {
		t.Errorf("version %d, %v", r.Snapshot(tenant).Version(), err)
	}
	src.rows[tenant] = registry.Rows{Version: 2}
	if _, err := r.Refresh(ctx, tenant, 4); err != nil || r.Snapshot(tenant).Version() != 3 {
		t.Errorf("went back to version %d, %v", r.Snapshot(tenant).Version(), err)
	}
	src.err = errors.New("away")
	if _, err := r.Load(ctx); !errors.Is(err, src.err) {
		t.Error(err)
	}
}

func TestObjects(t *testing.T) {
	r := registry.Rows{Headers: []registry.HeaderRow{{Header: "ABCBNK"}}, Templates: []registry.TemplateRow{{ID: "1"}}}
	if diff := cmp.Diff([]string{"header/ABCBNK", "template/1"}, r.Objects()); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkLookUp(b *testing.B) {
	const entity = "1701158019811140068"
	s, err := registry.NewSnapshot(registry.Rows{Entities: []registry.EntityRow{{ID: entity}}})
	if err != nil {
		b.Fatal(err)
	}
	id := []byte(entity)
	b.ReportAllocs()
	for b.Loop() {
		if s.Entity(string(id)) == nil {
			b.Fatal("lost")
		}
	}
}
