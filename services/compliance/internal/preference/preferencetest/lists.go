package preferencetest

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// List is what a suppression list does for those who use it.
type List interface {
	Has(n preference.Number) bool
	Add(numbers ...preference.Number) error
	Remove(numbers ...preference.Number) error
	Import(ctx context.Context, run preference.Run, in io.Reader, report func(preference.Progress)) (preference.Run, error)
}

// RunListTests holds a suppression list to what it promises. open makes an empty one.
func RunListTests(t *testing.T, open func(*testing.T) List) {
	tests := map[string]func(*testing.T, List){
		"empty":                        func(t *testing.T, l List) { has(t, l, "9876543210", false) },
		"added and removed":            addedAndRemoved,
		"an import replaces":           importReplaces,
		"wrong lines change nothing":   wrongList,
		"many more than were imported": manyMore,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func has(t *testing.T, l List, national string, want bool) {
	t.Helper()
	if got := l.Has(MustNumber(t, national)); got != want {
		t.Errorf("%s suppressed: %t", national, got)
	}
}

func addedAndRemoved(t *testing.T, l List) {
	a, b := MustNumber(t, "9876543210"), MustNumber(t, "6000000000")
	for _, step := range []error{l.Add(a, b), l.Add(a), l.Remove(a), l.Remove(a)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	has(t, l, "9876543210", false)
	has(t, l, "6000000000", true)
	if err := l.Add(a); err != nil {
		t.Fatal(err)
	}
	has(t, l, "9876543210", true)
	if err := l.Add(preference.Numbers); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no number: %v", err)
	}
}

func importReplaces(t *testing.T, l List) {
	if err := l.Add(MustNumber(t, "9876543210")); err != nil {
		t.Fatal(err)
	}
	run, err := l.Import(context.Background(), NewRun(preference.Listed), strings.NewReader("number\n9876543211\r\n9876543212,none\n9999999999\n9876543211\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	has(t, l, "9876543210", false)
	has(t, l, "9876543211", true)
	has(t, l, "9876543212", false)
	has(t, l, "9999999999", true)
	if run.Numbers != 2 {
		t.Errorf("counts of %+v", run)
	}
}

func wrongList(t *testing.T, l List) {
	if err := l.Add(MustNumber(t, "9876543210")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Import(context.Background(), NewRun(preference.Listed), strings.NewReader("9876543211\nhello\nagain\n"), nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("error %v", err)
	}
	has(t, l, "9876543210", true)
	has(t, l, "9876543211", false)
}

func manyMore(t *testing.T, l List) {
	const n, step = 20_000, 199_999
	for i := preference.Number(0); i < n; i += 500 {
		batch := make([]preference.Number, 500)
		for j := range batch {
			batch[j] = (i + preference.Number(j)) * step
		}
		if err := l.Add(batch...); err != nil {
			t.Fatal(err)
		}
	}
	for i := preference.Number(0); i < n; i++ {
		if !l.Has(i*step) || l.Has(i*step+1) {
			t.Fatalf("number %d: %t, its neighbour %t", i, l.Has(i*step), l.Has(i*step+1))
		}
	}
}

// MemoryList is a list in a map. The zero value is empty.
type MemoryList struct{ register Memory }

// Has tells whether a number is suppressed.
func (m *MemoryList) Has(n preference.Number) bool {
	return m.register.Look(n).Preference != preference.None
}

// Add suppresses numbers.
func (m *MemoryList) Add(numbers ...preference.Number) error {
	return m.set(preference.Full, numbers)
}

// Remove lets numbers go.
func (m *MemoryList) Remove(numbers ...preference.Number) error {
	return m.set(preference.None, numbers)
}

func (m *MemoryList) set(p preference.Preference, numbers []preference.Number) error {
	m.register.mu.Lock()
	if m.register.numbers == nil {
		m.register.numbers = map[preference.Number]preference.Preference{}
	}
	m.register.mu.Unlock()
	for _, n := range numbers {
		if err := m.register.Update(preference.Change{Number: n, Preference: p}); err != nil {
			return err
		}
	}
	return nil
}

// Import replaces the list.
func (m *MemoryList) Import(ctx context.Context, run preference.Run, in io.Reader, report func(preference.Progress)) (preference.Run, error) {
	run, err := m.register.Import(ctx, run, in, report)
	run.Numbers = run.Suppressed
	return run, err
}
