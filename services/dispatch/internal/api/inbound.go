package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Scopes of the service; content:read shows number and text in clear, as for messages that were sent.
const (
	scopeInboundRead  = "inbound:read"
	scopeInboundWrite = "inbound:write"
	scopeContent      = "content:read"
)

const (
	maxPage       = 500
	defaultWindow = 7 * 24 * time.Hour
)

// Inbox reads what handsets sent, and keeps keywords, of one tenant and environment.
type Inbox interface {
	// Get answers one message; errs.NotFound when it is not there or somebody else's.
	Get(ctx context.Context, tenant uuid.UUID, env string, id uuid.UUID) (inbound.Message, error)
	// List answers a page.
	List(ctx context.Context, q inbound.Query) ([]inbound.Message, error)
	// Keywords answers a tenant's own words.
	Keywords(ctx context.Context, tenant uuid.UUID, env string) ([]inbound.Keyword, error)
	// SetKeywords replaces them.
	SetKeywords(ctx context.Context, tenant uuid.UUID, env string, list []inbound.Keyword) error
}

// Letters opens what is sealed of messages from handsets.
type Letters interface {
	// Read answers number and text; errs.NotFound once they are erased.
	Read(ctx context.Context, m *inbound.Message) (from, text string, err error)
	// Index is the keyed hash of a number.
	Index(env string, tenant uuid.UUID, number string) ([16]byte, error)
}

// InboundServer is onlinesms.dispatch.v1.InboundService.
type InboundServer struct {
	dispatchv1.UnimplementedInboundServiceServer

	inbox   Inbox
	letters Letters
	now     func() time.Time
}

// NewInboundServer makes it.
func NewInboundServer(inbox Inbox, letters Letters, now func() time.Time) *InboundServer {
	return &InboundServer{inbox: inbox, letters: letters, now: now}
}

// GetInbound implements InboundService. A message of another tenant or environment is NOT_FOUND.
func (s *InboundServer) GetInbound(ctx context.Context, req *dispatchv1.GetInboundRequest) (*dispatchv1.GetInboundResponse, error) {
	p, err := allowed(ctx, scopeInboundRead)
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(req.GetInboundId())
	if err != nil {
		return nil, invalid("inbound_id", "not a UUID")
	}
	m, err := s.inbox.Get(ctx, p.TenantID, p.Env, id)
	if err != nil {
		return nil, err
	}
	shown, err := s.show(ctx, p, &m)
	return &dispatchv1.GetInboundResponse{Inbound: shown}, err
}

