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

// verify compares the checksums, which also brings the file into memory. Holes are not read: a block without data has
// the checksum of zeros.
func (m *mapping) verify(f *os.File) error {
	sums := m.data[m.sumsAt : m.sumsAt+4*m.blocks()]
	if binary.LittleEndian.Uint32(m.data[m.sumsAt+4*m.blocks():]) != crc32.Checksum(sums, castagnoli) {
		return fmt.Errorf("the checksums' checksum is wrong")
	}
	return eachBlock(f, m.header, func(i, start, end uint64, hole bool) error {
		sum := zeroSum(end - start)
		if !hole {
			sum = crc32.Checksum(m.data[start:end], castagnoli)
			m.note(start, end)
		}
		if sum != binary.LittleEndian.Uint32(sums[4*i:]) {
			return fmt.Errorf("block %d of %d is damaged", i+1, m.blocks())
		}
		return nil
	})
}

// note marks the pages of a block that hold anything.
func (m *mapping) note(start, end uint64) {
	for at := start; at < min(end, m.tableAt); at += pageSize {
		if !isZero(m.data[at : at+pageSize]) {
			page := (at - m.planeAt) / pageSize
			m.present[page/64] |= 1 << (page % 64)
		}
	}
}

func isZero(page []byte) bool {
	var all uint64
	for _, w := range words64(page) {
		all |= w
	}
	return all == 0
}

// eachBlock calls do for every block between header and checksums, telling whether the file has a hole there.
func eachBlock(f *os.File, h *header, do func(i, start, end uint64, hole bool) error) error {
	next := int64(-1) // the next byte that has data, by lseek(2)
	for i := range h.blocks() {
		start := h.planeAt + i*blockSize
		end := min(start+blockSize, h.sumsAt)
		if next < int64(start) {
			var err error
			if next, err = nextData(f, int64(start)); err != nil {
				return err
			}
		}
		if err := do(i, start, end, next >= int64(end)); err != nil {
			return err
		}
	}
	return nil
}

// nextData answers where data begins at or behind a place, past every file when there is none.
func nextData(f *os.File, at int64) (int64, error) {
	next, err := f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, fmt.Errorf("seek data: %w", err)
	}
	return next, nil
}

var zeroBlockSum = crc32.Checksum(make([]byte, blockSize), castagnoli)

func zeroSum(n uint64) uint32 {
	if n == blockSize {
		return zeroBlockSum
	}
	return crc32.Checksum(make([]byte, n), castagnoli)
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
