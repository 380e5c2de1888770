package template

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/ratiotest"
)

// sized is a corpus that is built once, with its index and texts.
type sized struct {
	entries []Entry
	index   *Index
	texts   []string
}

// sizes are the corpora there are; benchmarks run one after another.
var sizes = map[int]*sized{}

func ofSize(n int) *sized {
	if s := sizes[n]; s != nil {
		return s
	}
	s := &sized{entries: corpus(n, uint64(n))}
	s.index = NewIndex(s.entries)
	s.texts = traffic(rand.New(rand.NewPCG(5, 6)), s.entries, corpus(2000, 77), 4000)
	sizes[n] = s
	return s
}

// full tells whether benchmarks run at the size of their goals, as make bench-compliance has them.
var full = os.Getenv("ONLINESMS_BENCH_FULL") != ""

// largest is the corpus of a goal, smaller where there is no time for it.
func largest(goal, reduced int) int {
	if full {
		return goal
	}
	return reduced
}

// finds searches the texts, in turn, so many each run.
func (s *sized) finds(name string) ratiotest.Side {
	const some = 2000
	var m Matcher
	next := 0
	return ratiotest.Side{Name: name, Ops: some, Run: func() {
		for range some {
			m.Find(s.index, s.texts[next%len(s.texts)], Search{})
			next++
		}
	}}
}

// usual is the expression as one writes it, without telling which of several splits is wanted.
func usual(t *Template) *regexp.Regexp {
	return regexp.MustCompile(strings.NewReplacer("}?", "}", "+?", "+").Replace(expression(t).String()))
}

// B1: a match with all values by a known id, against a compiled regular expression with submatches.
func BenchmarkRatioB1KnownID(b *testing.B) {
	entries := corpus(64, 3)
	r := rand.New(rand.NewPCG(1, 1))
	w, err := NewWhitelist([]CTA{{DynamicURL, "https://abc.in/t?"}})
	if err != nil {
		b.Fatal(err)
	}
	var expressions []*regexp.Regexp
	var texts []string
	for _, e := range entries {
		expressions = append(expressions, usual(e.Template))
		texts = append(texts, fill(r, e.Template))
	}
	var m Matcher
	rules := Rules{Whitelist: w}
	const repeats = 20
	side := func(name string, one func(i int) bool) ratiotest.Side {
		return ratiotest.Side{Name: name, Ops: repeats * len(entries), Run: func() {
			for range repeats {
				for i := range entries {
					if !one(i) {
						b.Fatalf("%q does not match", texts[i])
					}
				}
			}
		}}
	}
	re2 := side("re2", func(i int) bool { return expressions[i].FindStringSubmatchIndex(texts[i]) != nil })
	whole := side("whole", func(i int) bool { return m.Match(entries[i].Template, texts[i], rules) == nil })
	whole.Run()
	if allocs := testing.AllocsPerRun(10, whole.Run); allocs != 0 {
		b.Errorf("%v allocations", allocs)
	}
	b.Run("match", func(b *testing.B) { // the job of the expression: match and find the values
		ratiotest.Compare(b, 20, side("shape", func(i int) bool { return m.shape(entries[i].Template, texts[i], &rules) }), re2)
	})
	b.Run("with-calls", func(b *testing.B) { // and with invisible characters and calls to action, which it does not see
		ratiotest.Compare(b, 0, whole, re2)
	})
	altered := make([]string, len(texts))
	for i, text := range texts {
		altered[i] = text[:len(text)-1] + "?"
	}
	b.Run("refused", func(b *testing.B) { // with place, likely fix and advice, against a plain no
		ratiotest.Compare(b, 0, side("explained", func(i int) bool { return m.Match(entries[i].Template, altered[i], rules) != nil }),
			side("re2", func(i int) bool { return !expressions[i].MatchString(altered[i]) }))
	})
}

// B2: the template of a text among many, against regular expressions one by one. Where there are too many to compile, a
// sample of them reads as many more texts: one by one is linear.
func BenchmarkRatioB2Find(b *testing.B) {
	for _, c := range []struct {
		goal, reduced int
		ratio         float64
	}{{10_000, 1_000, 3_000}, {100_000, 10_000, 12_000}} {
		n := largest(c.goal, c.reduced)
		sample := min(n, largest(10_000, 1_000))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := ofSize(n)
			var expressions []*regexp.Regexp
			for i := range sample {
				expressions = append(expressions, usual(s.entries[i*n/sample].Template))
			}
			next, matched := 0, 0
			oneByOne := ratiotest.Side{Name: "re2", Ops: 1, Run: func() {
				for range n / sample {
					text := s.texts[next%len(s.texts)]
					next++
					for _, re := range expressions {
						if re.MatchString(text) {
							matched++
						}
					}
				}
			}}
			ratiotest.Compare(b, c.ratio, s.finds("index"), oneByOne)
		})
	}
}

// B2: a million templates take at most 8 times as long as 100,000: an eighth of their speed.
func BenchmarkRatioB2Million(b *testing.B) {
	ratiotest.Compare(b, 1.0/8, ofSize(largest(1_000_000, 20_000)).finds("million"), ofSize(largest(100_000, 2_000)).finds("tenth"))
}

