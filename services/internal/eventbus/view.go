package eventbus

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// ParcelView is the shared part of one parcel in an event's bytes (event.v1.Parcel). Ids that are absent are uuid.Nil.
type ParcelView struct {
	ID, Tenant, Correlation, Causation uuid.UUID
	Payload                            []byte // the whole parcel message; a part of the event's bytes, not a copy
}

// Parcels reads the shared fields of every parcel of any event without decoding entries: for inbox claims, audit and
// feed. Bytes that are no event, and parcels without a 16-byte id and tenant, are errs.Invalid as a whole.
func Parcels(data []byte) ([]ParcelView, error) {
	var views []ParcelView
	for len(data) > 0 {
		number, value, rest, ok := nextField(data)
		if !ok {
			return nil, malformed("an event's fields")
		}
		data = rest
		if number != parcelField || value == nil {
			continue
		}
		view, ok := viewParcel(value)
		if !ok {
			return nil, malformed("a parcel's shared fields")
		}
		views = append(views, view)
	}
	return views, nil
}

// Metadata reads an event's head: id, time, environment, lane, producer. An event without one is errs.Invalid.
func Metadata(data []byte) (*eventv1.Metadata, error) {
	var head *eventv1.Metadata
	for len(data) > 0 {
		number, value, rest, ok := nextField(data)
		if !ok {
			return nil, malformed("an event's fields")
		}
		data = rest
		if number != metadataField || value == nil {
			continue
		}
		if head == nil {
			head = &eventv1.Metadata{}
		}
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(value, head); err != nil {
			return nil, malformed("an event's metadata")
		}
	}
	if head == nil {
		return nil, malformed("an event's metadata")
	}
	return head, nil
}

// viewParcel reads fields 1..4 as generated code does: the last occurrence counts, another wire type is unknown.
func viewParcel(data []byte) (view ParcelView, ok bool) {
	view.Payload = data
	var ids [4][]byte
	for len(data) > 0 {
		number, value, rest, ok := nextField(data)
		if !ok {
			return view, false
		}
		data = rest
		if value != nil && number >= 1 && int(number) <= len(ids) {
			ids[number-1] = value
		}
	}
	for i, id := range []*uuid.UUID{&view.ID, &view.Tenant, &view.Correlation, &view.Causation} {
		if len(ids[i]) != 0 && len(ids[i]) != len(id) {
			return view, false
		}
		copy(id[:], ids[i])
	}
	return view, view.ID != uuid.Nil && len(ids[1]) == len(view.Tenant) // all zero is the platform's own tenant
}

// nextField splits off one field; value is nil when it is not length-delimited, and never nil when it is.
func nextField(data []byte) (number protowire.Number, value, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 {
		return 0, nil, nil, false
	}
	data = data[n:]
	if kind == protowire.BytesType {
		value, n = protowire.ConsumeBytes(data)
	} else {
		n = protowire.ConsumeFieldValue(number, kind, data)
	}
	if n < 0 {
		return 0, nil, nil, false
	}
	return number, value, data[n:], true
}

func malformed(what string) error {
	return errs.E(errs.Invalid, "EVENT_MALFORMED", what+" cannot be read", nil)
}
