package record

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
)

// Event is the name of the event that carries records.
var Event = string((&ingestv1.CallsRecorded{}).ProtoReflect().Descriptor().FullName())

// Append makes the record of ctx's call, as a success, part of tx, which makes the change it tells of; call Committed
// once tx is committed. A transaction that is tried again may append again. Outside of a recorded call it fails: no
// change goes unrecorded (commands begin a record with ByOperator).
func Append(ctx context.Context, tx pgx.Tx) error { return AppendOutcome(ctx, tx, Success, "") }

// AppendOutcome is Append for a call whose refusal makes a change too: a login that failed is written down.
func AppendOutcome(ctx context.Context, tx pgx.Tx, outcome, reason string) error {
	c := From(ctx)
	if c == nil {
		return errs.E(errs.Internal, "", "a change without a record", nil)
	}
	c.Outcome, c.Reason = outcome, reason
	if c.ID == uuid.Nil {
		c.ID = newID()
	}
	parcel, err := pack([]*Call{c})
	if err != nil {
		return err
	}
	if err := outbox.Append(ctx, tx, parcel); err != nil {
		return err
	}
	c.parcel = parcel
	return nil
}

// Committed tells that the transaction of Append is committed: the record is durable, and is published.
func Committed(ctx context.Context) {
	c := From(ctx)
	if c == nil || c.parcel.ID == uuid.Nil || c.durable {
		return
	}
	c.durable = true
	c.publish(c.parcel)
}

// pack makes a parcel of records of one tenant and environment, 1..500.
func pack(calls []*Call) (eventbus.Parcel, error) {
	id := newID()
	records := make([]*ingestv1.CallRecord, len(calls))
	for i, c := range calls {
		records[i] = c.encode()
	}
	first := calls[0]
	payload, err := proto.Marshal(&ingestv1.CallParcel{
		ParcelId: id[:], TenantId: first.Tenant[:], CorrelationId: id[:], Records: records,
	})
	return eventbus.Parcel{
		ID: id, Tenant: first.Tenant, Subject: eventbus.Subject(Event, first.Env, eventbus.LaneControl),
		Entries: len(calls), Payload: payload,
	}, err
}

func (c *Call) encode() *ingestv1.CallRecord {
	before, after := c.settings()
	r := &ingestv1.CallRecord{
		EventId: c.ID[:], Action: c.Action, Actor: c.Actor, Resource: c.Resource, Outcome: c.Outcome, Reason: c.Reason,
		RequestId: c.Caller.RequestID, TimeUs: c.Time.UnixMicro(), UserAgent: c.Caller.Agent, Before: before, After: after,
	}
	if c.Caller.Address.IsValid() {
		r.Address = c.Caller.Address.String()
	}
	return r
}
