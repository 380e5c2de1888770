package postgres_test

import (
	"context"
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
)

// BenchmarkRecord writes batches of five parcels: without facts, with those of a campaign (one for all messages), and with
// as many as single sends of different templates have.
func BenchmarkRecord(b *testing.B) {
	facts := policy.Facts{Mobile: true, Entity: policy.Entity{ID: "1701158019811140068", Status: policy.Active},
		Chain:    policy.Chain{Status: policy.Active, Telemarketer: policy.Active, Last: "1302157243747322354"},
		Header:   policy.Header{Text: "ABCBNK", Status: policy.Active, OfEntity: true},
		Template: policy.Template{ID: "1107160000000000011", Status: policy.Active, Category: policy.Service, Goods: -1, OfEntity: true, OfHeader: true, Headers: 1}}
	for _, c := range []struct {
		name    string
		factsOf int // messages that have facts in common; 0 without facts
	}{{"without facts", 0}, {"campaign", 100}, {"of five each", 5}} {
		b.Run(c.name, func(b *testing.B) {
			s, _, d := open(b)
			b.ReportAllocs()
			for b.Loop() {
				batch := make([]screening.Screened, 5)
				for i := range batch {
					batch[i] = screeningtest.Judge(screeningtest.NewParcel(100), screeningtest.Clear)
					for at := range batch[i].Verdicts {
						if c.factsOf == 0 {
							break
						}
						if at%c.factsOf == 0 {
							batch[i].Facts = append(batch[i].Facts, facts)
						}
						batch[i].Verdicts[at].Facts = len(batch[i].Facts)
					}
				}
				if err := s.Record(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/message")
			var octets float64
			if err := d.DB.Worker.QueryRow(context.Background(), "SELECT avg(length(entries)) FROM decisions").Scan(&octets); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(octets/100, "octets/message")
		})
	}
}

// BenchmarkSimulate reads recorded decisions and makes them again by another rule pack.
func BenchmarkSimulate(b *testing.B) {
	const messages = 20_000
	s, _, _ := open(b)
	g := generated(b, s, messages)
	packs, err := policy.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	start, end := span()
	b.ReportAllocs()
	for b.Loop() {
		simulation := screening.Simulation{Pack: packs.Version("third-amendment-draft")}
		err := s.History(b.Context(), g.tenant, "live", start, end, func(r *screening.Recorded) bool {
			simulation.Add(r)
			return true
		})
		if err != nil || simulation.Decided() != messages {
			b.Fatalf("%d decided, %v", simulation.Decided(), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/decision")
}
