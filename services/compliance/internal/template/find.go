package template

import "strings"

// Budget is the work one search may take unless the caller says otherwise, in steps of about a nanosecond. Among 100,000
// templates of real kind a search takes some thousand.
const Budget = 2_000_000

// Search says what to find and how much work it may take.
type Search struct {
	// Accept, when not nil, is asked whether an entry counts: active, linked to the header.
	Accept func(e *Entry) bool
	// Most is how many templates are wanted; 0 is one.
	Most int
	// Budget is the work that is allowed in steps; 0 is the constant Budget.
	Budget int
	// UntypedMax is as in Rules.
	UntypedMax int
}

// Hit is a template a text is of.
type Hit struct {
	Entry Entry
	Fixed int // bytes of fixed text
}

// Hits is the answer of a search.
type Hits struct {
	// Best are the templates the text is of, the one with most fixed text first, among equals the one with the lowest id.
	// They are valid until the next search of the Matcher.
	Best []Hit
	// TooComplex tells that the budget was used up: there may be others and better ones. The same search gives the same
	// answer everywhere.
	TooComplex bool
	// Compared is the number of templates that were read.
	Compared int
}

// Find finds the templates of a normalised text by its shape: what Match would not call TEMPLATE_NOT_MATCHED or
// TEMPLATE_VARIABLE_TOO_LONG. Calls to action and invisible characters are Match's.
func (m *Matcher) Find(x *Index, text string, s Search) Hits {
	m.steps, m.keep = 0, m.keep[:0]
	if _, long := tooLarge(text); long || x.Len() == 0 {
		return Hits{}
	}
	f := finder{m: m, x: x, text: text, search: s, rules: Rules{UntypedMax: s.UntypedMax}, first: head8(text), last: tail8(text)}
	f.search.Most = max(s.Most, 1)
	if f.search.Budget <= 0 {
		f.search.Budget = Budget
	}
	f.run()
	return Hits{Best: m.keep, TooComplex: f.exceeded, Compared: f.compared}
}

// finder is one search.
type finder struct {
	m           *Matcher
	x           *Index
	text        string
	search      Search
	rules       Rules
	first, last uint64
	compared    int
	exceeded    bool
}

func (f *finder) run() {
	f.try(f.x.fresh, false)
	f.try(f.x.list, true)
	f.look(&f.x.long, longGram)
	f.look(&f.x.short, shortGram)
}

// look goes over the pieces of the text.
func (f *finder) look(t *table, size int) {
	if len(t.slots) == 0 || len(f.text) < size {
		return
	}
	text, filter, all, top := f.text, t.filter, t.size(), 8*(size-1)&63
	f.m.steps += len(text)
	w := head8(text[:size-1]) << 8
	for i := size - 1; i < len(text); i++ {
		w = w>>8 | uint64(text[i])<<top
		bit := home(w, all)
		if filter[bit/64]>>(bit%64)&1 == 0 || w == 0 {
			continue
		}
		if f.try(t.probe(w, bit/filterBits), true); f.exceeded {
			return
		}
	}
}

// try compares the text with postings; ordered ones come by rank.
func (f *finder) try(list []posting, ordered bool) {
	compared, matched := false, false // what is known of the twins before
	for i := range list {
		p := &list[i]
		compared = compared && p.twin
		f.m.steps++
		if f.m.steps > f.search.Budget {
			f.exceeded = true
			return
		}
		if !p.frames(f.first, f.last) {
			continue
		}
		e := f.x.entry(p.entry)
		if f.beaten(e) {
			if ordered {
				return
			}
			continue
		}
		if f.search.Accept != nil && !f.search.Accept(e) {
			continue
		}
		if !compared {
			f.compared++
			compared, matched = true, f.m.shape(e.Template, f.text, &f.rules)
		}
		if matched {
			f.keep(e)
		}
	}
}

// beaten tells whether so many templates as are wanted have more fixed text.
func (f *finder) beaten(e *Entry) bool {
	kept := f.m.keep
	return len(kept) == f.search.Most && kept[len(kept)-1].Fixed > e.Template.FixedBytes()
}

// keep puts a template among the best ones.
func (f *finder) keep(e *Entry) {
	hit := Hit{*e, e.Template.FixedBytes()}
	kept := f.m.keep
	at := len(kept)
	for at > 0 && (kept[at-1].Fixed < hit.Fixed || kept[at-1].Fixed == hit.Fixed && strings.Compare(kept[at-1].Entry.ID, hit.Entry.ID) >= 0) {
		at--
		if kept[at].Entry.ID == hit.Entry.ID {
			return // found under a piece that stands in the text twice
		}
	}
	if at == f.search.Most {
		return
	}
	if len(kept) < f.search.Most {
		kept = append(kept, Hit{})
	}
	copy(kept[at+1:], kept[at:])
	kept[at] = hit
	f.m.keep = kept
}
