package app

import (
	"context"
	"crypto/rand"
	"math"
	"slices"
	"testing"
	"time"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

// Item 9: Welch's t of 10,000 calls each, taken in turns, is below 4.5 for unknown keys and wrong secrets. A machine that
// is busy with other things gets three chances.
func TestItem9Timing(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 calls")
	}
	w := newWorld(t)
	unknown, err := tenant.NewKey("live", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := tenant.ParseKey(w.live)
	wrong.Secret = unknown.Secret
	if _, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Fatal(err)
	}
	calls := [2]context.Context{as(t, wrong.String()), as(t, unknown.String())}
	var score float64
	for range 3 {
		if score = w.welch(t, calls); math.Abs(score) < 4.5 {
			return
		}
	}
	t.Errorf("t = %.1f", score)
}

func (w *world) welch(t *testing.T, calls [2]context.Context) float64 {
	const n = 10_000
	var times [2][]float64
	for i := range 2 * n {
		which := (i + i/2) % 2 // a b b a: who comes first changes
		start := time.Now()
		if _, err := w.client().ListMessages(calls[which], &ingestv1.ListMessagesRequest{}); reasonOf(err) != "KEY_INVALID" {
			t.Fatal(err)
		}
		times[which] = append(times[which], float64(time.Since(start)))
	}
	var mean, variance [2]float64
	for i := range times {
		slices.Sort(times[i])
		kept := times[i][:n*99/100] // without the pauses of machine and collector
		for _, x := range kept {
			mean[i] += x / float64(len(kept))
		}
		for _, x := range kept {
			variance[i] += (x - mean[i]) * (x - mean[i]) / float64(len(kept)-1) / float64(len(kept))
		}
	}
	return (mean[0] - mean[1]) / math.Sqrt(variance[0]+variance[1])
}
