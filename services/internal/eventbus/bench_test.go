package eventbus_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// BenchmarkPublishToConsume: from Publish until the handler has seen it, through a nats-server process that syncs always,
// with TLS and, to compare, in clear. One iteration is one parcel; msgs/s counts its messages of 200 bytes.
func BenchmarkPublishToConsume(b *testing.B) {
	for _, entries := range []int{1, 100} {
		for _, clear := range []bool{false, true} {
			b.Run(fmt.Sprintf("messages=%d/tls=%v", entries, !clear), func(b *testing.B) { publishToConsume(b, entries, clear) })
		}
	}
}

func publishToConsume(b *testing.B, entries int, clear bool) {
	certificates := b.TempDir()
	if clear {
		certificates = ""
	}
	s := startProcessWith(b, certificates)
	cfg := s.config()
	cfg.StreamBytes = 2 << 30
	broker := benchBus(b, cfg)
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
}

// benchBus owns the streams of ingest, connected as its server is.
func benchBus(b *testing.B, cfg eventbus.Config) *eventbus.Bus {
	b.Helper()
	if cfg.CAFile != "" {
		return bus(b, cfg)
	}
	cfg.CAFile = filepath.Join(b.TempDir(), "ca.pem") // read for the monitoring, though it speaks HTTP here
	if err := devca.Create(filepath.Dir(cfg.CAFile)); err != nil {
		b.Fatal(err)
	}
	broker, err := eventbus.ConnectInClear(cfg, "ingest")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(broker.Close)
	if err := broker.Own(b.Context(), workStreams()); err != nil {
		b.Fatal(err)
	}
	return broker
}
