// Package consumer takes cleared parcels off the streams: it decodes them, opens and encodes their content, and hands
// them to delivery. Nothing is decided here.
package consumer

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// maxMessages is how many messages a parcel may hold (design decision 2).
const maxMessages = 500

// Content opens sealed content; *seal.Opener does.
type Content interface {
	Open(ctx context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error)
}

// Opener implements delivery.Opener for compliance.v1.ClearedParcel. It is safe for concurrent use.
type Opener struct {
	content Content
	refs    atomic.Uint32 // of segmented messages; any two in a row differ
}

// NewOpener makes an opener.
func NewOpener(content Content) *Opener { return &Opener{content: content} }

// Open implements delivery.Opener.
func (o *Opener) Open(ctx context.Context, p *delivery.Parcel) error {
	wire := &compliancev1.ClearedParcel{}
	if err := proto.Unmarshal(p.Payload, wire); err != nil {
		return errs.E(errs.Invalid, "EVENT_MALFORMED", "a cleared parcel cannot be read", err)
	}
	if len(wire.Messages) == 0 || len(wire.Messages) > maxMessages {
		return errs.E(errs.Invalid, "EVENT_MALFORMED", "a cleared parcel does not hold 1..500 messages", nil)
	}
	p.Correlation = idOf(wire.CorrelationId)
	messages := make([]delivery.Message, len(wire.Messages))
	p.Messages = make([]*delivery.Message, len(wire.Messages))
	for i, w := range wire.Messages {
		m := &messages[i]
		p.Messages[i] = m
		if err := o.fill(ctx, m, p, uint16(i), w); err != nil {
			return err
		}
		m.Decided = time.UnixMicro(wire.DecideTimeUs)
	}
	return nil
}

func (o *Opener) fill(ctx context.Context, m *delivery.Message, p *delivery.Parcel, index uint16, w *compliancev1.ClearedMessage) error {
	id := idOf(w.MessageId)
	if id == uuid.Nil {
		return errs.E(errs.Invalid, "EVENT_MALFORMED", "a cleared message has no id", nil)
	}
	*m = delivery.Message{
		Parcel: p, Index: index, ID: id, Round: w.Round, Header: w.Header, Entity: w.EntityId, Template: w.TemplateId,
		Chain: hex.EncodeToString(w.ChainHash), Promotional: w.Category == typev1.Category_PROMOTIONAL,
	}
	copy(m.Recipient[:], w.RecipientIndex)
	if w.ExpireTimeUs > 0 {
		m.Expire = time.UnixMicro(w.ExpireTimeUs)
	}
	return o.open(ctx, m, w.Content)
}

// open fills in number and text. Content that cannot be opened now but may be later is an error; one that never will
// makes the message unreadable.
func (o *Opener) open(ctx context.Context, m *delivery.Message, sealed []byte) error {
	plain, err := o.content.Open(ctx, nil, sealed,
		seal.Binding{Env: m.Parcel.Env, Tenant: m.Parcel.Tenant, Message: m.ID, Class: seal.ClassContent})
	if kind := errs.KindOf(err); err != nil && kind != errs.NotFound && kind != errs.Invalid {
		return fmt.Errorf("content of a message: %w", err)
	}
	if err != nil {
		m.Unreadable = delivery.ReasonUnreadable
		return nil
	}
	content := &ingestv1.Content{}
	if proto.Unmarshal(plain, content) != nil || content.To == "" || content.Text == "" {
		m.Unreadable = delivery.ReasonUnreadable
		return nil
	}
	m.To = strings.TrimPrefix(content.To, "+")
	if m.Text, err = encoding.Encode(content.Text, byte(o.refs.Add(1))); err != nil {
		m.Unreadable = delivery.ReasonUnencodable
	}
	return nil
}

func idOf(b []byte) uuid.UUID {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return uuid.Nil
	}
	return id
}
