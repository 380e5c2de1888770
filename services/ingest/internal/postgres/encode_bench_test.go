package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
)

// BenchmarkEncode makes the parcel and the columns of 500 messages as they are stored.
func BenchmarkEncode(b *testing.B) {
	m := &message.Message{EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011", Expire: time.Now()}
	p := message.Parcel{ID: uuid.Must(uuid.NewV7()), Tenant: uuid.Must(uuid.NewV7()), Env: "live"}
	for i := range message.MaxParcel {
		p.Entries = append(p.Entries, message.Entry{
			ID: message.IDAt(p.ID, i), Message: m, Content: []byte(strings.Repeat("x", 120)), RecipientIndex: make([]byte, 16),
		})
	}
	f := message.Flush{Lane: message.LaneBulk, Time: time.Now(), Parcels: []message.Parcel{p}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(&f); err != nil {
			b.Fatal(err)
		}
		messageColumns(&f)
	}
}
