package preference

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/bits"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

func dictionaryOf(counts map[Preference]int) (d [16]Preference) {
	d[codeFull], d[codeListed], d[codeEscape] = Full, None, None
	delete(counts, Full)
	delete(counts, None)
	commonest := slices.SortedFunc(maps.Keys(counts), func(a, b Preference) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	for i := range d[codeListed+1 : codeEscape] {
		d[codeListed+1+i] = Full // a free code repeats it; codeOf finds code 1 first
		if i < len(commonest) {
			d[codeListed+1+i] = commonest[i]
		}
	}
	return d
}

// The loader parts the numbers into ranges of 2^22 before it stores them: two MiB of plane, which the second cache holds.
// A shuffled file would otherwise miss cache and page table at each line.
const (
	rangeBits = 22
	ranges    = (Numbers + 1<<rangeBits - 1) >> rangeBits
	chunkLen  = 1024    // records of a chunk: a range's share is kept in chunks
	chunks    = 1 << 16 // 256 MiB of records, then all ranges are stored
)

type chunk struct {
	records [chunkLen]uint32 // offset in the range and code
	next    *chunk           // the one before it in the same range
	used    int
}

type escape struct {
	number     Number
	preference Preference
}

// loader fills a new file. It is used once.
type loader struct {
	file    *os.File
	header  *header
	plane   []byte
	open    [ranges]*chunk
	pool    []*chunk
	taken   int // chunks of the pool in use
	escapes []escape
}

// load writes a plane file from an import file. The file is whole and synced when it returns nil.
func load(ctx context.Context, file *os.File, run Run, in *lines) (*header, error) {
	dictionary, err := in.sample()
	if err != nil {
		return nil, err
	}
	l := &loader{file: file, header: &header{sort: sortPlane, run: run, planeLen: planeBytes, dictionary: dictionary}}
	if err := l.mapPlane(); err != nil {
		return nil, err
	}
	err = in.each(ctx, l.take)
	if err == nil {
		l.store()
	}
	if e := unix.Munmap(l.plane); err == nil && e != nil {
		err = fmt.Errorf("unmap: %w", e)
	}
	if err != nil {
		return nil, err
	}
	return l.finish(in.Lines)
}

func (l *loader) mapPlane() error {
	l.header.lay()
	if err := l.file.Truncate(int64(l.header.tableAt)); err != nil {
		return fmt.Errorf("lengthen the file: %w", err)
	}
	var err error
	if l.plane, err = unix.Mmap(int(l.file.Fd()), headerSize, int(l.header.tableAt-headerSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map the new file: %w", err)
	}
	return nil
}

// take puts a number into its range's chunk.
func (l *loader) take(n Number, p Preference) {
	code := l.code(p)
	if code == codeEscape {
		l.escapes = append(l.escapes, escape{n, p})
	}
	r := n >> rangeBits
	c := l.open[r]
	if c == nil || c.used == chunkLen {
		c = l.chunk(r)
	}
	c.records[c.used&(chunkLen-1)] = uint32(n)<<(32-rangeBits)>>(32-rangeBits-4) | uint32(code)
	c.used++
}

func (l *loader) code(p Preference) uint64 {
	if p == Full {
		return codeFull
	}
	return codeOf(&l.header.dictionary, p)
}

// chunk gives range r a new chunk, after storing everything when there is none.
func (l *loader) chunk(r Number) *chunk {
	if l.taken == len(l.pool) {
		if len(l.pool) < chunks {
			l.pool = append(l.pool, new(chunk))
		} else {
			l.store()
		}
	}
	c := l.pool[l.taken]
	l.taken++
	c.next, c.used = l.open[r], 0
	l.open[r] = c
	return c
}

// store writes all chunks into the plane, range by range, in the order of their lines.
func (l *loader) store() {
	var row []*chunk
	for r := range l.open {
		row = row[:0]
		for c := l.open[r]; c != nil; c = c.next {
			row = append(row, c)
		}
		plane := l.plane[min(r<<(rangeBits-1), len(l.plane)):]
		for i := len(row) - 1; i >= 0; i-- {
			row[i].store(plane)
		}
		l.open[r] = nil
	}
	l.taken = 0
}

// store writes a chunk's records; of a number named again, the last line counts.
func (c *chunk) store(plane []byte) {
	for _, record := range c.records[:c.used] {
		at, shift, code := record>>5, record>>4&1*4, byte(record&15)
		plane[at] = plane[at]&^(15<<shift) | code<<shift
	}
}

// finish writes table, checksums and header, and syncs.
func (l *loader) finish(lines uint64) (*header, error) {
	h := l.header
	h.slots = uint64(len(l.escapes))*10/7 + 1<<16 // load 0.7, and room for updates
	h.lay()
	if err := l.file.Truncate(int64(h.size())); err != nil {
		return nil, fmt.Errorf("lengthen the file: %w", err)
	}
	if err := l.table(); err != nil {
		return nil, err
	}
	h.run.Lines = lines
	return h, seal(l.file, h)
}

// table writes the escapes.
func (l *loader) table() error {
	if len(l.escapes) == 0 {
		return nil
	}
	size := pages(l.header.slots * 8)
	data, err := unix.Mmap(int(l.file.Fd()), int64(l.header.tableAt), int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the table: %w", err)
	}
	table := words64(data)[:l.header.slots]
	for _, e := range l.escapes {
		put(table, e.number, e.preference)
	}
	return unix.Munmap(data)
}

// seal counts the numbers of a file whose plane and table are there, writes checksums and header, and syncs it.
func seal(file *os.File, h *header) error {
	var sums []byte
	var listed, free uint64
	buffer := make([]byte, pageSize)
	page := func(at uint64) ([]byte, error) {
		if _, err := file.ReadAt(buffer, int64(at)); err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		if at < h.tableAt {
			l, f := countPage(buffer)
			listed, free = listed+l, free+f
		}
		return buffer, nil
	}
	err := eachBlock(file, h, page, func(_ uint64, sum uint32) error {
		sums = binary.LittleEndian.AppendUint32(sums, sum)
		return nil
	})
	if err != nil {
		return err
	}
	if h.sort == sortPlane {
		h.run.Numbers, h.run.Suppressed = listed, listed-free
	}
	sums = binary.LittleEndian.AppendUint32(sums, crc32.Checksum(sums, castagnoli))
	if _, err := file.WriteAt(sums, int64(h.sumsAt)); err != nil {
		return fmt.Errorf("write the checksums: %w", err)
	}
	if _, err := file.WriteAt(h.encode(), 0); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	return file.Sync()
}

// countPage counts the numbers of a page of the plane that are in the file, and of these the ones with nothing registered.
func countPage(page []byte) (listed, free uint64) {
	for _, w := range words64(page) {
		if w == 0 {
			continue
		}
		listed += uint64(bits.OnesCount64(anyOf(w)))
		free += 16 - uint64(bits.OnesCount64(anyOf(w^codeListed*eachNibble)))
	}
	return listed, free
}

const eachNibble = 0x1111111111111111

// anyOf sets the lowest bit of each four that are not all zero.
func anyOf(w uint64) uint64 {
	w |= w >> 2
	return (w | w>>1) & eachNibble
}
