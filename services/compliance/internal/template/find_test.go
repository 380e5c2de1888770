package template

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// oneByOne is the search without an index: the oracle.
func oneByOne(entries []Entry, text string, accept func(*Entry) bool) (ids []string) {
	var m Matcher
	var hits []Entry
	for _, e := range entries {
		if (accept == nil || accept(&e)) && m.shape(e.Template, text, &Rules{}) {
			hits = append(hits, e)
		}
	}
	slices.SortFunc(hits, func(a, b Entry) int {
		if d := b.Template.FixedBytes() - a.Template.FixedBytes(); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, e := range hits {
		ids = append(ids, e.ID)
	}
	return ids
}

func idsOf(h Hits) (ids []string) {
	for _, hit := range h.Best {
		ids = append(ids, hit.Entry.ID)
	}
	return ids
}

// tight makes templates from a tiny alphabet, so that texts belong to many, pieces are shared and bodies equal.
func tight(r *rand.Rand, n int) []Entry {
	var entries []Entry
	for i := range n {
		body, _ := pair(r)
		if r.IntN(3) == 0 {
			body = "abababab" + body
		}
		if t, err := Parse(body, nil); err == nil {
			entries = append(entries, Entry{fmt.Sprintf("1107%015d", i*7919%n), t})
		}
	}
	return entries
}

// TestFindAgreesWithOneByOne holds the index against reading every template: built, grown and shrunk.
func TestFindAgreesWithOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	foreign := corpus(200, 99)
	for name, entries := range map[string][]Entry{
		"none": nil, "few": corpus(10, 1), "real": corpus(1500, 2), "tight": tight(r, 300), "tight few": tight(r, 20),
	} {
		cut := len(entries) * 4 / 5
		grown := NewIndex(entries[:cut])
		for _, e := range entries[cut:] {
			grown = grown.With(e)
		}
		odd := func(e *Entry) bool { return e.ID[len(e.ID)-1]%2 == 1 }
		kept := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return !odd(&e) })
		var even []string
		for _, e := range entries {
			if !odd(&e) {
				even = append(even, e.ID)
			}
		}
		indexes := map[string]*Index{"built": NewIndex(entries), "grown": grown}
		shrunk := grown.Without(even...)
		var m Matcher
		found := 0
		for i := range 150 {
			var text string
			if len(entries) > 0 {
				text = traffic(r, entries, foreign, 1)[0]
			}
			if strings.HasPrefix(name, "tight") && i%2 == 0 {
				_, text = pair(r)
			}
			all, some := oneByOne(entries, text, nil), oneByOne(kept, text, nil)
			found += len(all)
			for how, x := range indexes {
				check(t, name+" "+how, text, m.Find(x, text, Search{}), all, 1)
				check(t, name+" "+how+" five", text, m.Find(x, text, Search{Most: 5}), all, 5)
				check(t, name+" "+how+" odd", text, m.Find(x, text, Search{Accept: odd, Most: 3}), some, 3)
			}
			check(t, name+" shrunk", text, m.Find(shrunk, text, Search{Most: 2}), some, 2)
		}
		if len(entries) > 0 && found < 50 {
			t.Errorf("%s: %d found: the texts prove little", name, found)
		}
	}
}

func check(t *testing.T, name, text string, got Hits, want []string, most int) {
	t.Helper()
	if want = want[:min(most, len(want))]; got.TooComplex || !slices.Equal(idsOf(got), want) {
		t.Fatalf("%s: %q: got %v %v, want %v", name, text, idsOf(got), got.TooComplex, want)
	}
}

func TestFindKeepsItsBudget(t *testing.T) {
	var entries []Entry
	for i := range 1 << 12 { // all share first and last bytes and every piece, and no greedy pass decides
		body := ""
		for k := range 12 {
			body += []string{"{#var#}", "{#alphanumeric#}"}[i>>k&1] + "aaaaaaaa"
		}
		entries = append(entries, Entry{fmt.Sprintf("1107%015d", i), mustParse(body)})
	}
	x := NewIndex(entries)
	text := strings.Repeat("a", 700)
	var m Matcher
	const budget = 100_000
	first := m.Find(x, text, Search{Budget: budget})
	steps := m.Steps()
	if !first.TooComplex || len(first.Best) != 0 {
		t.Fatalf("%+v", first)
	}
	// The last comparison may go beyond by its own bound.
	if most := budget + stepBound(entries[0].Template, text); steps > most {
		t.Errorf("%d steps, at most %d allowed", steps, most)
	}
	if again := m.Find(x, text, Search{Budget: budget}); again.Compared != first.Compared || m.Steps() != steps {
		t.Errorf("%d and %d compared, %d and %d steps", first.Compared, again.Compared, steps, m.Steps())
	}
}

