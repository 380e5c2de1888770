package api

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	defaultPage = 50
	maxPage     = 500
)

// query decodes a request; errs.Invalid names every field that is wrong.
func query(caller principal.Principal, req *auditv1.ListEventsRequest) (ledger.Query, error) {
	q := ledger.Query{
		Tenant: caller.TenantID, Env: caller.Env, After: -1, Limit: defaultPage, Action: req.GetAction(), Actor: req.GetActor(), Outcome: req.GetOutcome(),
		Start: instant(req.GetStartTime()), End: instant(req.GetEndTime()),
	}
	var wrong []errs.Violation
	reject := func(field, detail string) {
		wrong = append(wrong, errs.Violation{Field: field, Reason: "REQUEST_INVALID", Detail: detail})
	}
	if n := req.GetPageSize(); n < 0 || n > maxPage {
		reject("pageSize", "must be 1 to 500")
	} else if n > 0 {
		q.Limit = int(n)
	}
	if token := req.GetPageToken(); token != "" {
		after, ok := parsePageToken(token)
		if !ok {
			reject("pageToken", "is not a token of this list; start again without it")
		}
		q.After = after
	}
	if outcome := q.Outcome; outcome != "" && outcome != ledger.Success && outcome != ledger.Refused && outcome != ledger.Failure {
		reject("outcome", "must be success, refused or failure")
	}
	var ok bool
	if q.Parcel, ok = optionalID(req.GetParcelId()); !ok {
		reject("parcelId", "must be a UUID")
	}
	message, ok := optionalID(req.GetMessageId())
	if !ok {
		reject("messageId", "must be a UUID")
	}
	if message != uuid.Nil {
		parcel, index := ledger.SplitMessageID(message)
		q.Parcel, q.Index = parcel, &index
	}
	if wrong != nil {
		return q, &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request has invalid fields", Violations: wrong}
	}
	return q, nil
}

func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func optionalID(s string) (uuid.UUID, bool) {
	if s == "" {
		return uuid.Nil, true
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// pageToken is the last index shown; opaque to callers.
func pageToken(index int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(index)))
}

func parsePageToken(token string) (int64, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 8 {
		return 0, false
	}
	index := int64(binary.BigEndian.Uint64(raw))
	return index, index >= 0
}

func event(s *ledger.Stored) *auditv1.Event {
	e := &auditv1.Event{
		Index: &s.Index, EventId: s.EventID.String(), Action: s.Action, Actor: s.Actor, Resource: s.Resource,
		Outcome: s.Outcome, Env: s.Env, MessageCount: uint32(s.MessageCount),
		OccurTime: timestamppb.New(s.OccurredAt), ReceiveTime: timestamppb.New(s.ReceivedAt),
		LeafHash: s.Hash[:], CorrelationId: s.Correlation.String(), Reason: s.Reason, RequestId: s.RequestID,
	}
	if s.Causation != uuid.Nil {
		e.CausationId = s.Causation.String()
	}
	return e
}

func committed(all []ledger.Field) []*auditv1.CommittedField {
	fields := make([]*auditv1.CommittedField, len(all))
	for i := range all {
		f := &all[i]
		fields[i] = &auditv1.CommittedField{Name: f.Name, Salt: f.Salt[:], Value: f.Value, Digest: f.Digest}
	}
	return fields
}