// ListInbound implements InboundService.
func (s *InboundServer) ListInbound(ctx context.Context, req *dispatchv1.ListInboundRequest) (*dispatchv1.ListInboundResponse, error) {
	p, err := allowed(ctx, scopeInboundRead)
	if err != nil {
		return nil, err
	}
	q, err := s.query(req, p)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is another page
	list, err := s.inbox.List(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &dispatchv1.ListInboundResponse{}
	if len(list) > limit {
		list = list[:limit]
		resp.NextPageToken = pageToken(req, p, list[limit-1].ID)
	}
	for i := range list {
		shown, err := s.show(ctx, p, &list[i])
		if err != nil {
			return nil, err
		}
		resp.Inbound = append(resp.Inbound, shown)
	}
	return resp, nil
}

// query checks a request and fills in its defaults.
func (s *InboundServer) query(req *dispatchv1.ListInboundRequest, p principal.Principal) (q inbound.Query, err error) {
	now := s.now()
	q = inbound.Query{
		Tenant: p.TenantID, Env: p.Env, To: req.GetTo(), Action: inbound.Action(req.GetAction()), Limit: int(req.GetPageSize()),
		Start: now.Add(-defaultWindow), End: now,
	}
	if t := req.GetStartTime(); t != nil {
		q.Start = t.AsTime()
	}
	if t := req.GetEndTime(); t != nil {
		q.End = t.AsTime()
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	switch {
	case q.Limit < 0 || q.Limit > maxPage:
		return q, invalid("page_size", "1 to 500")
	case req.GetStartTime().CheckValid() != nil && req.GetStartTime() != nil || !q.Start.Before(q.End):
		return q, invalid("start_time", "must be a time before end_time")
	case req.GetEndTime().CheckValid() != nil && req.GetEndTime() != nil:
		return q, invalid("end_time", "not a time")
	case q.Action != "" && !q.Action.Wish() && q.Action != inbound.Help:
		return q, invalid("action", "STOP, START or HELP")
	}
	if from := req.GetFrom(); from != "" {
		sender, err := s.letters.Index(p.Env, p.TenantID, inbound.Sender(from))
		if err != nil {
			return q, err
		}
		q.Sender = &sender
	}
	if token := req.GetPageToken(); token != "" {
		var ok bool
		if q.Before, ok = parsePageToken(req, p, token); !ok {
			return q, invalid("page_token", "must be the next_page_token of a page with the same filters")
		}
	}
	return q, nil
}

// show makes what a caller may see of a message: number and text need scope content:read, and end with their erasure.
func (s *InboundServer) show(ctx context.Context, p principal.Principal, m *inbound.Message) (*dispatchv1.Inbound, error) {
	from, text, err := s.letters.Read(ctx, m)
	switch {
	case errs.KindOf(err) == errs.NotFound:
		from, text = "", ""
	case err != nil:
		return nil, err
	case !p.Has(scopeContent):
		from, text = msisdn.Mask(from), ""
	}
	return &dispatchv1.Inbound{
		InboundId: m.ID.String(), From: from, To: m.To, Text: text, ReceiveTime: timestamppb.New(m.Received), Action: string(m.Action),
		Keyword: m.Keyword, Route: m.Route, Parts: int32(m.Parts), Incomplete: m.Incomplete, PduSha256: hex.EncodeToString(m.Hash[:]),
	}, nil
}

// GetInboundKeywords implements InboundService.
func (s *InboundServer) GetInboundKeywords(ctx context.Context, _ *dispatchv1.GetInboundKeywordsRequest) (*dispatchv1.GetInboundKeywordsResponse, error) {
	p, err := allowed(ctx, scopeInboundRead)
	if err != nil {
		return nil, err
	}
	own, err := s.inbox.Keywords(ctx, p.TenantID, p.Env)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.GetInboundKeywordsResponse{Own: encodeKeywords(own), BuiltIn: encodeKeywords(inbound.BuiltIn())}, nil
}

// SetInboundKeywords implements InboundService.
func (s *InboundServer) SetInboundKeywords(ctx context.Context, req *dispatchv1.SetInboundKeywordsRequest) (*dispatchv1.SetInboundKeywordsResponse, error) {
	p, err := allowed(ctx, scopeInboundWrite)
	if err != nil {
		return nil, err
	}
	if len(req.GetOwn()) > inbound.MaxKeywords {
		return nil, invalid("own", "at most 200 words")
	}
	list, seen := make([]inbound.Keyword, 0, len(req.GetOwn())), map[string]bool{}
	for _, k := range req.GetOwn() {
		word, err := inbound.NewKeyword(k.GetKeyword(), inbound.Action(k.GetAction()))
		if err != nil {
			return nil, invalid("own", k.GetKeyword()+" "+err.Error())
		}
		if seen[word.Word] {
			return nil, invalid("own", k.GetKeyword()+" is there twice")
		}
		seen[word.Word] = true
		list = append(list, word)
	}
	if err := s.inbox.SetKeywords(ctx, p.TenantID, p.Env, list); err != nil {
		return nil, err
	}
	return &dispatchv1.SetInboundKeywordsResponse{Own: encodeKeywords(list)}, nil
}

func encodeKeywords(list []inbound.Keyword) []*dispatchv1.InboundKeyword {
	out := make([]*dispatchv1.InboundKeyword, len(list))
	for i, k := range list {
		out[i] = &dispatchv1.InboundKeyword{Keyword: k.Word, Action: string(k.Action), Language: k.Language}
	}
	return out
}

// A page token is the id the next page begins after, and a sum over who asks for what: one of other filters, another
// tenant or environment is refused. It gives no access: every query is bound to its tenant.
const tokenSum = 8

func pageToken(filters *dispatchv1.ListInboundRequest, p principal.Principal, after uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append(after[:], filterSum(filters, p, after)...))
}

func parsePageToken(filters *dispatchv1.ListInboundRequest, p principal.Principal, token string) (after uuid.UUID, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != len(after)+tokenSum {
		return after, false
	}
	after = uuid.UUID(raw[:len(after)])
	return after, string(raw[len(after):]) == string(filterSum(filters, p, after))
}

func filterSum(filters *dispatchv1.ListInboundRequest, p principal.Principal, after uuid.UUID) []byte {
	b := append(append([]byte("inbound/v1"), after[:]...), p.TenantID[:]...)
	b = append(append(b, p.Env...), 0)
	for _, s := range []string{filters.GetFrom(), filters.GetTo(), filters.GetAction()} {
		b = append(append(b, s...), 0)
	}
	for _, t := range []*timestamppb.Timestamp{filters.GetStartTime(), filters.GetEndTime()} {
		b = binary.AppendVarint(binary.AppendVarint(b, t.GetSeconds()), int64(t.GetNanos()))
	}
	sum := sha256.Sum256(b)
	return sum[:tokenSum]
}