// B3: 100,000 templates take at most 5 times as long as 1,000, and at most 5 are read for a text.
func BenchmarkRatioB3Growth(b *testing.B) {
	s := ofSize(largest(100_000, 10_000))
	ratiotest.Compare(b, 1.0/5, s.finds("many"), ofSize(1_000).finds("thousand"))
	var m Matcher
	compared := 0
	for _, text := range s.texts {
		compared += m.Find(s.index, text, Search{}).Compared
	}
	mean := float64(compared) / float64(len(s.texts))
	b.ReportMetric(mean, "compared")
	if mean > 5 {
		b.Errorf("B3: %.1f templates are read for a text, at most 5 allowed", mean)
	}
}

// B4: memory of the index, and the time to build it, against compiling a regular expression for each. The goal of 6 µs a
// template is an eighteenth of the 110 µs that a compilation takes on the machine of the goals.
func BenchmarkRatioB4Build(b *testing.B) {
	s := ofSize(largest(100_000, 10_000))
	next := 0
	const some = 50
	ratiotest.Compare(b, 18, ratiotest.Side{Name: "index", Ops: len(s.entries), Run: func() { NewIndex(s.entries) }},
		ratiotest.Side{Name: "compile", Ops: some, Run: func() {
			for range some {
				usual(s.entries[next%len(s.entries)].Template)
				next++
			}
		}})
	bytes := float64(s.index.Size()) / float64(len(s.entries))
	b.ReportMetric(bytes, "bytes/template")
	if bytes > 80 {
		b.Errorf("B4: %.0f bytes a template, at most 80 allowed", bytes)
	}
}

// B4: one template more is found at once. The goal of 10 µs is an eleventh of a compilation of 110 µs.
func BenchmarkRatioB4Insert(b *testing.B) {
	s := ofSize(largest(100_000, 10_000))
	added := corpus(addedMax, 123)
	for i := range added {
		added[i].ID = fmt.Sprintf("1108%015d", i)
	}
	text := fill(rand.New(rand.NewPCG(1, 1)), added[addedMax-1].Template)
	var m Matcher
	if h := m.Find(s.index.With(added...), text, Search{}); len(h.Best) != 1 {
		b.Fatal("what was added is not found")
	}
	ratiotest.Compare(b, 11, ratiotest.Side{Name: "insert", Ops: addedMax, Run: func() {
		x := s.index
		for i := range added {
			x = x.With(added[i])
		}
	}}, ratiotest.Side{Name: "compile", Ops: 50, Run: func() {
		for i := range 50 {
			usual(added[i].Template)
		}
	}})
}

// B5: texts made to be slow, with the complete program forced, against RE2.
func BenchmarkRatioB5Adversarial(b *testing.B) {
	for _, c := range []struct {
		name, body string
		size       int
	}{
		{"15x400", strings.Repeat("{#var#}a", 15) + "b", 400},
		{"30x900", strings.Repeat("{#var#}a", 30) + "b", 900},
		{"adjacent", strings.Repeat("{#var#}", 16) + "!", 481},
		{"two-bytes", strings.Repeat("{#var#}aa", 30) + "b", 900},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := mustParse(c.body)
			re, text := usual(p), strings.Repeat("a", c.size)
			var m Matcher
			const times = 50
			ratiotest.Compare(b, 25, ratiotest.Side{Name: "program", Ops: times, Run: func() {
				for range times {
					if m.exact(p, text, &Rules{}) {
						b.Fatal("matches")
					}
				}
			}}, ratiotest.Side{Name: "re2", Ops: 2, Run: func() {
				for range 2 {
					if re.MatchString(text) {
						b.Fatal("matches")
					}
				}
			}})
		})
	}
}

// B5: no match, explanation and advice included, takes more than 5 ns for each cell of elements and bytes: against a
// dependent chain of additions and loads, about a nanosecond a link, of which there are five a cell.
func BenchmarkRatioB5Cells(b *testing.B) {
	scratch := make([]uint32, 4096)
	for name, c := range map[string]struct{ body, text string }{
		"all-a":  {strings.Repeat("{#var#}a", 32), strings.Repeat("a", MaxUnits)},
		"short":  {strings.Repeat("{#var#}is ", 12) + "x", strings.Repeat("is ", 150)},
		"hindi":  {strings.Repeat("{#alphanumeric#} क ", 30) + "x", strings.Repeat("क ", 1000)},
		"spread": {strings.Repeat("{#alphanumeric#}aaaaaaaa", 20) + "b", strings.Repeat("a", 1500)},
	} {
		b.Run(name, func(b *testing.B) {
			p := mustParse(c.body)
			links := 5 * p.header().elements() * len(c.text)
			var m Matcher
			x := uint32(1)
			ratiotest.Compare(b, 1, ratiotest.Side{Name: "match", Ops: 5, Run: func() {
				for range 5 {
					m.Match(p, c.text, Rules{})
				}
			}}, ratiotest.Side{Name: "chain", Ops: 1, Run: func() {
				for i := range links {
					x = scratch[x&4095] + x + uint32(i)
				}
			}})
		})
	}
}
