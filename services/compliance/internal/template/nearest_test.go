package template

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestNearestIsTheOneThatWasMeant: a text with a word altered is explained by its own template.
func TestNearestIsTheOneThatWasMeant(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	entries := corpus(300, 21)
	x := NewIndex(entries[:290]).With(entries[290:]...)
	var m Matcher
	right := 0
	const texts = 200
	for range texts {
		e := entries[r.IntN(len(entries))]
		words := strings.Split(fill(r, e.Template), " ")
		words[r.IntN(len(words))] += "x"
		text := strings.Join(words, " ")
		if len(m.Find(x, text, Search{}).Best) > 0 {
			right++ // the value took the letter
			continue
		}
		n, ok := m.Nearest(x, text, Search{})
		if ok && (n.Entry.ID == e.ID || n.Entry.Template.body == e.Template.body) {
			right++
			if found := m.Match(n.Entry.Template, text, Rules{}); found == nil || found[0].Expected == "" && found[0].Max == 0 {
				t.Fatalf("%q: %+v", text, found)
			}
		}
	}
	if right < texts*95/100 {
		t.Errorf("%d of %d templates are the right ones", right, texts)
	}
}

func TestNearestKnowsItsLimits(t *testing.T) {
	entries := corpus(300, 21)
	x := NewIndex(entries)
	var m Matcher
	if n, ok := m.Nearest(x, "Nothing that anyone registered", Search{}); ok {
		t.Errorf("%+v", n)
	}
	text := fill(rand.New(rand.NewPCG(1, 1)), entries[7].Template) + "?"
	if n, ok := m.Nearest(x, text, Search{Accept: func(e *Entry) bool { return e.ID == entries[7].ID }}); !ok || n.Entry.ID != entries[7].ID {
		t.Errorf("%+v", n)
	}
	if n, _ := m.Nearest(x, text, Search{Budget: 100}); !n.TooComplex {
		t.Errorf("%+v", n)
	}
	if _, ok := m.Nearest(nil, text, Search{}); ok {
		t.Error("near to nothing")
	}
}