func mustParse(body string) *Template {
	t, err := Parse(body, nil)
	if err != nil {
		panic(err)
	}
	return t
}

// TestTwinsAreReadOnce: equal bodies cost one comparison.
func TestTwinsAreReadOnce(t *testing.T) {
	var entries []Entry
	for i := range 3000 {
		entries = append(entries, Entry{fmt.Sprintf("1107%015d", 3000-i), mustParse("Dear {#var#}, welcome to the club. - ABC")})
	}
	var m Matcher
	found := m.Find(NewIndex(entries), "Dear Ram, welcome to the club. - ABC", Search{Most: 2})
	if want := []string{"1107000000000000001", "1107000000000000002"}; !slices.Equal(idsOf(found), want) || found.Compared > 20 {
		t.Errorf("%v, %d compared", idsOf(found), found.Compared)
	}
}

// TestIndexIsSafeForReaders: readers of older indexes are not disturbed by new ones.
func TestIndexIsSafeForReaders(t *testing.T) {
	entries := corpus(400, 5)
	x := NewIndex(entries[:100])
	var wg sync.WaitGroup
	for i, e := range entries[100:] {
		before := x
		x = x.With(e)
		if i%50 != 0 {
			continue
		}
		wg.Go(func() {
			r, n := rand.New(rand.NewPCG(uint64(i), 1)), before.Len()
			var m Matcher
			for range 50 {
				text := fill(r, entries[r.IntN(n)].Template)
				if h := m.Find(before, text, Search{}); len(h.Best) == 0 || before.Len() != n {
					t.Errorf("%q not found among %d", text, n)
				}
			}
		})
	}
	wg.Wait()
	if x.Len() != len(entries) {
		t.Errorf("%d", x.Len())
	}
}

// TestCorpusIsOfRealSize holds the corpus of the measurements to what registered templates are like: about 146 bytes.
func TestCorpusIsOfRealSize(t *testing.T) {
	size := 0
	for _, e := range corpus(2000, 8) {
		size += len(e.Template.body)
	}
	if mean := size / 2000; mean < 130 || mean > 165 {
		t.Errorf("%d bytes on average", mean)
	}
}

func TestEmptyIndexes(t *testing.T) {
	var m Matcher
	var none *Index
	if h := m.Find(none, "x", Search{}); len(h.Best) != 0 || none.Len() != 0 || none.Entries() != nil {
		t.Error("found in nothing")
	}
	if x := none.With(corpus(1, 1)...); x.Len() != 1 {
		t.Error("not added")
	}
	if h := m.Find(NewIndex(corpus(30, 1)), strings.Repeat("a", MaxBytes+1), Search{}); len(h.Best) != 0 {
		t.Error("found too large a text")
	}
}

func FuzzFind(f *testing.F) {
	f.Add("{#var#}ab\nab{#numeric#}\nDear {#var#}, your order has been shipped", "Dear Ram, your order has been shipped")
	f.Fuzz(func(t *testing.T, bodies, text string) {
		text, _ = Normalise(text)
		var entries []Entry
		for i, body := range strings.Split(bodies, "\n") {
			if p, err := Parse(body, nil); err == nil && i < 40 {
				entries = append(entries, Entry{fmt.Sprintf("1107%015d", i), p})
			}
		}
		if len(text) > 500 {
			return
		}
		for i := 0; len(entries) > 0 && len(entries) <= listMax; i++ { // enough for tables
			entries = append(entries, Entry{fmt.Sprintf("1107%015d", 1000+i), entries[i].Template})
		}
		var m Matcher
		check(t, "fuzz", text, m.Find(NewIndex(entries), text, Search{Most: 3}), oneByOne(entries, text, nil), 3)
	})
}
