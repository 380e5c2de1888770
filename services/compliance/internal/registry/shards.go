package registry

import (
	"iter"
	"slices"
)

// shardCount bounds what a change copies: of 100,000 templates one table of some 400.
const shardCount = 256

// shards is an immutable map in parts, which versions of a snapshot share. A look-up waits for memory once for the table
// and once for the value.
type shards[V any] struct {
	parts [shardCount]*table[V] // nil: nothing
}

// table is a hash table by open addressing: of a power of two slots, at most seven of eight in use. Four slots lie in a
// cache line.
type table[V any] struct {
	slots []slot[V]
	used  int
}

// slot holds a value and its name; the zero value is empty.
type slot[V any] struct {
	word  word
	value *V
}

const leastSlots = 8

// shardOf takes other bits of a hash than the place in a table does.
func shardOf(hash uint64) int { return int(hash >> 56) }

func (s *shards[V]) get(name string) *V { return s.find(wordOf(name)) }

func (s *shards[V]) find(w word) *V {
	hash := w.hash()
	return s.parts[shardOf(hash)].find(w, hash)
}

func (s *shards[V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		for _, part := range s.parts {
			if part == nil {
				continue
			}
			for _, e := range part.slots {
				if e.value != nil && !yield(e.value) {
					return
				}
			}
		}
	}
}

func (t *table[V]) find(w word, hash uint64) *V {
	if t == nil {
		return nil
	}
	slots, last := t.slots, uint64(len(t.slots))-1
	for i := hash; ; i++ {
		if e := &slots[i&last]; e.word == w || e.word == 0 {
			return e.value
		}
	}
}

// put is for the table's maker, before it is shared.
func (t *table[V]) put(w word, v *V) {
	if 8*(t.used+1) > 7*len(t.slots) {
		t.move(max(leastSlots, 2*len(t.slots)), 0)
	}
	last := uint64(len(t.slots)) - 1
	i := w.hash() & last
	for t.slots[i].word != w && t.slots[i].word != 0 {
		i = (i + 1) & last
	}
	if t.slots[i].word == 0 {
		t.used++
	}
	t.slots[i] = slot[V]{w, v}
}

// move lays everything but one word out anew.
func (t *table[V]) move(size int, but word) {
	old := t.slots
	t.slots, t.used = make([]slot[V], size), 0
	for _, e := range old {
		if e.word != 0 && e.word != but {
			t.put(e.word, e.value)
		}
	}
}

// edit makes the next version: parts are copied when they are written first, values by whoever changes them.
type edit[V any] struct {
	*shards[V]
	own [shardCount]bool
}

// part is this version's own part for a hash.
func (e *edit[V]) part(hash uint64) *table[V] {
	i := shardOf(hash)
	if !e.own[i] {
		part := table[V]{}
		if old := e.parts[i]; old != nil {
			part = table[V]{slices.Clone(old.slots), old.used}
		}
		e.parts[i], e.own[i] = &part, true
	}
	return e.parts[i]
}

// put is for names that were checked: every one has a word.
func (e *edit[V]) put(name string, v *V) {
	w := wordOf(name)
	e.part(w.hash()).put(w, v)
}

func (e *edit[V]) remove(name string) {
	if w := wordOf(name); e.find(w) != nil {
		part := e.part(w.hash())
		part.move(len(part.slots), w)
	}
}
