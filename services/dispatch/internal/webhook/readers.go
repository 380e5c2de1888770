package webhook

import (
	"encoding/hex"
	"errors"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// shape says where an event's parcels hold what a tenant may know, by field number; 0: not at all. News is made from
// wire to wire: decoding and encoding by reflection costs twice as much and a hundred times the allocations.
type shape struct {
	state      typev1.MessageState
	parcelTime protowire.Number // Unix microseconds, of the parcel
	time       protowire.Number // the same, of the entry
	reasons    protowire.Number // type.v1.Reason, once or repeated
	segments   protowire.Number
	encoding   protowire.Number
	code       protowire.Number // the operator's
}

// In all parcels entries are field 5, and in all entries the message id is field 1.
const (
	entries   protowire.Number = 5
	messageID protowire.Number = 1
)

// shapes are the events that are a tenant's news, with the state each speaks for.
var shapes = map[string]shape{
	"onlinesms.ingest.v1.MessagesAccepted":      {state: typev1.MessageState_ACCEPTED, parcelTime: 6},
	"onlinesms.compliance.v1.MessagesCleared":   {state: typev1.MessageState_QUEUED, parcelTime: 6},
	"onlinesms.compliance.v1.MessagesRefused":   {state: typev1.MessageState_REFUSED, parcelTime: 6, reasons: 2},
	"onlinesms.compliance.v1.MessagesHeld":      {state: typev1.MessageState_HELD, parcelTime: 6, reasons: 3},
	"onlinesms.dispatch.v1.MessagesSubmitted":   outcome(typev1.MessageState_SUBMITTED),
	"onlinesms.dispatch.v1.MessagesFailed":      outcome(typev1.MessageState_UNDELIVERED),
	"onlinesms.dispatch.v1.MessagesUnknown":     outcome(typev1.MessageState_UNKNOWN),
	"onlinesms.dispatch.v1.MessagesReturned":    outcome(typev1.MessageState_HELD),
	"onlinesms.dispatch.v1.MessagesDelivered":   outcome(typev1.MessageState_DELIVERED),
	"onlinesms.dispatch.v1.MessagesUndelivered": outcome(typev1.MessageState_UNDELIVERED),
	"onlinesms.dispatch.v1.MessagesExpired":     outcome(typev1.MessageState_EXPIRED),
	"onlinesms.dispatch.v1.MessagesCancelled":   outcome(typev1.MessageState_CANCELLED),
	"onlinesms.compliance.v1.MessagesCancelled": {state: typev1.MessageState_CANCELLED, parcelTime: 6},
}

// outcome is the shape of dispatch's own events.
func outcome(s typev1.MessageState) shape {
	return shape{state: s, time: 3, encoding: 5, segments: 6, reasons: 7, code: 8}
}

var errMalformed = errors.New("malformed protobuf")

// fields calls each for every field; value holds the octets of a length-delimited one, number those of a varint.
func fields(data []byte, each func(f protowire.Number, value []byte, number uint64) error) error {
	for len(data) > 0 {
		f, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(f, kind, data)
		}
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if err := each(f, value, number); err != nil {
			return err
		}
	}
	return nil
}

// read appends the news of one parcel: a feed.v1.MessageUpdate an entry, as field 3 of a feed event. ends gets the
// length of dst after each.
func (s *shape) read(dst []byte, ends []int, parcel []byte) ([]byte, []int, error) {
	var at uint64
	if s.parcelTime != 0 { // it may stand behind the entries
		if err := fields(parcel, func(f protowire.Number, _ []byte, number uint64) error {
			if f == s.parcelTime {
				at = number
			}
			return nil
		}); err != nil {
			return dst, ends, err
		}
	}
	var update []byte
	err := fields(parcel, func(f protowire.Number, value []byte, _ uint64) (err error) {
		if f != entries {
			return nil
		}
		if update, err = s.update(update[:0], value, at); err != nil {
			return err
		}
		dst = protowire.AppendTag(dst, 3, protowire.BytesType)
		dst = protowire.AppendBytes(dst, update)
		ends = append(ends, len(dst))
		return nil
	})
	return dst, ends, err
}

// update appends a feed.v1.MessageUpdate made from an entry.
func (s *shape) update(dst, entry []byte, at uint64) ([]byte, error) {
	dst = protowire.AppendTag(dst, 2, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(s.state))
	err := fields(entry, func(f protowire.Number, value []byte, number uint64) error {
		switch f {
		case messageID:
			if len(value) != len(uuid.UUID{}) {
				return errMalformed
			}
			dst = protowire.AppendTag(dst, 1, protowire.BytesType)
			dst = appendID(protowire.AppendVarint(dst, 36), value)
		case s.time:
			at = number
		case s.reasons:
			dst = appendBytes(dst, 4, value)
		case s.segments:
			dst = protowire.AppendTag(dst, 5, protowire.VarintType)
			dst = protowire.AppendVarint(dst, number)
		case s.encoding:
			dst = appendBytes(dst, 6, value)
		case s.code:
			dst = appendBytes(dst, 7, value)
		}
		return nil
	})
	return appendTime(dst, at), err
}

func appendBytes(dst []byte, f protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, f, protowire.BytesType), value)
}

// appendTime writes Unix microseconds as google.protobuf.Timestamp in field 3.
func appendTime(dst []byte, us uint64) []byte {
	seconds, nanos := us/1e6, us%1e6*1e3
	size := 1 + protowire.SizeVarint(seconds) + 1 + protowire.SizeVarint(nanos)
	dst = protowire.AppendVarint(protowire.AppendTag(dst, 3, protowire.BytesType), uint64(size))
	dst = protowire.AppendVarint(protowire.AppendTag(dst, 1, protowire.VarintType), seconds)
	return protowire.AppendVarint(protowire.AppendTag(dst, 2, protowire.VarintType), nanos)
}

// appendID writes 16 octets as a UUID's text (RFC 9562 4).
func appendID(dst, id []byte) []byte {
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[start:end])
	}
	return dst
}
