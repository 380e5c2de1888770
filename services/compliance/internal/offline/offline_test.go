package offline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/offline"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

const (
	pe      = "1701158019811140068"
	otp     = "1107160000000000011"
	shipped = "1107160000000000022"
)

// settings are the demo registry at noon.
func settings(t testing.TB) offline.Config {
	t.Helper()
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
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 2, 1, 12, 0, 0, 0, policy.IST)
	return offline.Config{Registry: s, Pack: packs.At(noon), Now: noon, Env: "live", Defaults: offline.Line{EntityID: pe, Header: "ABCBNK", Template: otp}}
}

// outcomes are the lines of a file as number:outcome:first reason or error.
func outcomes(t *testing.T, cfg offline.Config, in offline.Reader) (all []string) {
	t.Helper()
	err := offline.Scrub(t.Context(), cfg, in, func(r *offline.Result) error {
		word := ""
		switch {
		case r.Err != nil:
			word = r.Err.Error()
		case len(r.Decision.Reasons) > 0:
			word = r.Decision.Reasons[0].Code
		}
		all = append(all, fmt.Sprintf("%d:%s:%s", r.Line, r.Outcome(), word))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const good = "482913 is your OTP for ABC login. Do not share it. - ABCBNK"

// TestNDJSON: every line has an outcome under its number, also those that are no messages; none of them is repeated.
func TestNDJSON(t *testing.T) {
	file := `{"to":"9876543210","text":"` + good + `"}

{"to":"+919876543210","entity_id":"` + pe + `","header":"ABCBNK","template_id":"` + shipped + `","variables":[{"value":"Asha"},{"value":"1"},{"value":"https://abc.in/t?x"}]}
{"to":"12","text":"` + good + `"}
{"to":"9876543210","text":"` + good + `"
{"to":"9876543210","texte":"x"}
{"to":9876543210}
{"to":"9876543210","text":"` + strings.Repeat("x", 2001) + `"}
{"to":"9876543210","text":"x","variables":[{"value":"1"}]}
{"to":"9876543210","text":"` + strings.Repeat("x", 70<<10) + `"}
{"to":"9876543210","text":"` + good + `","scheduleTime":"2026-02-01T18:00:00+05:30"}
{"to":"9876543210","text":"nothing of the kind"}`
	check(t, outcomes(t, settings(t), offline.NewNDJSON(strings.NewReader(file))),
		"1:CLEARED:",
		"3:CLEARED:",
		"4:REFUSED:RECIPIENT_INVALID",
		"5:INVALID:not a message: not JSON",
		`6:INVALID:not a message: unknown field "texte"`,
		`7:INVALID:not a message: field "to" is of another type`,
		"8:INVALID:the text has more than 2000 UTF-16 units",
		"9:INVALID:there are both a text and variables",
		"10:INVALID:the line has more than 64 KiB",
		"11:HELD:SCHEDULED",
		"12:REFUSED:TEMPLATE_NOT_MATCHED")
}

// TestCSV: columns by their names or mapped, values by position or name, lines by their number in the file.
func TestCSV(t *testing.T) {
	read := func(file string, columns map[string]string) offline.Reader {
		t.Helper()
		r, err := offline.NewCSV(strings.NewReader(file), columns)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	file := "\ufeffMobile,Template ID,Message,var1,var2,var3,Schedule Time\n" +
		"9876543210,,\"" + good + "\",,,,\n" +
		"9876543210," + shipped + ",,Asha,1,https://abc.in/t?x,\n" +
		"9876543210,,,482913,,,\n" +
		"9876543210,,\"two\nlines\",,,,\n" +
		"9876543210,,x\n" +
		"9876543210,,x,,,,tomorrow\n" +
		"9876543210,,\"x,,,,\n"
	check(t, outcomes(t, settings(t), read(file, nil)),
		"2:CLEARED:", "3:CLEARED:", "4:CLEARED:", "5:REFUSED:TEMPLATE_NOT_MATCHED",
		"7:INVALID:the line has another number of columns than the header row",
		"8:INVALID:schedule_time is not a time such as 2026-01-31T10:00:00+05:30",
		"9:INVALID:not CSV: a quote is missing or misplaced")
	check(t, outcomes(t, settings(t), read("Phone No,Code\n9876543210,482913\n", map[string]string{"to": "phone no", "var1": "Code"})), "2:CLEARED:")
	check(t, outcomes(t, settings(t), read("to,var:var1\n9876543210,482913\n", nil)), "2:CLEARED:")
	for name, c := range map[string]struct {
		file    string
		columns map[string]string
	}{
		"empty":           {"", nil},
		"no recipients":   {"name,text\n", nil},
		"no such column":  {"to,text\n", map[string]string{"header": "Sender"}},
		"no such field":   {"to,text\n", map[string]string{"sender": "text"}},
		"named and not":   {"to,var1,var:x\n", nil},
		"variable zero":   {"to,text\n", map[string]string{"var0": "text"}},
		"nameless":        {"to,text\n", map[string]string{"var:": "text"}},
		"quote in header": {"to,\"text\n", nil},
	} {
		if _, err := offline.NewCSV(strings.NewReader(c.file), c.columns); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// endless is a file of so many lines of which every third is refused.
type endless struct{ n, at int }

func (e *endless) Next() (offline.Line, error) {
	if e.at++; e.at > e.n {
		return offline.Line{}, io.EOF
	}
	l := offline.Line{Number: e.at, To: "9876543210", Text: good}
	if e.at%3 == 0 {
		l.Text = "other"
	}
	return l, nil
}

// TestOrder: results come in the order of the lines, each its own.
func TestOrder(t *testing.T) {
	next := 1
	err := offline.Scrub(t.Context(), settings(t), &endless{n: 10_000}, func(r *offline.Result) error {
		if refused := r.Decision.Outcome == policy.Refused; r.Line != next || refused != (next%3 == 0) {
			t.Fatalf("line %d has %s, in place %d", r.Line, r.Outcome(), next)
		}
		next++
		return nil
	})
	if err != nil || next != 10_001 {
		t.Errorf("%d lines, %v", next-1, err)
	}
}

// broken fails after some lines.
type broken struct{ endless }

var errBroken = errors.New("disk away")

func (b *broken) Next() (offline.Line, error) {
	l, err := b.endless.Next()
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return l, err
}

// TestScrubEnds: with the reader's error, the writer's, or the context, and nothing is left running.
func TestScrubEnds(t *testing.T) {
	lines := 0
	err := offline.Scrub(t.Context(), settings(t), &broken{endless{n: 3000}}, func(*offline.Result) error { lines++; return nil })
	if !errors.Is(err, errBroken) || lines != 3000 {
		t.Errorf("%d lines, %v", lines, err)
	}
	full := errors.New("disk full")
	if err := offline.Scrub(t.Context(), settings(t), &endless{n: 1 << 30}, func(*offline.Result) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = offline.Scrub(ctx, settings(t), &endless{n: 1 << 30}, func(*offline.Result) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzReaders: no file makes a reader fail otherwise than by line.
func FuzzReaders(f *testing.F) {
	f.Add([]byte(`{"to":"1"}`))
	f.Add([]byte("to,text\n1,\"x\"\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		readers := []offline.Reader{offline.NewNDJSON(strings.NewReader(string(raw)))}
		if r, err := offline.NewCSV(strings.NewReader(string(raw)), nil); err == nil {
			readers = append(readers, r)
		}
		for _, r := range readers {
			for last := 0; ; {
				l, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || l.Number < last {
					t.Fatalf("line %d after %d: %v", l.Number, last, err)
				}
				last = l.Number
			}
		}
	})
}

// BenchmarkScrub reads NDJSON, decides and writes it on all cores.
func BenchmarkScrub(b *testing.B) {
	const n = 50_000
	line := `{"to":"9876543210","entityId":"` + pe + `","header":"ABCBNK","templateId":"` + shipped + `","text":"Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"}` + "\n"
	file := strings.Repeat(line, n)
	cfg := settings(b)
	for b.Loop() {
		w := offline.NewJSONWriter(io.Discard, cfg.Pack.Version)
		err := offline.Scrub(b.Context(), cfg, offline.NewNDJSON(strings.NewReader(file)), w.Write)
		if err != nil || w.Flush() != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "lines/s")
}
