package proto

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// events gives every core event: a message whose first field is the metadata and whose second is its parcels.
func events(t *testing.T) []protoreflect.MessageDescriptor {
	t.Helper()
	var found []protoreflect.MessageDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "onlinesms.") || !strings.HasSuffix(file.Path(), "events.proto") ||
			file.Package() == "onlinesms.feed.v1" {
			return true
		}
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			if m.Fields().ByName("metadata") != nil {
				found = append(found, m)
			}
		}
		return true
	})
	if len(found) < 12 {
		t.Fatalf("only %d events found", len(found))
	}
	return found
}

// Inbox, audit and packing read every event as a Pack, whatever its type.
func TestEveryEventIsAPack(t *testing.T) {
	pack := (&eventv1.Pack{}).ProtoReflect().Descriptor()
	shared := (&eventv1.Parcel{}).ProtoReflect().Descriptor()
	for _, event := range events(t) {
		metadata, parcels := event.Fields().ByNumber(1), event.Fields().ByNumber(2)
		if event.Fields().Len() != 2 || metadata.Message() != pack.Fields().ByNumber(1).Message() || !parcels.IsList() {
			t.Errorf("%s is not {Metadata metadata = 1; repeated … parcels = 2}", event.FullName())
			continue
		}
		for i := range shared.Fields().Len() {
			want := shared.Fields().Get(i)
			got := parcels.Message().Fields().ByNumber(want.Number())
			if got == nil || got.Name() != want.Name() || got.Kind() != want.Kind() {
				t.Errorf("%s lacks field %d %s", parcels.Message().FullName(), want.Number(), want.Name())
			}
		}
	}
}

// control are entries of control events: they speak of no message, and have nothing of 16 bytes in field 1 that could be
// taken for one but a call's own id.
var control = map[protoreflect.FullName]bool{
	"onlinesms.ingest.v1.CallRecord": true, "onlinesms.ingest.v1.AccessChange": true, "onlinesms.ingest.v1.ExpiringKey": true,
	"onlinesms.compliance.v1.RegistryReminder":    true,
	"onlinesms.ingest.v1.ExposedKey":              true,
	"onlinesms.ingest.v1.FailedLogins":            true,
	"onlinesms.compliance.v1.Wish":                true,
	"onlinesms.compliance.v1.ComplaintEntry":      true,
	"onlinesms.dispatch.v1.ReceivedOptOut":        true,
	"onlinesms.dispatch.v1.WebhookEndpointNotice": true,
}

// Audit finds messages by position: entries are field 5 of a parcel, a message's id is field 1 of an entry.
func TestEntriesCarryTheMessageIDFirst(t *testing.T) {
	for _, event := range events(t) {
		entries := event.Fields().ByNumber(2).Message().Fields().ByNumber(5)
		if entries.Message() == nil || control[entries.Message().FullName()] {
			continue
		}
		id := entries.Message().Fields().ByNumber(1)
		if !entries.IsList() || id.Name() != "message_id" || id.Kind() != protoreflect.BytesKind {
			t.Errorf("%s: entry's field 1 is %s, want bytes message_id", event.FullName(), id.FullName())
		}
	}
}

// What one type writes the other reads: bytes of a Pack decode as every event and back.
func TestPackBytesDecodeAsEveryEvent(t *testing.T) {
	want := &eventv1.Pack{
		Metadata: &eventv1.Metadata{EventId: []byte("0123456789abcdef"), Producer: "test"},
		Parcels:  []*eventv1.Parcel{{ParcelId: []byte("p"), TenantId: []byte("t"), CorrelationId: []byte("c"), CausationId: []byte("d")}},
	}
	bytes, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range events(t) {
		event := dynamicpb.NewMessage(descriptor)
		if err := proto.Unmarshal(bytes, event); err != nil {
			t.Fatalf("%s: %v", descriptor.FullName(), err)
		}
		back, err := proto.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		var got eventv1.Pack
		if err := proto.Unmarshal(back, &got); err != nil || !proto.Equal(want, &got) {
			t.Errorf("%s does not keep the shared fields: %v %v", descriptor.FullName(), &got, err)
		}
	}
}
