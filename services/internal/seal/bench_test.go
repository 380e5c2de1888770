package seal

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The message of the measurements before the design.
var message = []byte(strings.Repeat("x", 320))

func BenchmarkSeal(b *testing.B) {
	h := newHouse(b)
	s := NewSealer(h.keyring, h.keys, time.Now)
	dst := make([]byte, 0, len(message)+Overhead)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(context.Background(), dst, message, place); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	h := newHouse(b)
	o := NewSealer(h.keyring, h.keys, time.Now).Opener()
	sealed := h.mustSeal(b, string(message), place)
	dst := make([]byte, 0, len(message))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Open(context.Background(), dst, sealed, place); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlindIndex(b *testing.B) {
	h := newHouse(b)
	dst := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		x, err := h.keyring.BlindIndex("live", uuid.UUID{1})
		if err != nil {
			b.Fatal(err)
		}
		x.Of(dst, "+919812345678")
	}
}

// TestHotPathDoesNotAllocate holds what the benchmarks show.
func TestHotPathDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops entries at random under the race detector")
	}
	h := newHouse(t)
	dst := make([]byte, 0, len(message)+Overhead)
	sealed := h.mustSeal(t, string(message), place)
	ctx := context.Background()
	allocs := testing.AllocsPerRun(2000, func() {
		_, err := h.Seal(ctx, dst, message, place)
		_, openErr := h.Opener().Open(ctx, dst, sealed, place)
		x, indexErr := h.keyring.BlindIndex("live", uuid.UUID{1})
		if err != nil || openErr != nil || indexErr != nil {
			t.Fatal(err, openErr, indexErr)
		}
		x.Of(dst, "+919812345678")
	})
	if allocs > 0 {
		t.Errorf("%v allocations for one seal, one open and one index", allocs)
	}
}
