package webhook

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Event is one message's news, as endpoints get it.
type Event struct {
	ID, Message uuid.UUID
	Type        string
	Body        []byte // JSON
}

// typeOf is the event type that speaks for a state.
func typeOf(state typev1.MessageState) string { return "message." + strings.ToLower(state.String()) }

// payload is the body of an event: the fields of Standard Webhooks, and the API's own names behind data.
type payload struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	EventID   string `json:"eventId"`
	Env       string `json:"env"`
	Data      any    `json:"data"`
}

// news is what an event says of a message; ingest.v1.Message has the same names.
type news struct {
	MessageID    string   `json:"messageId"`
	State        string   `json:"state"`
	Reasons      []reason `json:"reasons,omitempty"`
	Encoding     string   `json:"encoding,omitempty"`
	Segments     uint32   `json:"segments,omitempty"`
	OperatorCode string   `json:"operatorCode,omitempty"`
}

type reason struct {
	Code     string            `json:"code"`
	Detail   string            `json:"detail,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// translator makes events of one parcel's news.
type translator struct {
	wire []byte // updates of a parcel, reused
	ends []int
}

// events calls each with every event of a parcel. Its body is made when asked for, since most events are nobody's.
func (t *translator) events(d *eventbus.Delivery, v *eventbus.ParcelView, each func(Event) error) error {
	shape, ok := shapes[d.Event]
	if !ok {
		return nil
	}
	var err error
	if t.wire, t.ends, err = shape.read(t.wire[:0], t.ends[:0], v.Payload); err != nil {
		return errs.E(errs.Invalid, "EVENT_MALFORMED", "a parcel cannot be read", err)
	}
	from := 0
	for _, end := range t.ends {
		event, err := newEvent(d, v.ID, t.wire[from:end])
		if err != nil {
			return err
		}
		if err := each(event); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// newEvent makes an event of a field that holds a feed.v1.MessageUpdate.
func newEvent(d *eventbus.Delivery, parcel uuid.UUID, field []byte) (Event, error) {
	_, _, n := protowire.ConsumeTag(field)
	update, _ := protowire.ConsumeBytes(field[n:])
	m := &feedv1.MessageUpdate{}
	if err := proto.Unmarshal(update, m); err != nil {
		return Event{}, errs.E(errs.Invalid, "EVENT_MALFORMED", "an entry cannot be read", err)
	}
	message, err := uuid.Parse(m.GetMessageId())
	if err != nil {
		return Event{}, errs.E(errs.Invalid, "EVENT_MALFORMED", "an entry has no message id", err)
	}
	e := Event{ID: eventID(d.Event, parcel, message), Message: message, Type: typeOf(m.GetState())}
	n0 := news{
		MessageID: m.GetMessageId(), State: m.GetState().String(), Encoding: m.GetEncoding(), Segments: m.GetSegments(),
		OperatorCode: m.GetOperatorCode(),
	}
	for _, r := range m.GetReasons() {
		n0.Reasons = append(n0.Reasons, reason{r.GetCode(), r.GetDetail(), r.GetMetadata()})
	}
	e.Body, err = body(e.Type, e.ID, d.Env, m.GetTime().AsTime(), n0)
	return e, err
}

func body(kind string, id uuid.UUID, env string, at time.Time, data any) ([]byte, error) {
	return json.Marshal(payload{
		Type: kind, Timestamp: at.UTC().Format(time.RFC3339Nano), EventID: id.String(), Env: strings.ToUpper(env), Data: data,
	})
}

// eventID derives an event's id: its parcel's time (as in a UUIDv7) and a hash of what it is, so that the same news has
// the same id whenever and by whomever it is made. A UUIDv8 (RFC 9562 5.8).
func eventID(event string, parcel, message uuid.UUID) (id uuid.UUID) {
	h := sha256.New()
	h.Write([]byte(event))
	h.Write(parcel[:])
	h.Write(message[:])
	copy(id[:], h.Sum(nil))
	copy(id[:6], parcel[:6])
	id[6] = id[6]&0x0F | 0x80
	id[8] = id[8]&0x3F | 0x80
	return id
}
