package registry_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

func templateOf(id, body string) registry.Object {
	return registry.Object{Kind: registry.Templates, ID: id, Entity: "1701158019811140068", Detail: registry.Detail{Category: "service", Body: body}}
}

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
	s, err := registry.NewSnapshot(registry.Rows{Objects: []registry.Object{{Kind: registry.Entities, ID: entity},
		templateOf("1107160000000000011", "fine"), templateOf("1107160000000000012", "")}})
	if err == nil || s.Template("1107160000000000011") == nil || s.Template("1107160000000000012") != nil {
		t.Errorf("%v %+v", err, s)
	}
}

// TestStatusesThatDerive: a template whose own link is not whitelisted any more is marked, and the chain of a suspended
// telemarketer is not active.
func TestStatusesThatDerive(t *testing.T) {
	const entity, tm = "1701158019811140068", "1302157243747322354"
	s, err := registry.NewSnapshot(registry.Rows{Objects: []registry.Object{
		{Kind: registry.Telemarketers, ID: tm, Status: "suspended", Detail: registry.Detail{Role: "TM-DF"}},
		{Kind: registry.Entities, ID: entity, Detail: registry.Detail{Chain: []string{tm}}},
		templateOf("1107160000000000011", "See https://abc.in/x now")}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Template("1107160000000000011").Unlisted || s.Entity(entity).Chain.Telemarketer != policy.Suspended {
		t.Errorf("%+v %+v", s.Template("1107160000000000011"), s.Entity(entity))
	}
}

// source is a registry in memory.
type source struct {
	rows  map[uuid.UUID]registry.Rows
	stops map[uuid.UUID]registry.Stops
	err   error
	whole func() // called before everything that has changed is answered
}

func (s *source) Versions(context.Context) (map[uuid.UUID]registry.Versions, error) {
	versions := map[uuid.UUID]registry.Versions{}
	for t, r := range s.rows {
		versions[t] = registry.Versions{Registry: r.Version, Stops: s.stops[t].Version}
	}
	return versions, s.err
}

func (s *source) Rows(_ context.Context, tenant uuid.UUID, since int64, only []registry.Key) (registry.Rows, error) {
	if only == nil && s.whole != nil {
		s.whole()
	}
	all := s.rows[tenant]
	changed := registry.Rows{Version: all.Version}
	for _, o := range all.Objects {
		if o.Version > since && (only == nil || slices.Contains(only, o.Key())) {
			changed.Objects = append(changed.Objects, o)
		}
	}
	return changed, s.err
}

func (s *source) Stops(_ context.Context, tenant uuid.UUID) (registry.Stops, error) {
	return s.stops[tenant], s.err
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
	src.rows[tenant] = registry.Rows{Version: 3, Objects: []registry.Object{{Kind: registry.Entities, ID: "1701158019811140068", Version: 3}}}
	if _, err := r.Refresh(ctx, tenant, 2); err != nil || r.Snapshot(tenant).Version() != 3 {
		t.Errorf("version %d, %v", r.Snapshot(tenant).Version(), err)
	}
	src.rows[tenant] = registry.Rows{Version: 1} // the database was put back
	if load(); r.Snapshot(tenant).Version() != 1 || r.Snapshot(tenant).Entity("1701158019811140068") != nil {
		t.Errorf("version %d is held", r.Snapshot(tenant).Version())
	}
	src.err = errors.New("away")
	if _, err := r.Load(ctx); !errors.Is(err, src.err) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	r := registry.Rows{Objects: []registry.Object{{Kind: registry.Headers, ID: "ABCBNK"}, {Kind: registry.Templates, ID: "1"}}}
	if diff := cmp.Diff([]string{"headers/ABCBNK", "templates/1"}, r.Names()); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkLookUp finds templates among 100,000: the shards that a change shares against one map of all, in one run.
func BenchmarkLookUp(b *testing.B) {
	const n = 100_000
	objects := many(n)
	s := snapshotOf(b, objects...)
	plain := make(map[string]*registry.Template, n)
	ids := make([][]byte, 0, n)
	for _, o := range objects {
		if o.Kind == registry.Templates {
			plain[o.ID] = s.Template(o.ID)
			ids = append(ids, []byte(o.ID))
		}
	}
	took := func(find func(string) *registry.Template) time.Duration {
		start := time.Now()
		for i := range 5 * n {
			if find(string(ids[i*7919%len(ids)])) == nil {
				b.Fatal("lost")
			}
		}
		return time.Since(start) / (5 * n)
	}
	took(s.Template)
	sharded, whole := took(s.Template), took(func(id string) *registry.Template { return plain[id] })
	b.ReportAllocs()
	for b.Loop() {
		if s.Template(string(ids[0])) == nil {
			b.Fatal("lost")
		}
	}
	b.ReportMetric(float64(sharded.Nanoseconds()), "ns/look-up")
	b.ReportMetric(float64(sharded)/float64(whole), "x-of-one-map")
}
