package webhook

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// tape is a stream of events, read from a time on.
type tape struct{ events []eventbus.Delivery }

func (t *tape) Tail(ctx context.Context, o eventbus.TailOptions) error {
	for _, d := range t.events {
		if d.Time.Before(o.From) {
			continue
		}
		if err := o.Each(d); err != nil {
			return err
		}
	}
	if err := o.Idle(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (t *tape) add(tt *testing.T, tenant uuid.UUID, at time.Time, state typev1.MessageState) {
	id := uuid.New()
	data, err := proto.Marshal(&feedv1.MessagesAccepted{
		Metadata: &eventv1.Metadata{EventId: id[:]}, TenantId: tenant.String(), Messages: []*feedv1.MessageUpdate{{MessageId: id.String(), State: state}},
	})
	if err != nil {
		tt.Fatal(err)
	}
	t.events = append(t.events, eventbus.Delivery{Data: data, Time: at, Sequence: uint64(len(t.events) + 1)})
}

// A client that comes again with any cursor it has seen gets what is behind it: all of it, and nothing twice.
func TestACursorGoesOnWhereItWas(t *testing.T) {
	begin := time.Now()
	tenant, reel := uuid.New(), &tape{}
	for i := range 6 { // two events of each time
		reel.add(t, tenant, begin.Add(time.Duration(i/2)*time.Millisecond), typev1.MessageState_DELIVERED)
	}
	s := NewStreams(reel, func() time.Time { return begin })
	enough := errors.New("enough")
	read := func(from string, most int) (cursors []string) {
		err := s.Follow(t.Context(), tenant, "live", from, nil, func(b *Batch) error {
			if b.Type == "" {
				if len(cursors) >= most {
					return enough
				}
				return nil
			}
			cursors = append(cursors, b.Cursor)
			if len(cursors) == most {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		return cursors
	}
	all := read("", 6)
	for i := range 5 {
		rest := read(all[i], 5-i)
		if len(rest) != 5-i || rest[0] != all[i+1] || rest[len(rest)-1] != all[5] {
			t.Errorf("behind event %d: %v, want %v", i+1, rest, all[i+1:])
		}
	}
}

func TestStreamsRefuse(t *testing.T) {
	now := time.Now()
	tenant, reel := uuid.New(), &tape{}
	s := NewStreams(reel, func() time.Time { return now })
	follow := func(from string, types ...string) string {
		err := s.Follow(t.Context(), tenant, "live", from, types, func(*Batch) error { return nil })
		e, ok := errors.AsType[*errs.Error](err)
		if !ok {
			t.Fatal(err)
		}
		return e.Reason
	}
	old := cursor{now.Add(-73 * time.Hour).UnixNano(), 1}.String()
	if got := follow(old); got != "CURSOR_EXPIRED" {
		t.Errorf("an old cursor: %s", got)
	}
	if got := follow("x"); got != "REQUEST_INVALID" {
		t.Errorf("no cursor: %s", got)
	}
	if got := follow("", "message.sold"); got != "REQUEST_INVALID" {
		t.Errorf("no event type: %s", got)
	}
	reel.add(t, uuid.New(), now, typev1.MessageState_DELIVERED) // of another
	if got := follow(""); got != "EVENT_UNEXPECTED" {
		t.Errorf("another's event: %s", got)
	}
	for range maxStreams {
		if _, err := s.enter(tenant); err != nil {
			t.Fatal(err)
		}
	}
	if got := follow(""); got != "EVENT_STREAM_LIMIT" {
		t.Errorf("one too many: %s", got)
	}
}

// Streams end when the service stops, and say that the client shall come again.
func TestStreamsEndWithTheService(t *testing.T) {
	s := NewStreams(&tape{}, time.Now)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	err := s.Follow(t.Context(), uuid.New(), "live", "", nil, func(*Batch) error { stop(); return nil })
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("%v", err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
