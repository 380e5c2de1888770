package eventbus_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// BenchmarkPublishToConsume: from Publish until the handler has seen it, through a nats-server process that syncs always.
// One iteration is one parcel; msgs/s counts its messages of 200 bytes.
func BenchmarkPublishToConsume(b *testing.B) {
	for _, entries := range []int{1, 100} {
		b.Run(fmt.Sprintf("messages=%d", entries), func(b *testing.B) {
			s := startProcess(b)
			cfg := s.config()
			cfg.StreamBytes = 2 << 30
			broker := bus(b, cfg)
			run(b, broker.RunPurge)
			p := broker.NewPublisher("ingest", nil)
			run(b, p.Run)
			var seen atomic.Int64
			progress := make(chan struct{}, 1)
			run(b, func(ctx context.Context) error {
				return broker.Consume(ctx, eventbus.Subscription{Stream: "INGEST_BULK", Durable: "work",
					Handler: func(_ context.Context, batch []eventbus.Delivery) error {
						for _, d := range batch {
							views, err := eventbus.Parcels(d.Data)
							if err != nil {
								return err
							}
							seen.Add(int64(len(views)))
						}
						select {
						case progress <- struct{}{}:
						default:
						}
						return nil
					}})
			})
			one := parcel(b, bulkSubject, entries, min(200*entries, 16_000))
			b.ResetTimer()
			for i := range b.N {
				for int64(i)-seen.Load() > 2000 { // stay within the publisher's memory
					<-progress
				}
				binary.BigEndian.PutUint64(one.ID[8:], uint64(i))
				p.Publish(one)
			}
			for seen.Load() < int64(b.N) {
				<-progress
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
