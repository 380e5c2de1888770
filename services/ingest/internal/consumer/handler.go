// Package consumer takes what compliance and dispatch say of messages and has it recorded: a batch of events is one
// transaction. Events may come in any order and again.
package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Store keeps what events say.
type Store interface {
	// Record commits the chunks of those event parcels it has not seen before, and raises the standings, together.
	Record(ctx context.Context, chunks []message.Chunk) error
}

// Handler handles the streams of compliance and dispatch.
type Handler struct{ store Store }

// NewHandler makes a handler that records in store.
func NewHandler(store Store) *Handler { return &Handler{store: store} }

// Handle records a batch; see eventbus.Handler. An event it cannot read is Invalid: a dead letter. An event it does not
// know is of a newer version of its producer and says nothing of a state we know: it passes.
func (h *Handler) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	var chunks []message.Chunk
	for i := range batch {
		read, ok := readers[batch[i].Event]
		if !ok {
			continue
		}
		found, err := read(&batch[i])
		if err != nil {
			return errs.E(errs.Invalid, "EVENT_UNREADABLE", "the event cannot be read", err)
		}
		chunks = append(chunks, found...)
	}
	return h.store.Record(ctx, chunks)
}

// readers are the events we record, by their full name.
var readers = map[string]func(*eventbus.Delivery) ([]message.Chunk, error){
	name(&compliancev1.MessagesCleared{}):   cleared,
	name(&compliancev1.MessagesRefused{}):   refused,
	name(&compliancev1.MessagesHeld{}):      held,
	name(&compliancev1.MessagesCancelled{}): cancelled,
	name(&dispatchv1.MessagesSubmitted{}):   outcomes(message.KindSubmitted),
	name(&dispatchv1.MessagesFailed{}):      outcomes(message.KindFailed),
	name(&dispatchv1.MessagesUnknown{}):     outcomes(message.KindUnknown),
	name(&dispatchv1.MessagesReturned{}):    outcomes(message.KindReturned),
	name(&dispatchv1.MessagesDelivered{}):   outcomes(message.KindDelivered),
	name(&dispatchv1.MessagesUndelivered{}): outcomes(message.KindUndelivered),
	name(&dispatchv1.MessagesExpired{}):     outcomes(message.KindExpired),
	name(&dispatchv1.MessagesCancelled{}):   outcomes(message.KindCancelled),
}

func name(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }

func cleared(d *eventbus.Delivery) ([]message.Chunk, error) {
	var event compliancev1.MessagesCleared
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, err
	}
	var chunks chunks
	for _, p := range event.GetParcels() {
		if err := chunks.begin(d.Env, p.GetParcelId(), p.GetTenantId()); err != nil {
			return nil, err
		}
		at := fromMicros(p.GetDecideTimeUs())
		for _, m := range p.GetMessages() {
			if c := chunks.add(m.GetMessageId(), &message.Event{Kind: message.KindCleared, Round: m.GetRound(), Time: at}); c != nil {
				index := message.IndexOf(uuid.UUID(m.GetMessageId()))
				c.Rendered = append(c.Rendered, message.Rendered{Index: index, Content: m.GetContent()})
			}
		}
	}
	return chunks.all, chunks.err
}

func refused(d *eventbus.Delivery) ([]message.Chunk, error) {
	var event compliancev1.MessagesRefused
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, err
	}
	var chunks chunks
	for _, p := range event.GetParcels() {
		if err := chunks.begin(d.Env, p.GetParcelId(), p.GetTenantId()); err != nil {
			return nil, err
		}
		at := fromMicros(p.GetDecideTimeUs())
		for _, m := range p.GetMessages() {
			chunks.add(m.GetMessageId(), &message.Event{
				Kind: message.KindRefused, Round: m.GetRound(), Time: at, Reasons: reasons(m.GetReasons()...),
			})
		}
	}
	return chunks.all, chunks.err
}

func held(d *eventbus.Delivery) ([]message.Chunk, error) {
	var event compliancev1.MessagesHeld
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, err
	}
	var chunks chunks
	for _, p := range event.GetParcels() {
		if err := chunks.begin(d.Env, p.GetParcelId(), p.GetTenantId()); err != nil {
			return nil, err
		}
		at := fromMicros(p.GetDecideTimeUs())
		for _, m := range p.GetMessages() {
			chunks.add(m.GetMessageId(), &message.Event{
				Kind: message.KindHeld, Round: m.GetRound(), Time: at, Due: fromMicros(m.GetDueTimeUs()), Reasons: reasons(m.GetReason()),
			})
		}
	}
	return chunks.all, chunks.err
}

