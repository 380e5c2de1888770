package ledger

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func exampleEntry() Entry {
	tenant := uuid.MustParse("01930000-0000-7000-8000-000000000001")
	parcel := uuid.MustParse("01930000-0000-7000-8000-00000000a400")
	at := time.Date(2026, 10, 12, 4, 30, 0, 123456789, time.UTC)
	return Entry{
		EventID: parcel, Tenant: tenant, Env: "test", Action: "onlinesms.ingest.v1.MessagesAccepted",
		Actor: "service/ingest", Resource: "parcel/" + parcel.String(), Outcome: Success,
		Correlation: parcel, OccurredAt: at, ReceivedAt: at.Add(time.Second),
		Messages: []MessageGroup{{Parcel: parcel, Indexes: []uint16{0, 1, 2}}},
		Fields:   []Field{{Name: FieldMessages, Value: []byte("value")}},
	}
}

// The leaf format is fixed for ever: the file is the promise.
func TestLeafFormatIsFixed(t *testing.T) {
	record := NewRecord(exampleEntry())
	file := filepath.Join("testdata", "leaf_v1.txt")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read the golden leaf: %v\n%s", err, record.Leaf)
	}
	if diff := cmp.Diff(string(want), string(record.Leaf)); diff != "" {
		t.Errorf("leaf v1 changed (-want +got):\n%s", diff)
	}
	sum := sha256.Sum256(append([]byte{0}, want...))
	if !bytes.Equal(record.Hash[:], sum[:]) {
		t.Errorf("leaf hash is not SHA-256(0x00 || leaf): %x, want %x", record.Hash, sum)
	}
}

func TestEveryFieldIsInTheLeaf(t *testing.T) {
	base := NewRecord(exampleEntry()).Hash
	changes := map[string]func(*Entry){
		"event id":    func(e *Entry) { e.EventID[0]++ },
		"tenant":      func(e *Entry) { e.Tenant[0]++ },
		"env":         func(e *Entry) { e.Env = "live" },
		"action":      func(e *Entry) { e.Action += "x" },
		"actor":       func(e *Entry) { e.Actor += "x" },
		"resource":    func(e *Entry) { e.Resource += "\nactor x" },
		"outcome":     func(e *Entry) { e.Outcome = Failure },
		"reason":      func(e *Entry) { e.Reason = "X" },
		"request id":  func(e *Entry) { e.RequestID = "x" },
		"correlation": func(e *Entry) { e.Correlation[0]++ },
		"causation":   func(e *Entry) { e.Causation[0]++ },
		"occurred":    func(e *Entry) { e.OccurredAt = e.OccurredAt.Add(time.Microsecond) },
		"received":    func(e *Entry) { e.ReceivedAt = e.ReceivedAt.Add(time.Microsecond) },
		"count":       func(e *Entry) { e.Messages[0].Indexes = e.Messages[0].Indexes[1:] },
		"value":       func(e *Entry) { e.Fields[0].Value = []byte("valuf") },
		"salt":        func(e *Entry) { e.Fields[0].Salt[31]++ },
		"field name":  func(e *Entry) { e.Fields[0].Name = "massages" },
	}
	for name, change := range changes {
		e := exampleEntry()
		change(&e)
		if NewRecord(e).Hash == base {
			t.Errorf("%s can be changed without changing the hash", name)
		}
	}
}

func TestGroupsSurvivePacking(t *testing.T) {
	var ids []uuid.UUID
	for _, p := range []byte{7, 3} {
		for i := range 300 {
			id := uuid.UUID{0: 1, 9: p, 14: byte(i >> 8), 15: byte(i)}
			ids = append(ids, id)
		}
	}
	want := slices.Clone(ids)
	groups := Group(ids)
	if len(groups) != 2 {
		t.Fatalf("two parcels became %d groups", len(groups))
	}
	back, err := ParseGroups(AppendGroups(nil, groups))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(groups, back); diff != "" {
		t.Error(diff)
	}
	for _, id := range want {
		parcel, index := SplitMessageID(id)
		found := slices.ContainsFunc(back, func(g MessageGroup) bool {
			return g.Parcel == parcel && slices.Contains(g.Indexes, index)
		})
		if !found {
			t.Fatalf("message %s is lost", id)
		}
	}
}

func FuzzParseGroups(f *testing.F) {
	f.Add(AppendGroups(nil, []MessageGroup{{Parcel: uuid.UUID{1}, Indexes: []uint16{1, 2}}}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, packed []byte) {
		groups, err := ParseGroups(packed)
		if err != nil {
			return
		}
		if !bytes.Equal(AppendGroups(nil, groups), packed) {
			t.Error("packing is not the inverse of parsing")
		}
	})
}

func BenchmarkNewRecord(b *testing.B) {
	e := exampleEntry()
	e.Fields = append(e.Fields, Field{Name: FieldParcel, Digest: make([]byte, 32)})
	b.ReportAllocs()
	for b.Loop() {
		NewRecord(e)
	}
}
