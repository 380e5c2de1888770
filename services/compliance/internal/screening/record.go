package screening

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// factsBack is how many distinct facts are compared with a message's before they count as new. Messages that are decided
// together mostly name the same few things; where they do not, comparing with all would cost more than the octets do.
const factsBack = 8

// remember keeps the facts of the message just decided with those of its parcel, once each, and answers their place, from 1.
func (d *decider) remember() int {
	for i := len(d.known) - 1; i >= max(0, len(d.known)-factsBack); i-- {
		if d.known[i].Same(&d.facts) {
			return i + 1
		}
	}
	d.known = append(d.known, d.facts)
	last := &d.known[len(d.known)-1]
	last.Text = nil
	return len(d.known)
}

// digest is a SHA-256 over ids and sealed contents. The id says where a content begins.
func digest(messages []Message) (sum [32]byte) {
	h := sha256.New()
	var length [4]byte
	for i := range messages {
		m := &messages[i]
		h.Write(m.ID[:])
		binary.BigEndian.PutUint32(length[:], uint32(len(m.Content)))
		h.Write(length[:])
		h.Write(m.Content)
	}
	h.Sum(sum[:0])
	return sum
}

// Recorded is a decision with what it was made from.
type Recorded struct {
	Decided
	Message uuid.UUID
	// Facts are nil for what was not decided by the rules (given back by dispatch) or before facts were recorded.
	Facts *policy.Facts
	// Digest is a SHA-256 over the whole record the decision stands in. The events of the decision carry it, so that the
	// audit log vouches for the record.
	Digest [32]byte
}

// Replay makes a recorded decision again, by a pack. It has no effect, and asks nothing but the record.
func (r *Recorded) Replay(pack *policy.Pack) policy.Decision {
	return policy.Evaluate(pack, r.Facts, r.At)
}

// Difference is one thing in which two decisions differ.
type Difference struct{ Field, Recorded, Replayed string }
