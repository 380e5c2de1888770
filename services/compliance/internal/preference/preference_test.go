package preference_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference/preferencetest"
)

// TestBlocks runs the case file: a case is added without Go.
func TestBlocks(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases/blocks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Cases []struct {
			ID, Preference, Want string
			Now                  time.Time
			Goods                int
			Holiday              bool
		}
	}
	if err := yaml.Unmarshal(raw, &f); err != nil || len(f.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(f.Cases), err)
	}
	for _, c := range f.Cases {
		t.Run(c.ID, func(t *testing.T) {
			p, err := preference.Parse(c.Preference)
			if err != nil {
				t.Fatal(err)
			}
			if c.Now.IsZero() {
				c.Now = preferencetest.Noon
			}
			if got := p.Blocks(preference.Message{Goods: c.Goods, Mode: preference.SMS, At: c.Now, Holiday: c.Holiday}); got.String() != c.Want {
				t.Errorf("%s, want %s", got, c.Want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"9", "1|", "full,sms", "none,,sun", "promo,,,1", ",mail", ",,someday", ",,,10", "1,sms,sun,1,1", "purple", "1||2"} {
		if p, err := preference.Parse(s); err == nil {
			t.Errorf("%q is read as %s", s, p)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, s := range []string{"+916000000000", "+919999999999", "+919876543210"} {
		if n, ok := preference.ParseNumber(s); !ok || n.E164() != s {
			t.Errorf("%s is read as %s, %t", s, n.E164(), ok)
		}
	}
	for _, s := range []string{"", "+915999999999", "9876543210", "+9198765432100", "+91987654321", "+91987654321x", "+9298765432100"} {
		if _, ok := preference.ParseNumber(s); ok {
			t.Errorf("%q is read", s)
		}
	}
	if (&preference.Store{}).Look(preference.Numbers) != (preference.Result{}) {
		t.Error("no number has a preference")
	}
}

// Readers see one file or the other, whole, while files follow one another, and never one that is unmapped.
func TestReadersDuringSwaps(t *testing.T) {
	s := open(t, t.TempDir())
	files := []string{"9000000000,full\n9000000001,full\n", "9000000000,promo\n9000000001,promo\n"}
	importLines(t, s, preference.All, files[0])
	a, b := preferencetest.MustNumber(t, "9000000000"), preferencetest.MustNumber(t, "9000000001")
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !stop.Load() {
				v := s.View()
				if x, y := v.Look(a), v.Look(b); x != y || x.Preference == preference.None {
					t.Errorf("one view: %v and %v", x, y)
					stop.Store(true)
				}
				v.Close()
			}
		})
	}
	held := s.View()
	for i := range 8 {
		importLines(t, s, preference.All, files[(i+1)%2])
		if err := s.Update(preference.Change{Number: preference.Number(i), Preference: preference.Full}); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	readers.Wait()
	if held.Look(a).Preference != preference.Full {
		t.Error("a view that is held has another file's answer")
	}
	held.Close()
}

func TestLookUpsAllocateNothing(t *testing.T) {
	s, set := open(t, t.TempDir()), openSet(t, t.TempDir())
	importLines(t, s, preference.All, "9000000000,full\n9000000001,1,sms,sun,9\n")
	f := preference.NewFeedback(100, time.Hour)
	numbers, dst := []preference.Number{1, 3_000_000_000, 3_000_000_001}, make([]preference.Result, 3)
	n := testing.AllocsPerRun(100, func() {
		v := s.View()
		v.LookAll(dst, numbers)
		v.Close()
		s.Look(1)
		s.Freshness(preferencetest.Noon)
		set.Has(1)
		f.Put(1, preference.PreferenceBlocked, preferencetest.Noon)
		f.Has(1, preferencetest.Noon)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFeedback(t *testing.T) {
	const size = 1000
	f := preference.NewFeedback(size, time.Hour)
	now := preferencetest.Noon
	f.Put(1, preference.PreferenceBlocked, now)
	f.Put(2, preference.ExplicitBlocked, now)
	f.Put(3, preference.PreferenceBlocked, now)
	f.Forget(3)
	for _, test := range []struct {
		n    preference.Number
		at   time.Time
		want preference.Code
	}{{1, now, 650}, {2, now, 652}, {3, now, 0}, {4, now, 0}, {0, now, 0}, {1, now.Add(time.Hour - time.Second), 650}, {1, now.Add(time.Hour + time.Second), 0}} {
		if got := f.Has(test.n, test.at); got != test.want {
			t.Errorf("number %d at %s: %d, want %d", test.n, test.at, got, test.want)
		}
	}
	for i := range preference.Number(100 * size) { // far more than it holds: the newest stay
		f.Put(i, preference.PreferenceBlocked, now.Add(time.Duration(i)*time.Millisecond*100))
	}
	late, kept := now.Add(100*size*time.Millisecond*100), 0
	for i := range preference.Number(100 * size) {
		if f.Has(i, late) != 0 {
			kept++
		}
	}
	if kept < size*9/10 || kept > size+8 {
		t.Errorf("%d of %d kept", kept, size)
	}
}

func TestProgress(t *testing.T) {
	s := open(t, t.TempDir())
	var reports []preference.Progress
	const n = 2_500_000
	text := strings.Repeat("9876543210,full\n", n)
	if _, err := s.Import(context.Background(), preferencetest.NewRun(preference.All), strings.NewReader(text), func(p preference.Progress) { reports = append(reports, p) }); err != nil {
		t.Fatal(err)
	}
	last := reports[len(reports)-1]
	if len(reports) < 3 || last.Lines != n || last.Bytes != uint64(len(text)) || last.Wrong != 0 {
		t.Errorf("%d reports, the last %+v", len(reports), last)
	}
}
