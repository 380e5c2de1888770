package eventbus

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// Field numbers of event.v1.Pack.
const (
	metadataField = 1
	parcelField   = 2
)

// pack is what one event will hold: parcels of one subject.
type pack struct {
	subject string
	id      uuid.UUID // event id: message id for the server's dedupe, the same in every retry
	since   time.Time // when its oldest parcel was handed over
	parcels []Parcel
	entries int
	bytes   int
}

// appendPack appends the event to dst: metadata, then the parcels as they are. Parcels were encoded in the producing
// transaction, so packing is concatenation.
func appendPack(dst []byte, p pack, producer string, now time.Time) ([]byte, error) {
	_, env, lane, _ := ParseSubject(p.subject)
	head := &eventv1.Metadata{
		EventId:  p.id[:],
		Time:     timestamppb.New(now),
		Env:      typev1.Environment(typev1.Environment_value[strings.ToUpper(env)]),
		Lane:     typev1.Lane(typev1.Lane_value[strings.ToUpper(lane)]),
		Producer: producer,
	}
	dst = slices.Grow(dst, p.bytes+len(p.parcels)*6+128)
	dst = protowire.AppendTag(dst, metadataField, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(proto.Size(head)))
	dst, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst, head)
	if err != nil {
		return nil, err
	}
	for _, parcel := range p.parcels {
		dst = protowire.AppendTag(dst, parcelField, protowire.BytesType)
		dst = protowire.AppendBytes(dst, parcel.Payload)
	}
	return dst, nil
}
