package eventbus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
)

// Delivery is one event as a consumer gets it. Data is valid until the handler returns and must not be changed.
type Delivery struct {
	Event   string // protobuf full name, for example onlinesms.ingest.v1.MessagesAccepted
	Env     string // live or test
	Lane    string // otp, interactive, bulk or control
	Subject string
	Data    []byte            // the encoded event
	Attempt int               // 1 at the first delivery
	Time    time.Time         // when the server stored it
	Span    trace.SpanContext // carried in the headers; invalid when none came

	Stream   string
	Sequence uint64 // in its stream
	ID       string // the event id (Nats-Msg-Id); empty when the publisher set none
}

// Handler treats a batch, 1..MaxEvents deliveries, in one transaction. nil: all are acknowledged. An error speaks for
// the whole batch; then each delivery is tried alone, so a handler must leave nothing behind when it fails. The kinds
// of errs decide what follows: see judge. Deliveries may come again at any time and in any order.
type Handler func(ctx context.Context, batch []Delivery) error

// DeadLetters is where poison is kept, in the consumer's own database. Save must be durable when it returns and must
// take the same ID twice as once.
type DeadLetters interface {
	Save(ctx context.Context, letter DeadLetter) error
}

// DeadLetter is an event that was given up, with everything needed to replay it.
type DeadLetter struct {
	ID       uuid.UUID // derived from durable, stream and event: the same letter saved again has the same id
	Durable  string
	Stream   string
	Subject  string
	Sequence uint64
	Data     []byte // the encoded event; personal data in it is sealed
	Headers  map[string][]string
	Reason   string // kind and text of the error, at most 500 bytes
	Attempts int
	Time     time.Time // when the server stored the event
}

// letterSpace is the name space of derived dead letter ids; an arbitrary constant.
var letterSpace = uuid.MustParse("5b0f8c1e-6c0a-4a55-9d31-0c1f3c9f6a11")

func letterID(durable string, d Delivery) uuid.UUID {
	name := fmt.Sprintf("%s|%s|%s|%d|%d", durable, d.Stream, d.ID, d.Sequence, d.Time.UnixNano())
	return uuid.NewSHA1(letterSpace, []byte(name))
}

// producerHeader marks what this bus has published for inside: every event but those of the FEED stream. NATS checks
// the subject a client publishes on, not the reply it asks for, so whoever may pull from FEED can have the server send
// FEED events, statuses and API answers to a core subject. None of those carries the mark, and none is handled.
const producerHeader = "Onlinesms-Producer"

const outsidePrefix = "onlinesms.feed." // subjects outside consumers may read

// deliveryOf reads what the server says about a message; ok is false when its subject is not of the house.
func deliveryOf(msg jetstream.Msg) (d Delivery, pending uint64, ok bool) {
	d = Delivery{Subject: msg.Subject(), Data: msg.Data(), Attempt: 1}
	if meta, err := msg.Metadata(); err == nil {
		d.Attempt, d.Time = int(meta.NumDelivered), meta.Timestamp
		d.Stream, d.Sequence = meta.Stream, meta.Sequence.Stream
		pending = meta.NumPending
	}
	headers := msg.Headers()
	d.ID = headers.Get(jetstream.MsgIDHeader)
	d.Span = spanContext(headers.Get(traceHeader))
	d.Event, d.Env, d.Lane, ok = ParseSubject(d.Subject)
	return d, pending, ok
}

// reasonText is the text of an error for storing and logging, at most 500 bytes of UTF-8 without NUL: PostgreSQL takes
// nothing else, and a letter that cannot be saved would come again for ever.
func reasonText(err error) string {
	s := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "?"), "\x00", "?")
	if len(s) <= 500 {
		return s
	}
	return strings.ToValidUTF8(s[:500], "")
}

// inside tells whether the bus of one of our services has published msg.
func inside(msg jetstream.Msg) bool { return msg.Headers().Get(producerHeader) != "" }
