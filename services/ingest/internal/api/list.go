package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	defaultPage   = 50
	maxPage       = 500
	defaultWindow = 7 * 24 * time.Hour
)

// queryOf checks a request and fills in its defaults.
func queryOf(req *ingestv1.ListMessagesRequest, p principal.Principal, now time.Time) (q message.Query, err error) {
	var found []errs.Violation
	q = message.Query{
		Tenant: p.TenantID, Env: p.Env, State: message.State(req.GetState()), Reference: req.GetClientReference(),
		Start: timeOr(req.GetStartTime(), now.Add(-defaultWindow), "start_time", &found),
		End:   timeOr(req.GetEndTime(), now, "end_time", &found),
		Limit: int(req.GetPageSize()),
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 0 || q.Limit > maxPage {
		found = append(found, errs.Violation{Field: "page_size", Reason: "OUT_OF_RANGE", Detail: "1 to 500"})
	}
	if req.GetState() != 0 && (int32(q.State) != int32(req.GetState()) || !q.State.Known()) {
		found = append(found, errs.Violation{Field: "state", Reason: "UNKNOWN", Detail: "no such state"})
	}
	if !q.Start.Before(q.End) {
		found = append(found, errs.Violation{Field: "start_time", Reason: "OUT_OF_RANGE", Detail: "must be before end_time"})
	}
	if len(q.Reference) > message.MaxReference {
		found = append(found, errs.Violation{Field: "client_reference", Reason: "TOO_LONG", Detail: "at most 64 characters"})
	}
	if token := req.GetPageToken(); token != "" {
		var ok bool
		if q.Before, ok = parsePageToken(req, p, token); !ok {
			found = append(found, errs.Violation{Field: "page_token", Reason: "UNKNOWN", Detail: "must be the next_page_token of a page with the same filters"})
		}
	}
	if len(found) > 0 {
		return q, malformed(found...)
	}
	return q, nil
}

func timeOr(t *timestamppb.Timestamp, otherwise time.Time, field string, found *[]errs.Violation) time.Time {
	if t == nil {
		return otherwise
	}
	if !t.IsValid() {
		*found = append(*found, errs.Violation{Field: field, Reason: "OUT_OF_RANGE", Detail: "not a time"})
	}
	return t.AsTime()
}

// A page token is the id the next page begins after, and a sum over who asks for what: a token of other filters, of
// another tenant or of another environment is refused. It gives no access: every query is bound to its tenant.
const tokenSum = 8

func pageToken(req *ingestv1.ListMessagesRequest, p principal.Principal, after uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append(after[:], filterSum(req, p, after)...))
}

func parsePageToken(req *ingestv1.ListMessagesRequest, p principal.Principal, token string) (after uuid.UUID, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != len(after)+tokenSum {
		return after, false
	}
	after = uuid.UUID(raw[:len(after)])
	return after, string(raw[len(after):]) == string(filterSum(req, p, after))
}

func filterSum(req *ingestv1.ListMessagesRequest, p principal.Principal, after uuid.UUID) []byte {
	b := append([]byte("page/v1"), after[:]...)
	b = append(b, p.TenantID[:]...)
	b = append(append(b, p.Env...), 0)
	b = append(append(b, req.GetClientReference()...), 0)
	for _, n := range []int64{
		int64(req.GetState()), req.GetStartTime().GetSeconds(), int64(req.GetStartTime().GetNanos()),
		req.GetEndTime().GetSeconds(), int64(req.GetEndTime().GetNanos()),
	} {
		b = binary.AppendVarint(b, n)
	}
	sum := sha256.Sum256(b)
	return sum[:tokenSum]
}
