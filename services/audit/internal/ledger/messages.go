package ledger

import (
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// indexBits is how many of a message id's last bits are its index in the accepted parcel (design §4.2).
const indexBits = 10

// MessageGroup is messages of one accepted parcel.
type MessageGroup struct {
	Parcel  uuid.UUID // the accepted parcel's id
	Indexes []uint16  // ascending
}

// SplitMessageID gives the accepted parcel a message came in and its index there.
func SplitMessageID(id uuid.UUID) (parcel uuid.UUID, index uint16) {
	tail := binary.BigEndian.Uint16(id[14:])
	parcel = id
	binary.BigEndian.PutUint16(parcel[14:], tail&^(1<<indexBits-1))
	return parcel, tail & (1<<indexBits - 1)
}

// Group sorts message ids into their accepted parcels, parcels and indexes ascending.
func Group(ids []uuid.UUID) []MessageGroup {
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	var groups []MessageGroup
	for _, id := range ids {
		parcel, index := SplitMessageID(id)
		if n := len(groups); n == 0 || groups[n-1].Parcel != parcel {
			groups = append(groups, MessageGroup{Parcel: parcel})
		}
		last := &groups[len(groups)-1]
		last.Indexes = append(last.Indexes, index)
	}
	return groups
}

// AppendGroups packs groups: parcel id (16 bytes), count (2), indexes (2 each), big endian. 2 bytes a message in a
// large parcel instead of 16.
func AppendGroups(dst []byte, groups []MessageGroup) []byte {
	for _, g := range groups {
		dst = append(dst, g.Parcel[:]...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(g.Indexes)))
		for _, i := range g.Indexes {
			dst = binary.BigEndian.AppendUint16(dst, i)
		}
	}
	return dst
}

// ParseGroups unpacks what AppendGroups packed; errs.Invalid when it was not.
func ParseGroups(packed []byte) ([]MessageGroup, error) {
	var groups []MessageGroup
	for len(packed) > 0 {
		if len(packed) < 18 {
			return nil, errs.E(errs.Invalid, "GROUPS_TRUNCATED", "packed message groups end within a head", nil)
		}
		g := MessageGroup{Parcel: uuid.UUID(packed[:16])}
		n := int(binary.BigEndian.Uint16(packed[16:]))
		packed = packed[18:]
		if len(packed) < 2*n {
			return nil, errs.E(errs.Invalid, "GROUPS_TRUNCATED", "packed message groups end within their indexes", nil)
		}
		for i := range n {
			g.Indexes = append(g.Indexes, binary.BigEndian.Uint16(packed[2*i:]))
		}
		packed = packed[2*n:]
		groups = append(groups, g)
	}
	return groups, nil
}
