package message

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
)

// An id is UUIDv7-shaped (RFC 9562 section 5.7). Of a parcel's id the last 10 bits are zero; a message's id is its
// parcel's id with the message's index there.
const (
	indexBits = 10
	indexMask = 1<<indexBits - 1

	// MaxParcel is how many messages a parcel holds at most (design decision 2).
	MaxParcel = 500
)

// IDs mints parcel ids: strictly increasing in one process, and unique across processes by 52 random bits. The 12 bits
// after the time count ids within a millisecond; when they run over, or the clock goes back, the id runs ahead of the
// clock rather than repeat.
type IDs struct {
	now    func() time.Time
	random io.Reader

	mu    sync.Mutex
	last  int64 // milliseconds
	count uint16
}

// NewIDs makes a mint from a clock and a source of randomness (crypto/rand.Reader).
func NewIDs(now func() time.Time, random io.Reader) *IDs {
	return &IDs{now: now, random: random}
}

// Parcel mints a parcel id. It fails only when randomness does.
func (g *IDs) Parcel() (uuid.UUID, error) {
	var id uuid.UUID
	if _, err := io.ReadFull(g.random, id[8:]); err != nil {
		return id, fmt.Errorf("reading randomness: %w", err)
	}
	ms, count := g.tick()
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|uint64(count))
	low := binary.BigEndian.Uint64(id[8:])
	binary.BigEndian.PutUint64(id[8:], low&^(3<<62)&^uint64(indexMask)|2<<62)
	return id, nil
}

func (g *IDs) tick() (ms int64, count uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ms := g.now().UnixMilli(); ms > g.last {
		g.last, g.count = ms, 0
		return g.last, 0
	}
	g.count++
	if g.count == 1<<12 {
		g.last, g.count = g.last+1, 0
	}
	return g.last, g.count
}

// IDAt is the id of the message at index (0..499) of a parcel.
func IDAt(parcel uuid.UUID, index int) uuid.UUID {
	low := binary.BigEndian.Uint16(parcel[14:])
	binary.BigEndian.PutUint16(parcel[14:], low&^indexMask|uint16(index))
	return parcel
}

// ParcelOf is the parcel a message is in.
func ParcelOf(id uuid.UUID) uuid.UUID { return IDAt(id, 0) }

// IndexOf is a message's place in its parcel, 0..1023.
func IndexOf(id uuid.UUID) int { return int(binary.BigEndian.Uint16(id[14:]) & indexMask) }

// TimeOf is when the id was minted, to the millisecond, in UTC.
func TimeOf(id uuid.UUID) time.Time {
	ms := binary.BigEndian.Uint64(id[:8]) >> 16
	return time.UnixMilli(int64(ms)).UTC()
}

// FirstAt is the lowest id that can be minted at t: a bound for paging by time.
func FirstAt(t time.Time) uuid.UUID {
	var id uuid.UUID
	if ms := t.UnixMilli(); ms > 0 {
		binary.BigEndian.PutUint64(id[:8], uint64(min(ms, 1<<48-1))<<16)
	}
	return id
}
