package smsc

import "hash/maphash"

// seenSet remembers submits by a 128-bit hash: 5 million take about 130 MiB. It
// is 256 open-addressing tables that grow one by one, so that growing never
// needs the memory twice nor stops the simulator for long. The owner guards it.
type seenSet struct {
	low, high maphash.Seed
	tables    [256]seenTable
	count     uint64
}

// digest is a hash of a submit; the zero digest marks an empty place.
type digest struct{ low, high uint64 }

type seenTable struct {
	places []digest // power of two, at most four fifths full
	used   int
}

func newSeenSet() *seenSet {
	return &seenSet{low: maphash.MakeSeed(), high: maphash.MakeSeed()}
}

// add remembers the key and reports whether it is new.
func (s *seenSet) add(key []byte) bool {
	d := digest{maphash.Bytes(s.low, key), maphash.Bytes(s.high, key) | 1}
	if !s.tables[d.high>>56].add(d) {
		return false
	}
	s.count++
	return true
}

func (t *seenTable) add(d digest) bool {
	if 5*(t.used+1) > 4*len(t.places) {
		t.grow()
	}
	place := t.find(d)
	if *place == d {
		return false
	}
	*place = d
	t.used++
	return true
}

// find returns the place that holds d, or the empty one where it belongs.
func (t *seenTable) find(d digest) *digest {
	for i := d.low; ; i++ {
		if place := &t.places[i&uint64(len(t.places)-1)]; *place == d || *place == (digest{}) {
			return place
		}
	}
}

func (t *seenTable) grow() {
	old := t.places
	t.places = make([]digest, max(64, 2*len(old)))
	for _, d := range old {
		if d != (digest{}) {
			*t.find(d) = d
		}
	}
}
