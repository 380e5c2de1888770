package template

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/ratiotest"
)

// sized is a corpus that is built once, with its index and texts.
type sized struct {
	entries []Entry
	index   *Index
	texts   []string
	build   time.Duration // processor time is not known apart from the collector's; wall time it is
}

var (
	sizedMutex sync.Mutex
	sizedCache = map[int]*sized{}
)

func ofSize(n int) *sized {
	sizedMutex.Lock()
	defer sizedMutex.Unlock()
	if s := sizedCache[n]; s != nil {
		return s
	}
	s := &sized{entries: corpus(n, uint64(n))}
	start := time.Now()
	s.index = NewIndex(s.entries)
	s.build = time.Since(start)
	s.texts = traffic(rand.New(rand.NewPCG(5, 6)), s.entries, corpus(2000, 77), 4000)
	sizedCache[n] = s
	return s
}

// finds searches the texts one after another, some each round.
func (s *sized) finds(m *Matcher) func() int {
	next := 0
	return func() int {
		const some = 500
		for range some {
			m.Find(s.index, s.texts[next%len(s.texts)], Search{})
			next++
		}
		return some
	}
}

// largest is the corpus of a goal, smaller where there is no time for it.
func largest(full, reduced int) int {
	if ratiotest.Full() {
		return full
	}
	return reduced
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
		expressions = append(expressions, expression(e.Template))
		texts = append(texts, fill(r, e.Template))
	}
	var m Matcher
	whole := func() int {
		for i, e := range entries {
			if m.Match(e.Template, texts[i], Rules{Whitelist: w}) != nil || len(m.Spans()) != e.Template.header().variables() {
				b.Fatalf("%q does not match", texts[i])
			}
		}
		return len(entries)
	}
	whole()
	if allocs := testing.AllocsPerRun(10, func() { whole() }); allocs != 0 {
		b.Errorf("%v allocations", allocs)
	}
	re2 := func() int {
		for i, re := range expressions {
			if re.FindStringSubmatchIndex(texts[i]) == nil {
				b.Fatal("no match")
			}
		}
		return len(expressions)
	}
	var rules Rules
	b.Run("match", func(b *testing.B) { // the job of the expression: match and find the values
		ratiotest.Ratio{ID: "B1", Goal: 20, Baseline: re2, Ours: func() int {
			for i, e := range entries {
				if !m.shape(e.Template, texts[i], &rules) {
					b.Fatal("no match")
				}
			}
			return len(entries)
		}}.Run(b)
	})
	b.Run("with-calls", func(b *testing.B) { // and with invisible characters and calls to action, which it does not see
		ratiotest.Ratio{ID: "B1", Baseline: re2, Ours: whole}.Run(b)
	})
}

// B2: the template of a text among many, against regular expressions one by one. Where there are too many to compile,
// a sample of them is run and their time multiplied: one by one is linear.
func BenchmarkRatioB2Find(b *testing.B) {
	for _, c := range []struct {
		full, reduced, sample int
		goal                  float64
	}{{10_000, 1_000, 10_000, 3_000}, {100_000, 10_000, 10_000, 12_000}} {
		n, sample := largest(c.full, c.reduced), largest(c.sample, c.sample/10)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := ofSize(n)
			var expressions []*regexp.Regexp
			for i := range min(sample, n) {
				expressions = append(expressions, expression(s.entries[i*n/min(sample, n)].Template))
			}
			scale, next := n/len(expressions), 0
			var m Matcher
			one := func() int {
				matched := 0
				for _, re := range expressions {
					if re.MatchString(s.texts[next%len(s.texts)]) {
						matched++
					}
				}
				next++
				return 1
			}
			find := s.finds(&m)
			ratio := ratiotest.Ratio{ID: "B2", Baseline: one, Ours: find}.Run(b) * float64(scale)
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(float64(scale), "base-scale")
			if ratiotest.Full() && ratio < c.goal {
				b.Errorf("B2: ratio %.0f, the goal is %.0f", ratio, c.goal)
			}
		})
	}
}

// growth compares searching one corpus with searching a smaller one: how many times slower at most.
func growth(b *testing.B, id string, big, small int, most float64) {
	var m, k Matcher
	slower := 1 / ratiotest.Ratio{ID: id, Baseline: ofSize(small).finds(&m), Ours: ofSize(big).finds(&k)}.Run(b)
	b.ReportMetric(slower, "growth")
	if ratiotest.Full() && slower > most {
		b.Errorf("%s: %d templates take %.1f times as long as %d, at most %.1f allowed", id, big, slower, small, most)
	}
}

// B2: a million templates take at most 8 times as long as 100,000.
func BenchmarkRatioB2Million(b *testing.B) {
	growth(b, "B2", largest(1_000_000, 20_000), largest(100_000, 2_000), 8)
}

