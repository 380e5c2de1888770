package consumer

import (
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// callsRecorded is the one event whose entries are not parcels.
var callsRecorded = string((&ingestv1.CallsRecorded{}).ProtoReflect().Descriptor().FullName())

// appendCalls makes an entry of every record in a parcel of calls.
func (h *Handler) appendCalls(records []ledger.Record, d eventbus.Delivery, p eventbus.ParcelView, received time.Time) ([]ledger.Record, error) {
	parcel := &ingestv1.CallParcel{}
	if err := proto.Unmarshal(p.Payload, parcel); err != nil {
		return nil, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no parcel of calls", err)
	}
	for _, call := range parcel.GetRecords() {
		id, err := uuid.FromBytes(call.GetEventId())
		if err != nil {
			return nil, errs.E(errs.Invalid, "PARCEL_MALFORMED", "a call has no id", err)
		}
		fields := callFields(call)
		if err := h.salt(fields); err != nil {
			return nil, err
		}
		records = append(records, ledger.NewRecord(ledger.Entry{
			EventID: id, Tenant: p.Tenant, Env: d.Env, Action: call.GetAction(), Actor: call.GetActor(),
			Resource: call.GetResource(), Outcome: call.GetOutcome(), Reason: call.GetReason(), RequestID: call.GetRequestId(),
			Correlation: p.Correlation, Causation: p.Causation,
			OccurredAt: time.UnixMicro(call.GetTimeUs()).UTC(), ReceivedAt: received, Fields: fields,
		}))
	}
	return records, nil
}

// callFields are the parts of a call that stand behind commitments, where there are any; sorted by name.
func callFields(call *ingestv1.CallRecord) (fields []ledger.Field) {
	for _, f := range []ledger.Field{
		{Name: ledger.FieldAddress, Value: []byte(call.GetAddress())},
		{Name: ledger.FieldAfter, Value: []byte(call.GetAfter())},
		{Name: ledger.FieldBefore, Value: []byte(call.GetBefore())},
		{Name: ledger.FieldAgent, Value: []byte(call.GetUserAgent())},
	} {
		if len(f.Value) > 0 {
			fields = append(fields, f)
		}
	}
	return fields
}
