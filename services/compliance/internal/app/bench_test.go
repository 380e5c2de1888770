package app

import (
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// BenchmarkService takes parcels of 100 messages from ingest's stream to compliance's own: NATS with every write synced,
// PostgreSQL without fsync (postgrestest), content sealed, everything in this process.
func BenchmarkService(b *testing.B) {
	w := newWorld(b, today(12))
	w.start()
	const parcels, size = 100, 100
	made := make([][]eventbus.Parcel, 0, b.N)
	for range b.N {
		round := make([]eventbus.Parcel, parcels)
		for i := range round {
			messages := make([]message, size)
			for j := range messages {
				messages[j] = w.text(otp, "ABCBNK", otpText)
			}
			round[i], _ = w.accept("live", "bulk", messages...)
		}
		made = append(made, round)
	}
	b.ResetTimer()
	for _, round := range made {
		w.ingest.Publish(round...)
		if got := w.next(parcels * size); got[0].event != "MessagesCleared" {
			b.Fatalf("%+v", got[0])
		}
	}
	b.ReportMetric(float64(b.N*parcels*size)/b.Elapsed().Seconds(), "messages/s")
}
