package preference

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// A file is header, plane (not in suppression tables), table, checksums. Little endian.
//
//	0    magic, version u32, sort u32       120  offsets of plane, table, sums; length of plane; slots u64 each
//	16   run id                             160  dictionary, 16 x u32
//	32   numbers, suppressed, lines u64     224  provider: length u16, 126 bytes
//	56   at, expires in microseconds i64    352  reference: the same
//	72   coverage u32                       4092 CRC-32C of the header before it
//
// The checksums are CRC-32C of each MiB of plane and table, then one of these checksums.
const (
	headerSize = 4096
	pageSize   = 4096
	blockSize  = 1 << 20
	version    = 1
	textMax    = 126
)

var magic = [8]byte{'O', 'S', 'M', 'S', 'P', 'R', 'E', 'F'}

type sort uint32

const (
	sortPlane sort = 1
	sortSet   sort = 2
)

type header struct {
	sort                               sort
	run                                Run
	planeAt, planeLen, tableAt, sumsAt uint64
	slots                              uint64 // of the table: 8 bytes each beside a plane, 4 in a suppression table
	dictionary                         [16]Preference
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h *header) slotSize() uint64 {
	if h.sort == sortPlane {
		return 8
	}
	return 4
}

// lay places plane, table and checksums one behind the other.
func (h *header) lay() {
	h.planeAt = headerSize
	h.tableAt = h.planeAt + pages(h.planeLen)
	h.sumsAt = h.tableAt + pages(h.slots*h.slotSize())
}

// blocks is how many checksums there are.
func (h *header) blocks() uint64 { return (h.sumsAt - h.planeAt + blockSize - 1) / blockSize }

// size is the length of the file.
func (h *header) size() uint64 { return h.sumsAt + 4*h.blocks() + 4 }

func pages(n uint64) uint64 { return (n + pageSize - 1) / pageSize * pageSize }

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, magic[:])
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(h.sort))
	copy(b[16:], h.run.ID[:])
	for i, v := range []uint64{h.run.Numbers, h.run.Suppressed, h.run.Lines, uint64(h.run.At.UnixMicro()), uint64(h.run.Expires.UnixMicro())} {
		le.PutUint64(b[32+8*i:], v)
	}
	le.PutUint32(b[72:], uint32(h.run.Coverage))
	for i, v := range []uint64{h.planeAt, h.tableAt, h.sumsAt, h.planeLen, h.slots} {
		le.PutUint64(b[120+8*i:], v)
	}
	for i, p := range h.dictionary {
		le.PutUint32(b[160+4*i:], uint32(p))
	}
	putText(b[224:], h.run.Provider)
	putText(b[352:], h.run.Reference)
	le.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	return b
}

func putText(b []byte, s string) {
	binary.LittleEndian.PutUint16(b, uint16(len(s)))
	copy(b[2:2+textMax], s)
}

// decodeHeader reads a header and judges everything in it, so that what follows may rely on it.
func decodeHeader(b []byte, want sort, fileSize int64) (*header, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize || [8]byte(b[:8]) != magic:
		return nil, fmt.Errorf("not a preference file")
	case le.Uint32(b[8:]) != version:
		return nil, fmt.Errorf("version %d of the format; this program reads %d", le.Uint32(b[8:]), version)
	case le.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli):
		return nil, fmt.Errorf("the header's checksum is wrong")
	case sort(le.Uint32(b[12:])) != want:
		return nil, fmt.Errorf("a file of another sort")
	}
	u := func(at int) uint64 { return le.Uint64(b[at:]) }
	h := &header{sort: want, planeLen: u(144), slots: u(152)}
	copy(h.run.ID[:], b[16:])
	h.run.Numbers, h.run.Suppressed, h.run.Lines = u(32), u(40), u(48)
	h.run.At, h.run.Expires = time.UnixMicro(int64(u(56))).In(IST), time.UnixMicro(int64(u(64))).In(IST)
	h.run.Coverage = Coverage(le.Uint32(b[72:]))
	for i := range h.dictionary {
		h.dictionary[i] = Preference(le.Uint32(b[160+4*i:]))
	}
	var err error
	if h.run.Provider, err = text(b[224:]); err != nil {
		return nil, err
	}
	if h.run.Reference, err = text(b[352:]); err != nil {
		return nil, err
	}
	return h, h.judge(u(120), u(128), u(136), fileSize)
}

// judge compares the offsets with those the lengths give, and the dictionary with what a preference may be.
func (h *header) judge(planeAt, tableAt, sumsAt uint64, fileSize int64) error {
	wantPlane := uint64(planeBytes)
	if h.sort == sortSet {
		wantPlane = 0
	}
	if h.planeLen != wantPlane || h.slots < 1 || h.slots > 1<<33 || h.run.Coverage > All {
		return fmt.Errorf("the header's lengths are out of range")
	}
	h.lay()
	if planeAt != h.planeAt || tableAt != h.tableAt || sumsAt != h.sumsAt || fileSize != int64(h.size()) {
		return fmt.Errorf("the file has %d bytes, its header speaks of %d", fileSize, h.size())
	}
	for _, p := range h.dictionary {
		if !p.valid() {
			return fmt.Errorf("the header's dictionary is not valid")
		}
	}
	return nil
}

func text(b []byte) (string, error) {
	n := int(binary.LittleEndian.Uint16(b))
	if n > textMax {
		return "", fmt.Errorf("a text of %d bytes in the header", n)
	}
	return string(b[2 : 2+n]), nil
}
