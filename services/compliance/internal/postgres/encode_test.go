package postgres

import (
	"testing"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
)

func BenchmarkEncode(b *testing.B) {
	s := &Store{newID: func() uuid.UUID { return uuid.Must(uuid.NewV7()) }}
	p := screeningtest.NewParcel(500)
	for i := range p.Messages {
		p.Messages[i].Content = make([]byte, 150)
	}
	screened := []screening.Screened{screeningtest.Judge(p, screeningtest.Clear)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.encodeAll(screened); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/message")
}
