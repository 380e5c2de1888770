package template

import (
	"cmp"
	"math/bits"
	"slices"
)

// NewIndex builds the index of some templates. Their ids must differ. It does not keep the slice.
func NewIndex(entries []Entry) *Index {
	x := &Index{entries: slices.Clone(entries)}
	slices.SortFunc(x.entries, order)
	if len(entries) <= listMax {
		for i, e := range x.entries {
			x.list = append(x.list, newPosting(e.Template, i))
		}
		return x
	}
	b := filer{x: x}
	b.count()
	b.file()
	x.long = b.table(b.long)
	x.short = b.table(b.short)
	return x
}

// filer decides under which piece each template is filed.
type filer struct {
	x           *Index
	counts      []uint16 // by hash of a piece: how often it occurs in the corpus, about
	shift       int
	long, short []filed
}

// filed is a template under its piece.
type filed struct {
	gram  uint64
	entry uint32
}

// Bounds of the table of counts: what fits in caches on the one hand, collisions on the other.
const minCounts, maxCounts = 10, 23

// count counts all pieces of the corpus. A collision makes a piece look more common than it is, which costs a little
// speed and nothing else.
func (b *filer) count() {
	size := 0
	for _, e := range b.x.entries {
		size += e.Template.FixedBytes()
	}
	log := min(max(bits.Len(uint(size)), minCounts), maxCounts)
	b.counts, b.shift = make([]uint16, 1<<log), 64-log
	for _, e := range b.x.entries {
		for gram := range e.Template.grams(b.gramSize(e.Template)) {
			if c := &b.counts[gram*spread>>b.shift]; *c < 1<<16-1 {
				*c++
			}
		}
	}
}

// gramSize is the size of the pieces a template is filed under; 0 for none.
func (b *filer) gramSize(t *Template) int {
	longest := 0
	for _, code := range t.code[1:] {
		if e := element(code); e.fixed() {
			longest = max(longest, len(e.of(t.body)))
		}
	}
	switch {
	case longest >= longGram:
		return longGram
	case longest >= shortGram:
		return shortGram
	default:
		return 0
	}
}

// grams yields the pieces of a size in the fixed parts.
func (t *Template) grams(size int) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if size == 0 {
			return
		}
		for _, code := range t.code[1:] {
			if e := element(code); e.fixed() && !pieces(e.of(t.body), size, yield) {
				return
			}
		}
	}
}

// pieces yields the pieces of a size in a text; false when it was stopped. A piece of zeros alone is no key and left out.
func pieces(s string, size int, yield func(uint64) bool) bool {
	w, top := uint64(0), 8*(size-1)
	for i := range len(s) {
		w = w>>8 | uint64(s[i])<<top
		if i >= size-1 && w != 0 && !yield(w) {
			return false
		}
	}
	return true
}

// file chooses the rarest piece of every template, the first among equals.
func (b *filer) file() {
	for i, e := range b.x.entries {
		size := b.gramSize(e.Template)
		best, least := uint64(0), -1
		for gram := range e.Template.grams(size) {
			if n := int(b.counts[gram*spread>>b.shift]); least < 0 || n < least {
				best, least = gram, n
			}
		}
		switch {
		case least < 0:
			b.x.list = append(b.x.list, newPosting(e.Template, i))
		case size == longGram:
			b.long = append(b.long, filed{best, uint32(i)})
		default:
			b.short = append(b.short, filed{best, uint32(i)})
		}
	}
}

// table lays postings out by piece, in the order of entries under each.
func (b *filer) table(list []filed) table {
	if len(list) == 0 {
		return table{}
	}
	slices.SortFunc(list, func(p, q filed) int { return cmp.Or(cmp.Compare(p.gram, q.gram), cmp.Compare(p.entry, q.entry)) })
	grams := 0
	for i := range list {
		if i == 0 || list[i].gram != list[i-1].gram {
			grams++
		}
	}
	t := table{slots: make([]tableSlot, grams*100/loadFactor+1), postings: make([]posting, len(list))}
	t.filter = make([]uint64, len(t.slots)*filterBits/64+1)
	start := 0
	for i, f := range list {
		t.postings[i] = newPosting(b.x.entries[f.entry].Template, int(f.entry))
		t.postings[i].twin = i > start && b.same(f.entry, list[i-1].entry)
		if i+1 == len(list) || list[i+1].gram != f.gram {
			t.put(f.gram, start, i+1)
			start = i + 1
		}
	}
	return t
}

// same tells whether two entries match the same texts.
func (b *filer) same(i, j uint32) bool {
	s, t := b.x.entries[i].Template, b.x.entries[j].Template
	return s.body == t.body && slices.Equal(s.code, t.code)
}
