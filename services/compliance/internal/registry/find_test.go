package registry_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// ids names the templates a text is of.
func idsOf(s *registry.Snapshot, text string, in registry.Among) (ids []string) {
	var m template.Matcher
	for _, t := range s.Find(&m, text, in, 10).Of {
		ids = append(ids, t.ID)
	}
	return ids
}

// TestFindFollowsTheSnapshot: whatever changes in whatever order, the index finds what one built anew finds, and an older
// version what was there then.
func TestFindFollowsTheSnapshot(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s := snapshotOf(t, base()...)
	held := map[string]registry.Object{}
	for step := range 400 {
		o := templateOf(fmt.Sprintf("11071600000001%05d", random.IntN(60)), fmt.Sprintf("Dear {#alphanumeric#}, body %d is here", random.IntN(40)))
		o.Status = []string{"active", "inactive"}[random.IntN(2)]
		before := s
		text := "Dear Asha, body 7 is here"
		was := idsOf(before, text, registry.Among{Now: time.Now()})
		if random.IntN(10) == 0 {
			o.Category = "nonsense" // takes it out
			s, _ = s.Apply(registry.Rows{Objects: []registry.Object{o}})
			delete(held, o.ID)
		} else {
			s = apply(t, s, o)
			held[o.ID] = o
		}
		if random.IntN(3) == 0 {
			continue // several changes are taken in at once
		}
		var want []string
		for id, h := range held {
			if h.Body == "Dear {#alphanumeric#}, body 7 is here" {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		got := idsOf(s, text, registry.Among{Now: time.Now()})
		slices.Sort(got)
		if len(want) <= 10 && !slices.Equal(got, want) {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
		if again := idsOf(before, text, registry.Among{Now: time.Now()}); !slices.Equal(again, was) {
			t.Fatalf("step %d: the version before finds %v after %v", step, again, was)
		}
	}
}

// TestFindTakesActiveOnesFirst: a suspended template is told, after those that can be sent with; a header or entity
// narrows the search.
func TestFindTakesActiveOnesFirst(t *testing.T) {
	off := templateOf("1107160000000000101", "Hello {#alphanumeric#}, bye")
	off.Status = "suspended_usage"
	linked := templateOf("1107160000000000102", "Hello {#alphanumeric#}, bye")
	linked.Headers = []string{"ABCBNK"}
	s := snapshotOf(t, append(base(), off, linked)...)
	now := time.Now()
	for name, c := range map[string]struct {
		in   registry.Among
		want []string
	}{
		"all":          {registry.Among{Now: now}, []string{linked.ID, off.ID}},
		"header":       {registry.Among{Now: now, Header: "ABCBNK"}, []string{linked.ID}},
		"entity":       {registry.Among{Now: now, Entity: pe}, []string{linked.ID, off.ID}},
		"other entity": {registry.Among{Now: now, Entity: "1701158019811140069"}, nil},
	} {
		if got := idsOf(s, "Hello Asha, bye", c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	var m template.Matcher
	near, _ := s.Nearest(&m, "hello Asha, bye", registry.Among{Now: now, Header: "ABCBNK"})
	if near == nil || near.ID != linked.ID {
		t.Errorf("nearest: %+v", near)
	}
	if near, _ := s.Nearest(&m, "quite another thing", registry.Among{Now: now}); near != nil {
		t.Errorf("nearest to nothing: %+v", near)
	}
}

// TestFindWhileTheRegistryChanges: searches of all versions at once, the first of each builds.
func TestFindWhileTheRegistryChanges(t *testing.T) {
	s := snapshotOf(t, base()...)
	var searches sync.WaitGroup
	for i := range 50 {
		s = apply(t, s, templateOf(fmt.Sprintf("11071600000002%05d", i), fmt.Sprintf("Version {#numeric#} of %d", i)))
		for range 3 {
			version := s
			searches.Go(func() {
				if got := idsOf(version, fmt.Sprintf("Version 1 of %d", i), registry.Among{Now: time.Now()}); len(got) != 1 {
					t.Errorf("%d: %v", i, got)
				}
			})
		}
	}
	searches.Wait()
}

// TestPortalsSyntax: a template is read as its portal writes it.
func TestPortalsSyntax(t *testing.T) {
	o := templateOf("1107160000000000111", "{#number#} is your code, {#numeric#} is not")
	o.Portal = "jio"
	if got := snapshotOf(t, append(base(), o)...).Template(o.ID).Parsed.Variables(); len(got) != 1 {
		t.Errorf("Jio's: %+v", got)
	}
	o.Portal = ""
	if got := snapshotOf(t, append(base(), o)...).Template(o.ID).Parsed.Variables(); len(got) != 2 {
		t.Errorf("any portal's: %+v", got)
	}
	o.Portal = "nokia"
	if wrong := registry.Check(&o); len(wrong) != 1 || !strings.Contains(wrong[0].Detail, "nokia") {
		t.Errorf("%+v", wrong)
	}
}

// BenchmarkMemory prints what a snapshot of 100,000 templates keeps in memory, without and with its index.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		objects := base()
		for i := range 100_000 {
			o := templateOf(fmt.Sprintf("110716000008%07d", i), fmt.Sprintf("Dear {#alphanumeric#}, your ticket %d of {#numeric#} is ready at the counter of ABC. Please bring it along. - ABCBNK", i))
			o.Headers = []string{strings.Clone("ABCBNK")}
			objects = append(objects, o)
		}
		before := heap()
		s := snapshotOf(b, objects...)
		held := heap()
		start := time.Now()
		size := s.Index().Len()
		took := time.Since(start)
		indexed := heap()
		b.ReportMetric(float64(held-before)/(1<<20), "MiB-snapshot")
		b.ReportMetric(float64(indexed-held)/(1<<20), "MiB-index")
		b.ReportMetric(float64(took.Milliseconds()), "ms-index")
		runtime.KeepAlive(objects)
		runtime.KeepAlive(s)
		if size != 100_002 {
			b.Fatal(size)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
