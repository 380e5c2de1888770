package message

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestIDs(t *testing.T) {
	clock := now
	ids := NewIDs(func() time.Time { return clock }, rand.Reader)
	last := uuid.UUID{}
	for i := range 10000 {
		if i == 5000 {
			clock = clock.Add(-time.Hour) // ids must go on rising
		}
		id, err := ids.Parcel()
		if err != nil {
			t.Fatal(err)
		}
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 || IndexOf(id) != 0 {
			t.Fatalf("%s is not the id of a parcel", id)
		}
		if id.String() <= last.String() {
			t.Fatalf("%s does not come after %s", id, last)
		}
		last = id
	}
	if ahead := TimeOf(last).Sub(now); ahead < 0 || ahead > 10*time.Millisecond {
		t.Errorf("the last id is %v ahead of the clock", ahead)
	}
}

func TestMessageID(t *testing.T) {
	ids := NewIDs(func() time.Time { return now }, rand.Reader)
	parcel, err := ids.Parcel()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 255, 256, 499} {
		id := IDAt(parcel, i)
		if IndexOf(id) != i || ParcelOf(id) != parcel || id.Version() != 7 || !TimeOf(id).Equal(now) {
			t.Errorf("index %d: %s", i, id)
		}
	}
	if first := FirstAt(now); first.String() > parcel.String() || FirstAt(now.Add(time.Millisecond)).String() < parcel.String() {
		t.Errorf("FirstAt(now) = %s does not bound %s", first, parcel)
	}
}

func TestAnswer(t *testing.T) {
	ids := NewIDs(func() time.Time { return now }, rand.Reader)
	a, _ := ids.Parcel()
	b, _ := ids.Parcel()
	var want []Receipt
	for i := 400; i < MaxParcel; i++ {
		want = append(want, Receipt{ID: IDAt(a, i), State: StateAccepted})
	}
	for i := range 300 {
		want = append(want, Receipt{ID: IDAt(b, i), State: StateAccepted})
	}
	want[5] = Receipt{ID: want[5].ID, State: StateRefused, Reasons: []Reason{{Code: "RECIPIENT_INVALID", Detail: "d"}}}
	packed := AppendAnswer(nil, want)
	if len(packed) > 80 {
		t.Errorf("an answer of %d receipts takes %d bytes", len(want), len(packed))
	}
	got, err := ParseAnswer(packed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for n := range packed {
		if _, err := ParseAnswer(packed[:n]); err == nil {
			t.Errorf("an answer cut at %d of %d is taken", n, len(packed))
		}
	}
}
