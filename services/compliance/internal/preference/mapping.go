package preference

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is an open file of preferences or suppressions: verified, mapped, counted.
//
// It is mapped private and writable: an update copies its page, the file stays as it was written and as its checksums
// say. What was updated is in the journal. Go's collector does not see the memory.
type mapping struct {
	*header
	data    []byte
	refs    atomic.Int64 // one of the owner, one for each reader; the last one unmaps
	present []uint64     // a bit for each page that holds anything: pages of a hole are never read into memory
}

// openMapping opens a file, verifies header and checksums, and reads its pages into memory.
func openMapping(path string, want sort) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, headerSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	h, err := decodeHeader(head, want, info.Size())
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", info.Size(), err)
	}
	m := &mapping{header: h, data: data}
	if want == sortPlane {
		m.present = make([]uint64, presentWords)
	}
	m.refs.Store(1)
	if err := m.verify(f); err != nil {
		return nil, errors.Join(err, unix.Munmap(data))
	}
	return m, nil
}

// verify compares the checksums, which also brings the pages that hold anything into memory.
func (m *mapping) verify(f *os.File) error {
	sums := m.data[m.sumsAt : m.sumsAt+4*m.blocks()]
	if binary.LittleEndian.Uint32(m.data[m.sumsAt+4*m.blocks():]) != crc32.Checksum(sums, castagnoli) {
		return fmt.Errorf("the checksums' checksum is wrong")
	}
	return eachBlock(f, m.header, m.page, func(i uint64, sum uint32) error {
		if sum != binary.LittleEndian.Uint32(sums[4*i:]) {
			return fmt.Errorf("block %d of %d is damaged", i+1, m.blocks())
		}
		return nil
	})
}

// page is a page of the mapping; one of the plane that holds anything is marked.
func (m *mapping) page(at uint64) ([]byte, error) {
	page := m.data[at:min(at+pageSize, m.sumsAt)]
	if at < m.tableAt && m.present != nil && !isZero(page) {
		n := (at - m.planeAt) / pageSize
		m.present[n/64] |= 1 << (n % 64)
	}
	return page, nil
}

func isZero(page []byte) bool {
	var all uint64
	for _, w := range words64(page) {
		all |= w
	}
	return all == 0
}

var zeroPage [pageSize]byte

// eachBlock calls do with the checksum of every block between header and checksums. Pages in holes of the file are not
// asked for: they would become memory.
func eachBlock(f *os.File, h *header, page func(at uint64) ([]byte, error), do func(i uint64, sum uint32) error) error {
	holes := holes{file: f}
	for i := range h.blocks() {
		start := h.planeAt + i*blockSize
		end := min(start+blockSize, h.sumsAt)
		sum, err := sumOf(&holes, start, end, page)
		if err != nil {
			return err
		}
		if err := do(i, sum); err != nil {
			return err
		}
	}
	return nil
}

var zeroBlock = crc32.Checksum(make([]byte, blockSize), castagnoli)

// sumOf is the checksum of one block.
func sumOf(holes *holes, start, end uint64, page func(at uint64) ([]byte, error)) (sum uint32, err error) {
	for at := start; at < end; at += pageSize {
		hole, err := holes.at(int64(at))
		if err != nil {
			return 0, err
		}
		if hole && at == start && holes.from >= int64(end) && end-start == blockSize {
			return zeroBlock, nil
		}
		content := zeroPage[:]
		if !hole {
			if content, err = page(at); err != nil {
				return 0, err
			}
		}
		sum = crc32.Update(sum, castagnoli, content)
	}
	return sum, nil
}

// holes tells, of pages in rising order, whether the file has nothing there (lseek(2), SEEK_DATA and SEEK_HOLE).
type holes struct {
	file     *os.File
	from, to int64 // the data that was found last
}

func (h *holes) at(page int64) (bool, error) {
	if page >= h.to {
		var err error
		if h.from, err = h.file.Seek(page, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			h.from, h.to = math.MaxInt64, math.MaxInt64
			return true, nil
		}
		if err == nil {
			h.to, err = h.file.Seek(h.from, unix.SEEK_HOLE)
		}
		if err != nil {
			return false, fmt.Errorf("seek data: %w", err)
		}
	}
	return page+pageSize <= h.from, nil
}

// words64 and words32 see mapped memory, which begins at a page, as words.
func words64(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}
func words32(b []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// acquire counts a reader in, unless the last reference is gone.
func (m *mapping) acquire() bool {
	for {
		n := m.refs.Load()
		if n == 0 {
			return false
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release counts a reader or the owner out.
func (m *mapping) release() {
	if m.refs.Add(-1) == 0 {
		if err := unix.Munmap(m.data); err != nil {
			panic(fmt.Sprintf("preference: unmap: %v", err)) // the kernel has no record of what we mapped
		}
	}
}
