package webhook

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

const (
	heartbeat  = 15 * time.Second
	feedKeeps  = 72 * time.Hour // MaxAge of streams
	cursorSize = 16
)

// Tail reads a stream from a time on; *eventbus.Bus does.
type Tail interface {
	// Tail calls Each with the events of a stream that were stored at or after From, in order, until ctx ends (nil) or a
	// callback fails, whose error it answers.
	Tail(ctx context.Context, t eventbus.TailOptions) error
}

// Streams serves StreamMessageEvents from FEED.
type Streams struct {
	tail     Tail
	now      func() time.Time
	stopping chan struct{} // closed when streams are to end

	mu   sync.Mutex
	open map[uuid.UUID]int // streams of each tenant
}

// maxStreams is how many streams a tenant may follow at a replica: each is a consumer of the server.
const maxStreams = 20

// enter counts a stream of a tenant; leave is called at its end.
func (s *Streams) enter(tenant uuid.UUID) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[tenant] >= maxStreams {
		return nil, errs.E(errs.Exhausted, "EVENT_STREAM_LIMIT", "The tenant follows 20 streams already; end one.", nil)
	}
	s.open[tenant]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[tenant]--; s.open[tenant] == 0 {
			delete(s.open, tenant)
		}
	}, nil
}

// NewStreams makes it.
func NewStreams(t Tail, now func() time.Time) *Streams {
	return &Streams{tail: t, now: now, stopping: make(chan struct{}), open: map[uuid.UUID]int{}}
}

// Run waits for ctx and then ends the streams: their clients come again to another replica, with their cursors.
func (s *Streams) Run(ctx context.Context) error {
	<-ctx.Done()
	close(s.stopping)
	return nil
}

var errStopping = errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the service stops; come again with the last cursor", nil)

// Batch is what one event of FEED holds.
type Batch struct {
	Cursor string
	Type   string // empty: a heartbeat
	ID     uuid.UUID
	News   []*feedv1.MessageUpdate
}

// cursor is a place in FEED: by time, since a stream that was rebuilt counts from one again, and then by sequence.
type cursor struct {
	stored   int64 // Unix nanoseconds
	sequence uint64
}

func (c cursor) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.stored))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, c.sequence))
}

func (s *Streams) parse(text string) (c cursor, err error) {
	if text == "" {
		return cursor{stored: s.now().UnixNano()}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorSize {
		return c, &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request has invalid fields",
			Violations: []errs.Violation{{Field: "cursor", Reason: "FORMAT", Detail: "must be the cursor of an answer of this stream"}}}
	}
	c = cursor{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
	if s.now().Sub(time.Unix(0, c.stored)) > feedKeeps {
		return c, errs.E(errs.Invalid, "CURSOR_EXPIRED",
			"Events behind this cursor are gone: start again without one and look up by ListMessages what happened meanwhile.", nil)
	}
	return c, nil
}

// Follow sends what happens to a tenant's messages, of the given types (empty: all), from a cursor on, until ctx ends.
func (s *Streams) Follow(ctx context.Context, tenant uuid.UUID, env, from string, types []string, send func(*Batch) error) error {
	at, err := s.parse(from)
	if err != nil {
		return err
	}
	for _, kind := range types {
		if !slices.Contains(EventTypes, kind) {
			return &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request has invalid fields",
				Violations: []errs.Violation{{Field: "event_types", Reason: "UNKNOWN", Detail: "there is no such event type"}}}
		}
	}
	leave, err := s.enter(tenant)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	// The first heartbeat comes at once: the client has a cursor before anything happens.
	if err := send(&Batch{Cursor: at.String()}); err != nil {
		return err
	}
	err = s.tail.Tail(ctx, eventbus.TailOptions{
		Stream: "FEED", Subject: "onlinesms.feed.v1.*." + env + "." + tenant.String(), From: time.Unix(0, at.stored), Heartbeat: heartbeat,
		Idle: func() error { return send(&Batch{Cursor: at.String()}) },
		Each: func(d eventbus.Delivery) error {
			here := cursor{d.Time.UnixNano(), d.Sequence}
			if here.stored == at.stored && here.sequence <= at.sequence { // it was the last one sent
				return nil
			}
			at = here
			b, err := batchOf(&d, tenant)
			if err != nil || len(types) > 0 && !slices.Contains(types, b.Type) {
				return err
			}
			b.Cursor = here.String()
			return send(b)
		},
	})
	if err == nil && errors.Is(context.Cause(ctx), errStopping) {
		return errStopping
	}
	return err
}

// batchOf reads an event of FEED, which all have the fields of feedv1.MessagesAccepted.
func batchOf(d *eventbus.Delivery, tenant uuid.UUID) (*Batch, error) {
	event := &feedv1.MessagesAccepted{}
	if err := proto.Unmarshal(d.Data, event); err != nil {
		return nil, errs.E(errs.Invalid, "EVENT_MALFORMED", "an event of FEED cannot be read", err)
	}
	if event.GetTenantId() != tenant.String() || len(event.GetMessages()) == 0 {
		return nil, errs.E(errs.Internal, "EVENT_UNEXPECTED", "an event of FEED is not the tenant's", nil)
	}
	id, err := uuid.FromBytes(event.GetMetadata().GetEventId())
	if err != nil {
		return nil, errs.E(errs.Invalid, "EVENT_MALFORMED", "an event of FEED has no id", err)
	}
	return &Batch{Type: typeOf(event.GetMessages()[0].GetState()), ID: id, News: event.GetMessages()}, nil
}