func cancelled(d *eventbus.Delivery) ([]message.Chunk, error) {
	var event compliancev1.MessagesCancelled
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, err
	}
	var chunks chunks
	for _, p := range event.GetParcels() {
		if err := chunks.begin(d.Env, p.GetParcelId(), p.GetTenantId()); err != nil {
			return nil, err
		}
		at := fromMicros(p.GetCancelTimeUs())
		for _, m := range p.GetMessages() {
			chunks.add(m.GetMessageId(), &message.Event{Kind: message.KindCancelled, Round: m.GetRound(), Time: at})
		}
	}
	return chunks.all, chunks.err
}

// outcomes reads the events of dispatch, which all have parcels of outcomes in field 2: MessagesSubmitted stands for any.
func outcomes(kind message.Kind) func(*eventbus.Delivery) ([]message.Chunk, error) {
	return func(d *eventbus.Delivery) ([]message.Chunk, error) {
		var event dispatchv1.MessagesSubmitted
		if err := proto.Unmarshal(d.Data, &event); err != nil {
			return nil, err
		}
		var chunks chunks
		for _, p := range event.GetParcels() {
			if err := chunks.begin(d.Env, p.GetParcelId(), p.GetTenantId()); err != nil {
				return nil, err
			}
			for _, o := range p.GetOutcomes() {
				chunks.add(o.GetMessageId(), &message.Event{
					Kind: kind, Round: o.GetRound(), Time: fromMicros(o.GetTimeUs()), Due: fromMicros(o.GetDueTimeUs()),
					Encoding: o.GetEncoding(), Segments: int(o.GetSegments()), OperatorCode: o.GetOperatorCode(),
					OperatorTime: fromMicros(o.GetDoneTimeUs()), Reasons: reasons(o.GetReason()),
				})
			}
		}
		return chunks.all, chunks.err
	}
}

// packRoom is what a pack begins with: some 20 events. It grows from there.
const packRoom = 512

// chunks gathers the entries of event parcels by the accepted parcel they speak of.
type chunks struct {
	all  []message.Chunk
	err  error
	head message.Chunk     // of the event parcel being read
	at   map[uuid.UUID]int // its chunks, by accepted parcel, in all
}

func (c *chunks) begin(env string, parcel, tenant []byte) error {
	id, err := uuid.FromBytes(parcel)
	if err != nil {
		return fmt.Errorf("parcel id: %w", err)
	}
	owner, err := uuid.FromBytes(tenant)
	if err != nil {
		return fmt.Errorf("tenant id: %w", err)
	}
	c.head, c.at = message.Chunk{Event: id, Tenant: owner, Env: env}, map[uuid.UUID]int{}
	return nil
}

// add adds e to the chunk of its message, which it answers; nil when the message has no id, which c.err tells.
func (c *chunks) add(messageID []byte, e *message.Event) *message.Chunk {
	id, err := uuid.FromBytes(messageID)
	if err != nil {
		c.err = fmt.Errorf("message id: %w", err)
		return nil
	}
	parcel := message.ParcelOf(id)
	at, ok := c.at[parcel]
	if !ok {
		at = len(c.all)
		c.at[parcel] = at
		c.head.Parcel = parcel
		c.head.Pack = make([]byte, 0, packRoom)
		c.all = append(c.all, c.head)
	}
	chunk := &c.all[at]
	e.Index, e.Round = message.IndexOf(id), min(e.Round, message.MaxRound)
	chunk.Pack = message.AppendEvent(chunk.Pack, e)
	if s := e.Kind.State(); s != 0 {
		chunk.Marks = append(chunk.Marks, message.Mark{Index: e.Index, Standing: message.Standing{Round: e.Round, State: s}})
	}
	return chunk
}

func reasons(from ...*typev1.Reason) (to []message.Reason) {
	for _, r := range from {
		if r.GetCode() != "" {
			to = append(to, message.Reason{Code: r.GetCode(), Detail: r.GetDetail(), Metadata: r.GetMetadata()})
		}
	}
	return to
}

// fromMicros is zero for 0: not set.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