// B3: 100,000 templates take at most 5 times as long as 1,000, and at most 5 are read for a text.
func BenchmarkRatioB3Growth(b *testing.B) {
	big := largest(100_000, 10_000)
	growth(b, "B3", big, largest(1_000, 1_000), 5)
	var m Matcher
	s, compared := ofSize(big), 0
	for _, text := range s.texts {
		compared += m.Find(s.index, text, Search{}).Compared
	}
	mean := float64(compared) / float64(len(s.texts))
	b.ReportMetric(mean, "compared")
	if ratiotest.Full() && mean > 5 {
		b.Errorf("B3: %.1f templates are read for a text, at most 5 allowed", mean)
	}
}

// B4: memory of the index, and the time to build it and to add one template, against compiling a regular expression for
// each.
func BenchmarkRatioB4Build(b *testing.B) {
	s := ofSize(largest(100_000, 10_000))
	bytes := float64(s.index.Size()) / float64(len(s.entries))
	next := 0
	ratiotest.Ratio{ID: "B4", Goal: 15, Rounds: 5, Baseline: func() int {
		for range 50 {
			expression(s.entries[next%len(s.entries)].Template)
			next++
		}
		return 50
	}, Ours: func() int {
		NewIndex(s.entries)
		return len(s.entries)
	}}.Run(b)
	b.ReportMetric(bytes, "bytes/template")
	if ratiotest.Full() && bytes > 80 {
		b.Errorf("B4: %.0f bytes a template, at most 80 allowed", bytes)
	}
}

// B4: one template more is found at once; against building the index anew.
func BenchmarkRatioB4Insert(b *testing.B) {
	s := ofSize(largest(100_000, 10_000))
	added := corpus(addedMax, 123)
	for i := range added {
		added[i].ID = fmt.Sprintf("1108%015d", i)
	}
	x, next := s.index, 0
	ratiotest.Ratio{ID: "B4", Goal: 5_000, Rounds: 5, Baseline: func() int {
		NewIndex(s.entries)
		return 1
	}, Ours: func() int {
		for range addedMax {
			if next%addedMax == 0 {
				x = s.index
			}
			x = x.With(added[next%addedMax])
			next++
		}
		return addedMax
	}}.Run(b)
}

// B5: texts made to be slow, with the complete program forced, against RE2.
func BenchmarkRatioB5Adversarial(b *testing.B) {
	for _, c := range []struct {
		name, body string
		size       int
		goal       float64 // 0: no all-a case
	}{
		{"15x400", strings.Repeat("{#var#}a", 15) + "b", 400, 25},
		{"30x900", strings.Repeat("{#var#}a", 30) + "b", 900, 25},
		{"adjacent", strings.Repeat("{#var#}", 16) + "!", 481, 25},
		{"two-bytes", strings.Repeat("{#var#}aa", 30) + "b", 900, 25},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := mustParse(c.body)
			re, text := expression(p), strings.Repeat("a", c.size)
			var m Matcher
			ours := func() int {
				for range 10 {
					if m.exact(p, text, &Rules{}) {
						b.Fatal("matches")
					}
				}
				return 10
			}
			ratiotest.Ratio{ID: "B5", Goal: c.goal, Ours: ours, Baseline: func() int {
				if re.MatchString(text) {
					b.Fatal("matches")
				}
				return 1
			}}.Run(b)
		})
	}
}

// B5: no match, explanation included, takes more than a few reads of memory for each cell of elements and bytes: against
// a loop that touches every cell once.
func BenchmarkRatioB5Cells(b *testing.B) {
	for name, c := range map[string]struct{ body, text string }{
		"all-a":  {strings.Repeat("{#var#}a", 32), strings.Repeat("a", MaxUnits)},
		"short":  {strings.Repeat("{#var#}is ", 12) + "x", strings.Repeat("is ", 150)},
		"hindi":  {strings.Repeat("{#alphanumeric#} क ", 30) + "x", strings.Repeat("क ", 1000)},
		"pieces": {"{#url#}" + strings.Repeat("a", 1000) + "b", strings.Repeat("a", MaxUnits)},
	} {
		b.Run(name, func(b *testing.B) {
			p := mustParse(c.body)
			cells := max(p.header().elements(), 8) * len(c.text)
			scratch := make([]uint32, 4096)
			var m Matcher
			ratiotest.Ratio{ID: "B5", Goal: 0.2, Ours: func() int {
				m.Match(p, c.text, Rules{})
				return 1
			}, Baseline: func() int { // a dependent chain of about a nanosecond a cell
				x := uint32(1)
				for i := range cells {
					x = scratch[x&4095] + x*5 + uint32(i)
				}
				runtime.KeepAlive(x)
				return 1
			}}.Run(b)
		})
	}
}
