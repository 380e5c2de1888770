package smsc

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// BenchmarkOneBind submits through one bind over loopback, both ends in this
// process: run with -cpu 1 for the figure on one core. An iteration is one
// submit_sm with its response; with receipts, also its deliver_sm and response.
func BenchmarkOneBind(b *testing.B) {
	b.Run("submit", func(b *testing.B) { benchBind(b, 1) })
	b.Run("submit+receipt", func(b *testing.B) { benchBind(b, 0) })
}

func benchBind(b *testing.B, loseReceipts float64) {
	bed := start(b, func(k *Knobs) { k.LoseReceiptRate, k.SubmitWindow = loseReceipts, 0 })
	var answered, refused, delivered atomic.Uint64
	c := &client{t: b}
	cfg := bed.config(c)
	cfg.Window = 1000
	cfg.OnResults = func(_ *smpp.Session, results []smpp.Result) {
		for i := range results {
			if results[i].Status != smpp.StatusOK || results[i].Outcome != smpp.Answered {
				refused.Add(1)
			}
		}
		answered.Add(uint64(len(results)))
	}
	cfg.OnDeliveries = func(s *smpp.Session, batch []smpp.Delivery) {
		delivered.Add(uint64(len(batch)))
		if err := s.Respond(smpp.StatusOK, batch); err != nil {
			b.Error(err)
		}
	}
	s, err := smpp.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	submitAll(b, s, b.N)
	bed.eventually("answers", func() bool { return answered.Load() == uint64(b.N) })
	bed.eventually("receipts", func() bool { return loseReceipts == 1 || delivered.Load() == uint64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
	if err := s.Close(b.Context()); err != nil {
		b.Error(err)
	}
	if st := bed.Stats(); refused.Load() > 0 || st.Totals.Submits != uint64(b.N) || st.Duplicates > 0 {
		b.Fatalf("%d refused; stats %+v", refused.Load(), st)
	}
}

// submitAll submits n different messages in batches of up to 100.
func submitAll(b *testing.B, s *smpp.Session, n int) {
	batch := make([]smpp.Submission, 100)
	messages := make([]*smpp.SubmitSM, len(batch))
	for i := range messages {
		messages[i] = message("", strings.Repeat("x", 100))
	}
	for sent := 0; sent < n; {
		got, err := s.Acquire(b.Context(), min(len(batch), n-sent), 0)
		if err != nil {
			b.Fatal(err)
		}
		for i := range got {
			messages[i].Destination.Digits = fmt.Sprintf("91%010d", sent+i)
			batch[i] = smpp.Submission{Tag: uint64(sent + i), SM: messages[i]}
		}
		if err := s.Submit(batch[:got]); err != nil {
			b.Fatal(err)
		}
		sent += got
	}
}

func BenchmarkSeen(b *testing.B) {
	set := newSeenSet()
	key := make([]byte, 300)
	b.ReportAllocs()
	for i := range b.N {
		key[0], key[1], key[2], key[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		if !set.add(key) {
			b.Fatal("seen a new key")
		}
	}
}
