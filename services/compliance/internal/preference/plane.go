package preference

import (
	"sync/atomic"
)

// planeBytes is four bits for each number.
const planeBytes = Numbers / 2

const (
	// presentWords is the length of the bits that say which pages hold anything, for every uint32: 64 KB.
	presentWords = 1 << 32 / (2 * pageSize) / 64
	// zeroWord is a word behind the last number, on its page: what is read for numbers of a page that is not there.
	zeroWord = planeBytes / 8
)

const (
	codeNone   = 0  // not in the file
	codeFull   = 1  // fully blocked, the commonest by far
	codeListed = 2  // scrubbed, nothing registered
	codeEscape = 15 // the preference is in the table; codes 3-14 are the commonest others
)

// Result is the answer of a look-up. The zero value says that nothing is known.
type Result struct {
	Preference Preference
	Scrubbed   bool // the run in force speaks of the number
}

// plane is a mapped file with its ways to read and to change it. Readers and updates take no lock: a number is four bits
// of a word, an escape one word, each written in one step.
type plane struct {
	*mapping
	words   []uint64   // sixteen numbers each
	table   []uint64   // number + 1 in the high half, preference in the low; 0 is free
	answers [16]Result // of the codes
	used    uint64     // slots of the table, written by the one who updates
}

func openPlane(path string) (*plane, error) {
	m, err := openMapping(path, sortPlane)
	if err != nil {
		return nil, err
	}
	return planeOn(m), nil
}

// planeOn reads a mapping as a plane.
func planeOn(m *mapping) *plane {
	p := &plane{mapping: m, words: words64(m.data[m.planeAt:m.tableAt]), table: words64(m.data[m.tableAt : m.tableAt+8*m.slots])}
	p.answers[codeNone] = Result{Scrubbed: m.run.Coverage == All}
	for code := codeFull; code < codeEscape; code++ {
		p.answers[code] = Result{Preference: m.dictionary[code], Scrubbed: true}
	}
	for _, slot := range p.table {
		if slot != 0 {
			p.used++
		}
	}
	return p
}

// look answers for one number: a bit that stays in the second cache, then one load that misses.
func (p *plane) look(n Number) Result {
	if n >= Numbers {
		return Result{}
	}
	page := n / (2 * pageSize)
	if atomic.LoadUint64(&p.present[page/64])>>(page%64)&1 == 0 {
		return p.answers[codeNone]
	}
	code := atomic.LoadUint64(&p.words[n/16]) >> (n % 16 * 4) & 15
	if code == codeEscape {
		return p.escaped(n)
	}
	return p.answers[code]
}

// lookBatch answers for at most 256 numbers. First it finds out where they stand, then it loads all words and does nothing
// else, then it looks at them, and last it does the same with those that are escaped: no branch waits for memory, so the
// loads wait together. That halves the time of one loop that does it all.
func (p *plane) lookBatch(dst []Result, numbers []Number) {
	var places [batch]uint32
	var words [batch]uint64
	var escaped [batch]uint8
	for i, n := range numbers {
		page := n / (2 * pageSize)
		bit := uint32(atomic.LoadUint64(&p.present[page/64]) >> (page % 64) & 1)
		places[i&(batch-1)] = zeroWord ^ (zeroWord^uint32(n/16))&-bit
	}
	for i := range numbers {
		words[i&(batch-1)] = atomic.LoadUint64(&p.words[places[i&(batch-1)]])
	}
	count := 0
	for i, n := range numbers {
		code := words[i&(batch-1)] >> (n % 16 * 4) & 15
		dst[i] = p.answers[code]
		escaped[count&(batch-1)] = uint8(i)
		count += int(code+1) >> 4 // one for codeEscape: a branch would be guessed wrong too often
	}
	if count > 0 {
		p.escapedBatch(dst, numbers, escaped[:count])
	}
}

func (p *plane) escapedBatch(dst []Result, numbers []Number, which []uint8) {
	var first [batch]uint64
	slots := uint64(len(p.table))
	for i, at := range which {
		first[i&(batch-1)] = atomic.LoadUint64(&p.table[slotOf(numbers[at], slots)])
	}
	for i, at := range which {
		n := numbers[at]
		if slot := first[i&(batch-1)]; slot>>32 == uint64(n)+1 {
			dst[at] = Result{Preference: Preference(slot), Scrubbed: true}
		} else {
			dst[at] = p.escaped(n)
		}
	}
}

// batch is how many loads wait together: with 64 the wait for the last of them still showed.
const batch = 256

// slotOf spreads numbers over any number of slots, not a power of two only: the high half of a product.
func slotOf(n Number, slots uint64) uint64 {
	return uint64(uint32(uint64(n)*0x9E3779B97F4A7C15>>32)) * slots >> 32
}

func (p *plane) escaped(n Number) Result {
	for at := slotOf(n, uint64(len(p.table))); ; {
		slot := atomic.LoadUint64(&p.table[at])
		if slot>>32 == uint64(n)+1 {
			return Result{Preference: Preference(slot), Scrubbed: true}
		}
		if slot == 0 {
			return Result{} // a torn file cannot come here: its checksum fails
		}
		if at++; at == uint64(len(p.table)) {
			at = 0
		}
	}
}

// codeOf is the code of a preference, codeEscape when the dictionary lacks it.
func codeOf(dictionary *[16]Preference, p Preference) uint64 {
	for code := codeFull; code < codeEscape; code++ {
		if dictionary[code] == p {
			return uint64(code)
		}
	}
	return codeEscape
}

// hasRoom tells whether n more preferences may be escaped: at 7 slots of 8 a look-up takes too many steps.
func (p *plane) hasRoom(n int) bool { return p.used+uint64(n) <= uint64(len(p.table))/8*7 }

// set changes one number. Only one goroutine may set at a time; readers see the old answer or the new one.
func (p *plane) set(n Number, preference Preference) {
	code := codeOf(&p.dictionary, preference)
	if code == codeEscape {
		p.used += put(p.table, n, preference)
	}
	word, shift := &p.words[n/16], n%16*4
	for {
		old := atomic.LoadUint64(word)
		if atomic.CompareAndSwapUint64(word, old, old&^(15<<shift)|code<<shift) {
			break
		}
	}
	page := n / (2 * pageSize)
	atomic.OrUint64(&p.present[page/64], 1<<(page%64))
}

// put writes into a table with room and answers how many slots that took.
func put(table []uint64, n Number, preference Preference) uint64 {
	entry := (uint64(n)+1)<<32 | uint64(preference)
	for at := slotOf(n, uint64(len(table))); ; {
		slot := atomic.LoadUint64(&table[at])
		if slot == 0 || slot>>32 == entry>>32 {
			atomic.StoreUint64(&table[at], entry)
			if slot == 0 {
				return 1
			}
			return 0
		}
		if at++; at == uint64(len(table)) {
			at = 0
		}
	}
}
