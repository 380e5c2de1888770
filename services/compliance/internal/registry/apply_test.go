package registry_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

const (
	pe = "1701158019811140068"
	tm = "1302157243747322354"
)

// base is a small registry: an entity with its chain, a header, a link and templates with and without it.
func base() []registry.Object {
	return []registry.Object{
		{Kind: registry.Telemarketers, ID: tm, Detail: registry.Detail{Role: "TM-DF"}},
		{Kind: registry.Entities, ID: pe, Detail: registry.Detail{Chain: []string{tm}}},
		{Kind: registry.Headers, ID: "ABCBNK", Entity: pe},
		{Kind: registry.CTAs, Entity: pe, Detail: registry.Detail{Type: "static", Value: "https://abc.in/x"}},
		templateOf("1107160000000000011", "See https://abc.in/x now"),
		templateOf("1107160000000000012", "no link, {#numeric#}"),
	}
}

func snapshotOf(t testing.TB, objects ...registry.Object) *registry.Snapshot {
	t.Helper()
	s, err := registry.NewSnapshot(registry.Rows{Version: 1, Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t testing.TB, s *registry.Snapshot, objects ...registry.Object) *registry.Snapshot {
	t.Helper()
	next, err := s.Apply(registry.Rows{Version: s.Version() + 1, Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Requirement 16: the calls to action in templates' own text are looked at when a template is loaded, and again when a
// call to action is taken out or put back.
func TestRequirement16FixedCTAsAreLookedAtAgain(t *testing.T) {
	s := snapshotOf(t, base()...)
	linked, other := "1107160000000000011", "1107160000000000012"
	if s.Template(linked).Unlisted || s.Template(other).Unlisted {
		t.Fatal("a whitelisted link is not found")
	}
	cta := base()[3]
	off := apply(t, s, cta.WithStatus("", "inactive"))
	if !off.Template(linked).Unlisted || off.Template(other).Unlisted || s.Template(linked).Unlisted {
		t.Error("the link is taken out, and its template not found, or the version before was changed")
	}
	if on := apply(t, off, cta); on.Template(linked).Unlisted {
		t.Error("the link is back, its template not")
	}
}

// Requirement 40, the part of the registry: a chain that is missing, inactive or has an inactive telemarketer is not
// active; the last telemarketer is told for the route's.
func TestRequirement40ChainState(t *testing.T) {
	s := snapshotOf(t, base()...)
	if e := s.Entity(pe); e.Chain != policy.Active || e.DF != tm || len(e.ChainHash) != 32 {
		t.Fatalf("%+v", e)
	}
	suspended := base()[0].WithStatus("", "suspended")
	if e := apply(t, s, suspended).Entity(pe); e.Chain != policy.Suspended {
		t.Errorf("with a suspended telemarketer: %v", e.Chain)
	}
	if e := apply(t, apply(t, s, suspended), base()[0]).Entity(pe); e.Chain != policy.Active {
		t.Errorf("with the telemarketer back: %v", e.Chain)
	}
	none := base()[1]
	none.Chain = nil
	if e := apply(t, s, none).Entity(pe); e.Chain != policy.Unknown || e.ChainHash != nil {
		t.Errorf("without a chain: %+v", e)
	}
}

// Requirement 43: the portal's hash is compared with the computed one; a difference is named and stops the chain.
func TestRequirement43PortalHash(t *testing.T) {
	objects := base()
	objects[1].PortalHash = "643606c77b50faade9b80953b40dcc2685529e185d8427fde5c3f3fae23284c1"
	if e := snapshotOf(t, objects...).Entity(pe); e.Chain != policy.Active {
		t.Errorf("equal hashes: %v", e.Chain)
	}
	objects[1].PortalHash = strings.Repeat("0", 64)
	s, err := registry.NewSnapshot(registry.Rows{Objects: objects})
	if err == nil || !strings.Contains(err.Error(), "chain hash") || s.Entity(pe).Chain == policy.Active {
		t.Errorf("%v %v", err, s.Entity(pe).Chain)
	}
	if r, differs := registry.ChainDiffers(&objects[1], time.Now()); !differs || r.Reason != "CHAIN_HASH_DIFFERS" {
		t.Errorf("%+v", r)
	}
}

// Requirement 2: a status with an operator counts on his routes only, the portal-wide one on all.
func TestRequirement2StatusPerOperator(t *testing.T) {
	objects := base()
	objects[2].Operators = map[string]string{"VI": "inactive", "JIO": "active"}
	h := snapshotOf(t, objects...).Header("ABCBNK")
	for operator, want := range map[string]policy.Status{"VI": policy.Inactive, "JIO": policy.Active, "AIRTEL": policy.Active, "": policy.Active} {
		if got := h.At(time.Now(), operator); got != want {
			t.Errorf("at %q: %v", operator, got)
		}
	}
	objects[2].Status = "blacklisted"
	if got := snapshotOf(t, objects...).Header("ABCBNK").At(time.Now(), "JIO"); got != policy.Blacklisted {
		t.Errorf("blacklisted portal-wide: %v at JIO", got)
	}
}

// Requirement 8: before its validity an object is inactive, after it suspended, to the second.
func TestRequirement8Validity(t *testing.T) {
	from, until := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	objects := base()
	objects[4].ValidFrom, objects[4].ValidUntil = from, until
	tpl := snapshotOf(t, objects...).Template("1107160000000000011")
	for at, want := range map[time.Time]policy.Status{from.Add(-time.Second): policy.Inactive, from: policy.Active,
		until.Add(-time.Second): policy.Active, until: policy.Suspended} {
		if got := tpl.At(at, ""); got != want {
			t.Errorf("at %v: %v", at, got)
		}
	}
}

// TestApplyIsNewSnapshot: whatever changes in whatever order, applying it gives what building anew gives.
func TestApplyIsNewSnapshot(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	statuses := []string{"active", "inactive", "suspended_usage", "blacklisted"}
	held := map[registry.Key]registry.Object{}
	s, _ := registry.NewSnapshot(registry.Rows{})
	for step := range 2000 {
		objects := base()
		o := objects[random.IntN(len(objects))]
		if o.Kind == registry.Templates && random.IntN(2) == 0 {
			o.ID = fmt.Sprintf("11071600000000%05d", random.IntN(50))
		}
		o.Status = statuses[random.IntN(len(statuses))]
		o.Settle()
		held[o.Key()] = o
		s, _ = s.Apply(registry.Rows{Version: int64(step), Objects: []registry.Object{o}})
		if step%50 == 0 {
			compare(t, s, held)
		}
	}
}

// compare holds s against a snapshot built of everything at once. Rows that refer to what is not there yet are left out
// of s when they come, so they are given again first, as a registrar would.
func compare(t *testing.T, s *registry.Snapshot, held map[registry.Key]registry.Object) {
	t.Helper()
	var all []registry.Object
	for _, o := range held {
		all = append(all, o)
	}
	s, _ = s.Apply(registry.Rows{Objects: all})
	want, _ := registry.NewSnapshot(registry.Rows{Objects: all})
	for k := range held {
		switch k.Kind {
		case registry.Templates:
			g, w := s.Template(k.ID), want.Template(k.ID)
			if (g == nil) != (w == nil) || g != nil && (g.Status != w.Status || g.Unlisted != w.Unlisted || g.Parsed.Body() != w.Parsed.Body()) {
				t.Fatalf("%s: %+v, want %+v", k, g, w)
			}
		case registry.Headers:
			g, w := s.Header(k.ID), want.Header(k.ID)
			if (g == nil) != (w == nil) || g != nil && g.Status != w.Status {
				t.Fatalf("%s: %+v, want %+v", k, g, w)
			}
		case registry.Entities:
			g, w := s.Entity(k.ID), want.Entity(k.ID)
			if (g == nil) != (w == nil) || g != nil && (g.Status != w.Status || g.Chain != w.Chain) {
				t.Fatalf("%s: %+v, want %+v", k, g, w)
			}
		}
	}
}

// TestStops: the widest stop that covers a message is told; others are untouched.
func TestStops(t *testing.T) {
	tenant := uuid.New()
	src := &source{rows: map[uuid.UUID]registry.Rows{tenant: {Version: 1, Objects: base()}}, stops: map[uuid.UUID]registry.Stops{}}
	r := registry.New(src)
	load := func(stops ...registry.Stop) *registry.Snapshot {
		t.Helper()
		src.stops[tenant] = registry.Stops{Version: src.stops[tenant].Version + 1, Stops: stops}
		if _, err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.Snapshot(tenant)
	}
	s := load(registry.Stop{Scope: registry.StopHeader, Object: "ABCBNK"}, registry.Stop{Scope: registry.StopTemplate, Object: "1107160000000000011"})
	for message, want := range map[[3]string]registry.Scope{
		{pe, "ABCBNK", "1107160000000000011"}: registry.StopHeader, {pe, "512345", "1107160000000000011"}: registry.StopTemplate,
		{pe, "abcbnk", "1107160000000000012"}: "",
	} {
		if stop, on := s.Stopped(message[0], message[1], message[2]); stop.Scope != want || on != (want != "") {
			t.Errorf("%v: %v %v", message, stop, on)
		}
	}
	if stop, _ := load(registry.Stop{Scope: registry.StopTenant}, registry.Stop{Scope: registry.StopEntity, Object: pe}).Stopped(pe, "x", "y"); stop.Scope != registry.StopTenant {
		t.Errorf("%v", stop)
	}
	src.rows[tenant] = registry.Rows{Version: 2, Objects: base()} // a change of the registry keeps them
	if _, err := r.Refresh(t.Context(), tenant, 2); err != nil {
		t.Fatal(err)
	}
	if _, on := r.Snapshot(tenant).Stopped(pe, "x", "y"); !on {
		t.Error("a change of the registry took the stops off")
	}
	if _, on := load().Stopped(pe, "x", "y"); on {
		t.Error("still stopped")
	}
}

// many is a registry with so many templates.
func many(n int) []registry.Object {
	objects := base()
	for i := range n {
		objects = append(objects, templateOf(fmt.Sprintf("11071600001%08d", i), fmt.Sprintf("Dear {#alphanumeric#}, order %d shipped", i)))
	}
	return objects
}

// BenchmarkApply changes one template: what it costs among 100,000 against among 1,000, and against building anew, in one
// run.
func BenchmarkApply(b *testing.B) {
	one := templateOf("1107160000100000000", "another text {#numeric#}")
	cost := map[int]time.Duration{}
	var anew time.Duration
	for _, n := range []int{1000, 1000, 100_000} { // the first warms up
		objects := many(n)
		start := time.Now()
		s := snapshotOf(b, objects...)
		anew = time.Since(start)
		start = time.Now()
		const rounds = 200
		for range rounds {
			s = apply(b, s, one)
		}
		cost[n] = time.Since(start) / rounds
	}
	for b.Loop() {
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(cost[100_000].Nanoseconds())/1000, "us/change")
	b.ReportMetric(float64(cost[100_000])/float64(cost[1000]), "x-of-1k")
	b.ReportMetric(float64(anew)/float64(cost[100_000]), "x-faster-than-anew")
}
