package app

import (
	"sync"
	"sync/atomic"
	"testing"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// inFlight sends b.N calls with n of them under way at any time.
func inFlight(b *testing.B, n int, call func() error) {
	var wg sync.WaitGroup
	var sent atomic.Int64
	for range n {
		wg.Go(func() {
			for sent.Add(1) <= int64(b.N) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkSingleSends is the whole path of single sends: TLS, gRPC, key, seal, commit, publication. The client shares
// the processors, and PostgreSQL runs without fsync here.
func BenchmarkSingleSends(b *testing.B) {
	w := newWorld(b)
	ctx := as(b, w.live)
	req := send()
	b.ResetTimer()
	inFlight(b, 256, func() error {
		_, err := w.client().SendMessage(ctx, req)
		return err
	})
}

// BenchmarkBatches is the same for batches of 100.
func BenchmarkBatches(b *testing.B) {
	w := newWorld(b)
	ctx := as(b, w.live)
	req := &ingestv1.BatchSendMessagesRequest{}
	for range 100 {
		s := send()
		req.Messages = append(req.Messages, &ingestv1.OutgoingMessage{
			To: s.GetTo(), EntityId: s.GetEntityId(), Header: s.GetHeader(), TemplateId: s.GetTemplateId(), Text: s.GetText(),
		})
	}
	b.ResetTimer()
	inFlight(b, 16, func() error {
		_, err := w.client().BatchSendMessages(ctx, req)
		return err
	})
}
