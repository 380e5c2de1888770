// Package preferencetest says what a preference register and a suppression list do, as tests, and has both in memory.
package preferencetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Register is what a preference store does for those who use it.
type Register interface {
	Look(n preference.Number) preference.Result
	Freshness(now time.Time) (preference.Run, bool)
	Import(ctx context.Context, run preference.Run, in io.Reader, report func(preference.Progress)) (preference.Run, error)
	Update(changes ...preference.Change) error
}

// Memory is a register in a map. The zero value is empty.
type Memory struct {
	mu      sync.Mutex
	run     preference.Run
	numbers map[preference.Number]preference.Preference
}

// Look answers for one number.
func (m *Memory) Look(n preference.Number) preference.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.numbers[n]
	return preference.Result{Preference: p, Scrubbed: ok || m.numbers != nil && m.run.Coverage == preference.All}
}

// Freshness is the run in force and whether it is valid at an instant.
func (m *Memory) Freshness(now time.Time) (preference.Run, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run, m.run.Fresh(now)
}

// Import reads a scrub's result and puts it in force.
func (m *Memory) Import(ctx context.Context, run preference.Run, in io.Reader, _ func(preference.Progress)) (preference.Run, error) {
	if run.ID == [16]byte{} || run.Provider == "" || len(run.Reference) > 126 || run.At.IsZero() || run.Expires.Before(run.At) || run.Coverage > preference.All {
		return preference.Run{}, errs.E(errs.Invalid, preference.ReasonRunInvalid, "run", nil)
	}
	numbers, wrong := map[preference.Number]preference.Preference{}, errs.E(errs.Invalid, preference.ReasonFileInvalid, "file", nil)
	for s := bufio.NewScanner(in); s.Scan(); {
		run.Lines++
		if err := line(s.Text(), run.Lines, numbers); err != nil {
			wrong.Violations = append(wrong.Violations, errs.Violation{Field: fmt.Sprintf("line %d", run.Lines), Reason: "FORMAT", Detail: err.Error()})
		}
	}
	if len(wrong.Violations) > 0 || len(numbers) == 0 {
		return preference.Run{}, wrong
	}
	if err := ctx.Err(); err != nil {
		return preference.Run{}, err
	}
	for _, p := range numbers {
		if run.Numbers++; p != preference.None {
			run.Suppressed++
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run, m.numbers = run, numbers
	return run, nil
}

func line(text string, at uint64, numbers map[preference.Number]preference.Preference) error {
	number, rest, _ := strings.Cut(text, ",")
	if text == "" || at == 1 && number == "number" {
		return nil
	}
	n, ok := preference.ParseNumber("+91" + number[max(0, len(number)-10):])
	if !ok {
		return fmt.Errorf("no number")
	}
	p, err := preference.Parse(rest)
	if err == nil {
		numbers[n] = p
	}
	return err
}

// Update makes changes.
func (m *Memory) Update(changes ...preference.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.numbers == nil {
		return errs.E(errs.Unavailable, preference.ReasonNoRun, "no file", nil)
	}
	for _, c := range changes {
		if again, err := preference.Parse(c.Preference.String()); c.Number >= preference.Numbers || err != nil || again != c.Preference {
			return errs.E(errs.Invalid, preference.ReasonFileInvalid, "change", nil)
		}
	}
	for _, c := range changes {
		m.numbers[c.Number] = c.Preference
	}
	return nil
}
