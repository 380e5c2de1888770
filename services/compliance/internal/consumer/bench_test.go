package consumer_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// unrecorded is a store that keeps nothing.
type unrecorded struct {
	screening.Store
	b       *testing.B
	outcome policy.Outcome
}

func (u unrecorded) Record(_ context.Context, screened []screening.Screened) error {
	for _, s := range screened {
		for _, v := range s.Verdicts {
			if v.Outcome != u.outcome {
				u.b.Fatalf("%+v", v)
			}
		}
	}
	return nil
}

type oneTenant struct{ snapshot *registry.Snapshot }

func (o oneTenant) Snapshot(uuid.UUID) *registry.Snapshot { return o.snapshot }

func handler(b *testing.B, s screening.Contents, outcome policy.Outcome) *consumer.Handler {
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		b.Fatal(err)
	}
	file, err := registry.ParseFile(raw)
	if err != nil {
		b.Fatal(err)
	}
	snapshot, err := registry.NewSnapshot(file.Rows)
	if err != nil {
		b.Fatal(err)
	}
	packs, err := policy.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	return consumer.New(screening.New(screening.Config{Registry: oneTenant{snapshot}, Packs: packs, Contents: s,
		Store: unrecorded{b: b, outcome: outcome}, Now: time.Now}), nil)
}

// BenchmarkHandle decodes, opens, matches and decides a pack of 500 messages; what PostgreSQL costs comes on top
// (BenchmarkRecord).
func BenchmarkHandle(b *testing.B) {
	for name, c := range map[string]struct {
		text string
		want policy.Outcome
	}{
		"cleared": {"Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK", policy.Cleared},
		"refused": {"Dear Asha, order 2345 shiped. Track: https://abc.in/t?o=2345 - ABCBNK", policy.Refused},
	} {
		b.Run(name, func(b *testing.B) {
			const n = 500
			s := sealer(b, &keys{})
			p := screeningtest.NewParcel(n)
			for i := range p.Messages {
				m := &p.Messages[i]
				m.TemplateID = "1107160000000000022"
				m.Content = sealed(b, s, &p, m, &ingestv1.Content{To: "+919876543210", Text: c.text})
			}
			event := accepted(p)
			for _, m := range event.GetMessages() {
				m.ScheduleTimeUs = 0
			}
			data, err := proto.Marshal(&ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{event}})
			if err != nil {
				b.Fatal(err)
			}
			h := handler(b, consumer.NewContents(s.Opener()), c.want)
			batch := []eventbus.Delivery{{Event: consumer.EventAccepted, Env: "live", Lane: "bulk", Data: data}}
			b.ReportAllocs()
			for b.Loop() {
				if err := h.Handle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
		})
	}
}
