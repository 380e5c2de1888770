package eventbus

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// The platform's own tenant is all zero and there; a tenant that is absent is not.
func TestThePlatformIsATenant(t *testing.T) {
	parcel := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat([]byte{1}, 16))
	event := func(parcel []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), parcel)
	}
	if _, err := Parcels(event(parcel)); errs.KindOf(err) != errs.Invalid || err == nil {
		t.Errorf("a parcel of nobody: %v", err)
	}
	parcel = protowire.AppendBytes(protowire.AppendTag(parcel, 2, protowire.BytesType), make([]byte, 16))
	if views, err := Parcels(event(parcel)); err != nil || len(views) != 1 {
		t.Errorf("a parcel of the platform: %v, %v", views, err)
	}
}
