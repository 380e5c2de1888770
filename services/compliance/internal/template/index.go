package template

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// Entry is one template of an index.
type Entry struct {
	ID       string // the DLT id; among equally specific templates the lowest wins
	Template *Template
}

// Index finds the templates of a text among those of a header, of an entity or of a whole corpus. It is immutable: With
// and Without make another one.
//
// Each template is filed under the rarest of the 8-byte pieces of its fixed text, those with shorter fixed parts under a
// 4-byte piece, the rest in a list that is gone through. Beside it lie the first and the last 8 bytes of its fixed text,
// so that of the templates that share a piece only those that can match are read. Small sets are a list only. What With
// adds is a list too, until it is worth a new index.
type Index struct {
	entries []Entry   // by rank: most fixed text, then equal texts together, then lowest id
	added   []Entry   // by With, in the order they came
	long    table     // by 8-byte pieces
	short   table     // by 4-byte pieces
	list    []posting // of entries without a piece, in their order
	fresh   []posting // of added
}

const (
	longGram  = 8
	shortGram = 4
	// listMax is up to which size templates are a list: to go through it costs less than to look up every piece of a text.
	listMax = 24
	// addedMax bounds what With adds before it builds anew; going through so many costs a search about a microsecond.
	addedMax = 256
	// loadFactor of the tables, in percent: above it probing grows long, below it memory.
	loadFactor = 75
)

// posting is one template under a piece.
type posting struct {
	prefix, suffix uint64 // the first and last bytes of the fixed text that frames the template
	entry          uint32
	masks          uint16 // bytes of prefix and of suffix that count
	twin           bool   // the same text as the posting before
}

// frames tells whether a text with these first and last eight bytes may begin and end with the fixed text.
func (p *posting) frames(first, last uint64) bool {
	return (first^p.prefix)<<(64-8*(p.masks&0xff)) == 0 && (last^p.suffix)>>(64-8*(p.masks>>8)) == 0
}

// table is a hash table from pieces to runs of postings, with a filter of bits before it, so that pieces no template is
// filed under seldom touch it.
type table struct {
	slots    []tableSlot
	filter   []uint64
	postings []posting
}

type tableSlot struct {
	gram         uint64 // 0: empty
	start, count uint32 // in postings
}

// spread is 2^64 divided by the golden ratio: multiplication by it mixes the low bits of a piece into the high ones.
const spread = 0x9e3779b97f4a7c15

// filterBits are the bits of the filter for each slot: with 16, one of twenty pieces no template is filed under passes.
const filterBits = 16

// home is a piece's bit in a filter of so many bits; its slot is that divided by filterBits.
func home(gram, size uint64) uint64 {
	hi, _ := bits.Mul64(gram*spread, size)
	return hi
}

func (t *table) size() uint64 { return uint64(len(t.slots)) * filterBits }

// probe answers the run of a piece from its slot.
func (t *table) probe(gram, slot uint64) []posting {
	for {
		s := &t.slots[slot]
		if s.gram == gram {
			return t.postings[s.start : s.start+s.count]
		}
		if s.gram == 0 {
			return nil
		}
		if slot++; slot == uint64(len(t.slots)) {
			slot = 0
		}
	}
}

// put notes that a piece has the postings start..end.
func (t *table) put(gram uint64, start, end int) {
	bit := home(gram, t.size())
	t.filter[bit/64] |= 1 << (bit % 64)
	slot := bit / filterBits
	for t.slots[slot].gram != 0 {
		if slot++; slot == uint64(len(t.slots)) {
			slot = 0
		}
	}
	t.slots[slot] = tableSlot{gram, uint32(start), uint32(end - start)}
}

// Len is the number of templates.
func (x *Index) Len() int {
	if x == nil {
		return 0
	}
	return len(x.entries) + len(x.added)
}

// Entries are the templates of the index, the most specific first, then those added since it was built.
func (x *Index) Entries() []Entry {
	if x == nil {
		return nil
	}
	return slices.Concat(x.entries, x.added)
}

// entry is the entry of a posting.
func (x *Index) entry(i uint32) *Entry {
	if int(i) < len(x.entries) {
		return &x.entries[i]
	}
	return &x.added[int(i)-len(x.entries)]
}

// Size is the memory of the index in bytes, beside the templates.
func (x *Index) Size() int {
	const entrySize, postingSize, slotSize = 24, 24, 16
	size := (cap(x.entries)+cap(x.added))*entrySize + (cap(x.list)+cap(x.fresh))*postingSize
	for _, t := range []*table{&x.long, &x.short} {
		size += cap(t.slots)*slotSize + cap(t.filter)*8 + cap(t.postings)*postingSize
	}
	return size
}

// With is the index with more templates. Their ids must be new to it. One template costs microseconds, whatever the size
// of the index; after addedMax of them it is built anew, at some 4 µs for each template.
func (x *Index) With(added ...Entry) *Index {
	if x == nil || len(x.added)+len(added) > addedMax {
		return NewIndex(append(x.Entries(), added...))
	}
	y := *x
	y.added = slices.Concat(x.added, added)
	y.fresh = make([]posting, len(x.fresh), len(y.added))
	copy(y.fresh, x.fresh)
	for i, e := range added {
		y.fresh = append(y.fresh, newPosting(e.Template, len(x.entries)+len(x.added)+i))
	}
	return &y
}

// Without is the index without the templates of some ids. It is built anew.
func (x *Index) Without(ids ...string) *Index {
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	return NewIndex(slices.DeleteFunc(x.Entries(), func(e Entry) bool { return gone[e.ID] }))
}

// order is the order of entries in an index.
func order(a, b Entry) int {
	return cmp.Or(b.Template.FixedBytes()-a.Template.FixedBytes(), strings.Compare(a.Template.body, b.Template.body), strings.Compare(a.ID, b.ID))
}

// newPosting makes the posting of entry i.
func newPosting(t *Template, i int) posting {
	p := posting{entry: uint32(i)}
	if e := t.element(0); e.fixed() {
		first := e.of(t.body)
		p.prefix, p.masks = head8(first), uint16(min(len(first), 8))
	}
	if e := t.element(t.header().elements() - 1); e.fixed() {
		last := e.of(t.body)
		p.suffix = tail8(last)
		p.masks |= uint16(min(len(last), 8)) << 8
	}
	return p
}

// head8 is the first eight bytes, the first lowest.
func head8(s string) (w uint64) {
	for i := range min(len(s), 8) {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}

// tail8 is the last eight bytes, the last highest.
func tail8(s string) (w uint64) {
	for i := range min(len(s), 8) {
		w |= uint64(s[len(s)-1-i]) << (56 - 8*i)
	}
	return w
}
