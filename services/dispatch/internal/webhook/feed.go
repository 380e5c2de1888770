package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Publisher stores events and waits until they are durable; *eventbus.Bus does.
type Publisher interface {
	PublishRawBatch(ctx context.Context, batch []eventbus.Raw) error
}

// Feed publishes FEED. It is the eventbus.Handler of durable `feed`.
type Feed struct{ publisher Publisher }

// NewFeed makes a feed.
func NewFeed(publisher Publisher) *Feed { return &Feed{publisher} }

// Handle publishes the news of a batch and returns when they are durable. Events that are nobody's news are passed over.
func (f *Feed) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	var out []eventbus.Raw
	for _, alike := range bySubject(batch) {
		events, err := translate(alike)
		if err != nil {
			return err
		}
		out = append(out, events...)
	}
	if len(out) == 0 {
		return nil
	}
	return f.publisher.PublishRawBatch(ctx, out)
}

// bySubject puts the events of a batch that have the same type, environment and lane together, in the order of their
// first: what came at once for a tenant goes out as one event, which costs one fsync.
func bySubject(batch []eventbus.Delivery) [][]*eventbus.Delivery {
	at := map[string]int{}
	var groups [][]*eventbus.Delivery
	for i := range batch {
		d := &batch[i]
		n, ok := at[d.Subject]
		if !ok {
			n = len(groups)
			at[d.Subject] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], d)
	}
	return groups
}

// share is the news of one tenant in an event.
type share struct {
	tenant  uuid.UUID
	parcels [][]byte // ids
	news    []byte   // encoded updates, one after another
	ends    []int    // where in news each ends
}

// translate makes FEED events of events of one subject: one a tenant, in the order of their first parcel.
func translate(alike []*eventbus.Delivery) ([]eventbus.Raw, error) {
	shape, ok := shapes[alike[0].Event]
	if !ok {
		return nil, nil
	}
	head, err := eventbus.Metadata(alike[0].Data)
	if err != nil {
		return nil, err
	}
	shares, err := shape.shares(alike)
	if err != nil {
		return nil, err
	}
	out := make([]eventbus.Raw, 0, len(shares))
	for _, s := range shares {
		raws, err := s.raws(alike[0], head)
		if err != nil {
			return nil, err
		}
		out = append(out, raws...)
	}
	return out, nil
}

// shares sorts the parcels of events by tenant.
func (shape *shape) shares(alike []*eventbus.Delivery) ([]*share, error) {
	byTenant := map[uuid.UUID]*share{}
	var order []*share
	for _, d := range alike {
		views, err := eventbus.Parcels(d.Data)
		if err != nil {
			return nil, err
		}
		for i := range views {
			v := &views[i]
			s := byTenant[v.Tenant]
			if s == nil {
				s = &share{tenant: v.Tenant}
				byTenant[v.Tenant] = s
				order = append(order, s)
			}
			s.parcels = append(s.parcels, v.ID[:])
			if s.news, s.ends, err = shape.read(s.news, s.ends, v.Payload); err != nil {
				return nil, errs.E(errs.Invalid, "EVENT_MALFORMED", "a parcel cannot be read", err)
			}
		}
	}
	return order, nil
}

// maxNews bounds an event of FEED: 1,000 updates stay well below the 1 MiB of a message.
const maxNews = 1_000

// raws encodes a tenant's share, in as many events as it needs. Every feed event type has the fields of
// feedv1.MessagesAccepted, so one type heads all.
func (s *share) raws(d *eventbus.Delivery, head *eventv1.Metadata) ([]eventbus.Raw, error) {
	name := d.Event[strings.LastIndexByte(d.Event, '.')+1:]
	tenant := s.tenant.String()
	var out []eventbus.Raw
	from := 0
	for ends := range slices.Chunk(s.ends, maxNews) {
		id := s.id(name, len(out))
		data, err := proto.Marshal(&feedv1.MessagesAccepted{
			Metadata: &eventv1.Metadata{EventId: id[:], Time: head.Time, Env: head.Env, Lane: head.Lane, Producer: "dispatch"},
			TenantId: tenant,
		})
		if err != nil {
			return nil, err
		}
		to := ends[len(ends)-1]
		data = append(data, s.news[from:to]...)
		from = to
		out = append(out, eventbus.Raw{Subject: "onlinesms.feed.v1." + name + "." + d.Env + "." + tenant, ID: id.String(), Data: data})
	}
	return out, nil
}

// id derives an event's id from its parcels: a UUIDv8 (RFC 9562 5.8) of their hash.
func (s *share) id(name string, part int) (id uuid.UUID) {
	slices.SortFunc(s.parcels, bytes.Compare)
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{byte(part)})
	for _, p := range s.parcels {
		h.Write(p)
	}
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0F | 0x80
	id[8] = id[8]&0x3F | 0x80
	return id
}
