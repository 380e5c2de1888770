package webhook

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

func testKeys(t testing.TB) *Keys {
	t.Helper()
	raw := make([]byte, keysSize)
	_, _ = rand.Read(raw)
	k, err := keysOf(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// BenchmarkSign signs a body of the usual size: both HMACs; with ed25519; and in an overlap of a rotation.
func BenchmarkSign(b *testing.B) {
	id, at, body := uuid.New(), time.Now(), bytes.Repeat([]byte("x"), 300)
	for name, s := range map[string]signed{
		"hmac":    {keys: testKeys(b)},
		"ed25519": {keys: testKeys(b), asymmetric: true},
		"overlap": {keys: testKeys(b), previous: testKeys(b)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			header := make(http.Header, 9)
			for b.Loop() {
				s.sign(header, id, 1, at, body)
			}
		})
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "Sat, 28 Nov 2026 12:00:30 GMT": 30 * time.Second, "Sat, 28 Nov 2026 11:00:00 GMT": 0,
		"-1": 0, "soon": 0, "99999999999999": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestWaitsKeepToTheSchedule(t *testing.T) {
	for attempt := 1; attempt <= len(schedule); attempt++ {
		for range 100 {
			d, ok := wait(attempt, 0)
			if want := schedule[attempt-1]; !ok || d < want*8/10 || d > want*12/10 {
				t.Fatalf("attempt %d: %s, %v", attempt, d, ok)
			}
		}
	}
	if _, ok := wait(len(schedule)+1, 0); ok {
		t.Error("tried after the last attempt")
	}
	if d, _ := wait(1, 10*time.Minute); d != 10*time.Minute {
		t.Errorf("Retry-After of 10 minutes: %s", d)
	}
	if d, _ := wait(1, 5*time.Hour); d != retryAfterCap {
		t.Errorf("Retry-After of 5 hours: %s", d)
	}
}

func TestEventIDsAreOfTheirParcelsTime(t *testing.T) {
	parcel, message := uuid.Must(uuid.NewV7()), uuid.New()
	a := eventID("onlinesms.dispatch.v1.MessagesDelivered", parcel, message)
	if b := eventID("onlinesms.dispatch.v1.MessagesDelivered", parcel, message); a != b {
		t.Error("an event has two ids")
	}
	if b := eventID("onlinesms.dispatch.v1.MessagesExpired", parcel, message); a == b {
		t.Error("two events have one id")
	}
	if !bytes.Equal(a[:6], parcel[:6]) || a.Version() != 8 || a.Variant() != uuid.RFC4122 {
		t.Errorf("%s of parcel %s", a, parcel)
	}
}
