// Package consumer turns every event of every service into entries of the ledger: one a parcel, whatever its type, and
// one a record where the parcel is records of calls at the door.
package consumer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Appender stores entries; when it returns nil they are durable.
type Appender interface {
	Append(ctx context.Context, records []ledger.Record) error
}

// Handler makes entries of deliveries.
type Handler struct {
	ledger Appender
	salts  io.Reader // cryptographic randomness
	now    func() time.Time
}

// New makes a handler.
func New(appender Appender, salts io.Reader, now func() time.Time) *Handler {
	return &Handler{ledger: appender, salts: salts, now: now}
}

// Handle appends one entry a parcel; what it needs stands in the fields all events share. Only the records of calls
// and changes of a registry it reads as what they are.
func (h *Handler) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	var records []ledger.Record
	received := h.now()
	for _, d := range batch {
		parcels, err := eventbus.Parcels(d.Data)
		if err != nil {
			return err
		}
		for _, p := range parcels {
			if d.Event == callsRecorded {
				if records, err = h.appendCalls(records, d, p, received); err != nil {
					return err
				}
				continue
			}
			record, err := h.record(d, p, received)
			if err != nil {
				return err
			}
			records = append(records, record)
		}
	}
	return h.ledger.Append(ctx, records)
}

func (h *Handler) record(d eventbus.Delivery, p eventbus.ParcelView, received time.Time) (ledger.Record, error) {
	ids, err := messageIDs(p.Payload)
	if err != nil {
		return ledger.Record{}, err
	}
	groups := ledger.Group(ids)
	digest := sha256.Sum256(p.Payload)
	who, err := authorOf(d.Event, p.Payload)
	if err != nil {
		return ledger.Record{}, err
	}
	fields := append(who.fields,
		ledger.Field{Name: ledger.FieldMessages, Value: ledger.AppendGroups(nil, groups)},
		ledger.Field{Name: ledger.FieldParcel, Digest: digest[:]})
	if err := h.salt(fields); err != nil {
		return ledger.Record{}, err
	}
	return ledger.NewRecord(ledger.Entry{
		EventID: p.ID, Tenant: p.Tenant, Env: d.Env, Action: d.Event,
		Actor:    cmp.Or(who.actor, "service/"+producer(d.Event)),
		Resource: cmp.Or(who.resource, "parcel/"+p.ID.String()), Outcome: outcome(d.Event),
		Correlation: p.Correlation, Causation: p.Causation,
		OccurredAt: occurred(p.ID, d.Time), ReceivedAt: received,
		Messages: groups, Fields: fields,
	}), nil
}

// salt gives every field a salt of its own.
func (h *Handler) salt(fields []ledger.Field) error {
	for i := range fields {
		if _, err := io.ReadFull(h.salts, fields[i].Salt[:]); err != nil {
			return errs.E(errs.Unavailable, "NO_RANDOMNESS", "no random salt could be read", err)
		}
	}
	return nil
}

// producer reads the service from onlinesms.<service>.v1.<Event>.
func producer(event string) string {
	parts := strings.Split(event, ".")
	if len(parts) < 3 {
		return "unknown"
	}
	return parts[1]
}

// outcome follows from the event's name: what an auditor filters by.
func outcome(event string) string {
	switch event[strings.LastIndexByte(event, '.')+1:] {
	case "MessagesRefused":
		return ledger.Refused
	case "MessagesFailed", "MessagesUndelivered", "MessagesExpired", "MessagesUnknown":
		return ledger.Failure
	}
	return ledger.Success
}

// occurred is the instant in the parcel's UUIDv7: that of the producing transaction, the same in every publication.
func occurred(parcel uuid.UUID, packed time.Time) time.Time {
	if parcel.Version() != 7 {
		return packed
	}
	sec, nsec := parcel.Time().UnixTime()
	return time.Unix(sec, nsec).UTC()
}
