package preference_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference/preferencetest"
)

func openSet(t testing.TB, dir string) *preference.Set {
	t.Helper()
	s, err := preference.OpenSet(dir, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// The list in memory and the real one are held to the same.
func TestLists(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		preferencetest.RunListTests(t, func(*testing.T) preferencetest.List { return &preferencetest.MemoryList{} })
	})
	t.Run("set", func(t *testing.T) {
		preferencetest.RunListTests(t, func(t *testing.T) preferencetest.List { return openSet(t, t.TempDir()) })
	})
}

// A list compared with a map through random additions, removals, imports and restarts.
func TestSetAgreesWithMap(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	dir := t.TempDir()
	s, want := openSet(t, dir), map[preference.Number]bool{}
	number := func() preference.Number { return preference.Number(r.IntN(3000)) * 1_000_003 }
	for step := range 400 {
		switch r.IntN(20) {
		case 0:
			s = restartSet(t, s, dir)
		case 1:
			clear(want)
			var file strings.Builder
			for range 1 + r.IntN(1000) {
				n := number()
				want[n] = true
				file.WriteString(n.E164() + "\n")
			}
			if _, err := s.Import(context.Background(), preferencetest.NewRun(preference.Listed), strings.NewReader(file.String()), nil); err != nil {
				t.Fatal(err)
			}
		default:
			batch := make([]preference.Number, r.IntN(100))
			for i := range batch {
				batch[i] = number()
			}
			change, keep := s.Add, true
			if r.IntN(2) == 0 {
				change, keep = s.Remove, false
			}
			if err := change(batch...); err != nil {
				t.Fatal(err)
			}
			for _, n := range batch {
				if want[n] = true; !keep {
					delete(want, n)
				}
			}
		}
		if v := s.View(); v.Len() != len(want) {
			t.Fatalf("step %d: %d numbers, want %d", step, v.Len(), len(want))
		} else {
			v.Close()
		}
		for range 100 {
			if n := number(); s.Has(n) != want[n] || s.Has(n+1) {
				t.Fatalf("step %d: %d is %t, want %t", step, n, s.Has(n), want[n])
			}
		}
	}
}

func restartSet(t *testing.T, s *preference.Set, dir string) *preference.Set {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openSet(t, dir)
}

// An opt-out that comes while a new list is read in is in the new list.
func TestAddDuringImportIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openSet(t, dir)
	in := &paused{text: strings.NewReader("9876543210\n9876543211\n"), reached: make(chan struct{}), resume: make(chan struct{})}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := s.Import(context.Background(), preferencetest.NewRun(preference.Listed), in, nil); err != nil {
			t.Error(err)
		}
	})
	<-in.reached
	optedOut, back := preferencetest.MustNumber(t, "7000000000"), preferencetest.MustNumber(t, "9876543211")
	if err := s.Add(optedOut); err != nil {
		t.Error(err)
	}
	if err := s.Remove(back); err != nil {
		t.Error(err)
	}
	close(in.resume)
	wait.Wait()
	for range 2 {
		if !s.Has(optedOut) || s.Has(back) || !s.Has(preferencetest.MustNumber(t, "9876543210")) {
			t.Errorf("opted out %t, back %t", s.Has(optedOut), s.Has(back))
		}
		s = restartSet(t, s, dir)
	}
}

// paused is a file that stops at its begin until it may go on.
type paused struct {
	text            *strings.Reader
	reached, resume chan struct{}
	once            sync.Once
}

func (p *paused) Read(b []byte) (int, error) {
	p.once.Do(func() { close(p.reached); <-p.resume })
	return p.text.Read(b)
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "volume")
	s := open(t, dir)
	if _, err := s.Import(context.Background(), preferencetest.NewRun(preference.All), strings.NewReader("9876543210\n"), nil); err != nil {
		t.Fatal(err)
	}
	openSet(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 4 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	if _, err := preference.Open(dir); err == nil {
		t.Error("a second owner is let in")
	}
}
