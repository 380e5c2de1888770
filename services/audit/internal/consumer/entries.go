package consumer

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Field numbers every event keeps to (event.v1.Pack): entries are field 5 of a parcel, a message's id is field 1 of an
// entry. The contract test in proto/ fails where an event breaks this.
const (
	fieldEntries   protowire.Number = 5
	fieldMessageID protowire.Number = 1
)

// messageIDs reads the ids of the messages a parcel speaks of; none for control parcels. errs.Invalid when the bytes are
// no parcel.
func messageIDs(parcel []byte) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := eachField(parcel, func(number protowire.Number, value []byte) {
		if number != fieldEntries {
			return
		}
		// An entry that is not a message (a text, say) does not parse or has no 16-byte id: it names no message.
		_ = eachField(value, func(number protowire.Number, id []byte) {
			if number == fieldMessageID && len(id) == len(uuid.UUID{}) {
				ids = append(ids, uuid.UUID(id))
			}
		})
	})
	return ids, err
}

// eachField calls visit for every length-delimited field and passes over the others.
func eachField(message []byte, visit func(protowire.Number, []byte)) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return malformed(n)
		}
		message = message[n:]
		if kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return malformed(n)
			}
			visit(number, value)
			message = message[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return malformed(n)
		}
		message = message[n:]
	}
	return nil
}

func malformed(n int) error {
	return errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no protobuf message", protowire.ParseError(n))
}
