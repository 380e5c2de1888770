package message

import (
	"encoding/binary"
	"errors"

	"github.com/google/uuid"
)

// Receipt is what the sender is told of one message.
type Receipt struct {
	ID      uuid.UUID
	State   State // StateAccepted or StateRefused
	Reasons []Reason
}

var errAnswer = errors.New("stored answer is damaged")

// AppendAnswer packs the receipts of a request for its idempotency row: runs of ids that follow one another, then the
// refused ones. A batch of 1,000 takes some 60 bytes.
//
//	uvarint runs, each: first id (16 bytes), uvarint length | uvarint refused, each: uvarint position, reasons
func AppendAnswer(dst []byte, receipts []Receipt) []byte {
	runs := 0
	var body []byte
	for i := 0; i < len(receipts); {
		n := runLength(receipts[i:])
		body = append(body, receipts[i].ID[:]...)
		body = binary.AppendUvarint(body, uint64(n))
		runs++
		i += n
	}
	dst = append(binary.AppendUvarint(dst, uint64(runs)), body...)
	refused := 0
	body = body[:0]
	for i, r := range receipts {
		if r.State == StateRefused {
			refused++
			body = appendReasons(binary.AppendUvarint(body, uint64(i)), r.Reasons)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(refused)), body...)
}

// runLength counts how many of the receipts, from the first on, have consecutive indices in one parcel.
func runLength(receipts []Receipt) int {
	first := receipts[0].ID
	n := 1
	for n < len(receipts) && IndexOf(first)+n <= indexMask && receipts[n].ID == IDAt(first, IndexOf(first)+n) {
		n++
	}
	return n
}

// ParseAnswer unpacks what AppendAnswer packed.
func ParseAnswer(answer []byte) ([]Receipt, error) {
	r := reader{rest: answer}
	var receipts []Receipt
	for range r.uvarint() {
		first, err := uuid.FromBytes(r.bytes(16))
		n := r.uvarint()
		if err != nil || r.failed || n > MaxBatch {
			return nil, errAnswer
		}
		for i := range int(n) {
			receipts = append(receipts, Receipt{ID: IDAt(first, IndexOf(first)+i), State: StateAccepted})
		}
	}
	for range r.uvarint() {
		at := r.uvarint()
		reasons := r.reasons()
		if r.failed || at >= uint64(len(receipts)) {
			return nil, errAnswer
		}
		receipts[at].State, receipts[at].Reasons = StateRefused, reasons
	}
	if r.failed {
		return nil, errAnswer
	}
	return receipts, nil
}
