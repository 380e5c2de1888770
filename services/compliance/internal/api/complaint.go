package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// Complaints keeps complaints.
type Complaints interface {
	// AddComplaints records complaints; it answers them as they stand, and how many were new.
	AddComplaints(ctx context.Context, at consent.Place, author consent.Author, list []complaint.Complaint) ([]complaint.Complaint, int, error)
	// Resolve says what became of one; errs.NotFound when there is none.
	Resolve(ctx context.Context, at consent.Place, author consent.Author, id uuid.UUID, state complaint.State) (complaint.Complaint, error)
	// Complaints answers a page, the latest recorded first, those before an id.
	Complaints(ctx context.Context, at consent.Place, entity string, before uuid.UUID, limit int) ([]complaint.Complaint, error)
	// Complainants counts who complained about an entity in ten days.
	Complainants(ctx context.Context, at consent.Place, entity string) (int, error)
}

// Evidence answers what is known of messages to a recipient cleared in a span, the earliest first.
type Evidence interface {
	Evidence(ctx context.Context, at consent.Place, recipient [16]byte, from, until time.Time, limit int) ([]screening.Evidence, error)
}

// ComplaintStore is what a ComplaintServer works on.
type ComplaintStore interface {
	Complaints
	Evidence
	WishImports
}

// ComplaintServer is ComplaintService.
type ComplaintServer struct {
	compliancev1.UnimplementedComplaintServiceServer

	store ComplaintStore
	wishEdge
}

// NewComplaintServer makes it.
func NewComplaintServer(store ComplaintStore, index Index, now func() time.Time) *ComplaintServer {
	return &ComplaintServer{store: store, wishEdge: wishEdge{index, now}}
}

// RecordComplaint implements ComplaintService.
func (s *ComplaintServer) RecordComplaint(ctx context.Context, req *compliancev1.RecordComplaintRequest) (*compliancev1.RecordComplaintResponse, error) {
	p, err := caller(ctx, scopeComplaintsWrite)
	if err != nil {
		return nil, err
	}
	c := complaint.Complaint{Entity: req.GetEntityId(), Header: req.GetHeader(), Reference: req.GetReference(), Time: timeOf(req.GetComplainTime())}
	if c.Time.IsZero() {
		c.Time = s.now()
	}
	if wrong := consent.CheckComplaint(&c, policy.IsID, isHeader, s.now()); len(wrong) > 0 {
		return nil, violated(wrong...)
	}
	if c.Recipient, err = s.recipient(p, "recipient", req.GetRecipient()); err != nil {
		return nil, err
	}
	all, _, err := s.store.AddComplaints(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "complaint.record"}, []complaint.Complaint{c})
	if err != nil {
		return nil, err
	}
	standing, err := s.standing(ctx, placeOf(p), c.Entity)
	return &compliancev1.RecordComplaintResponse{Complaint: encodeComplaint(&all[0]), Standing: standing}, err
}

func (s *ComplaintServer) standing(ctx context.Context, at consent.Place, entity string) (*compliancev1.ComplaintStanding, error) {
	n, err := s.store.Complainants(ctx, at, entity)
	return &compliancev1.ComplaintStanding{Standing: complaint.Of(n).String(), Complainants: int32(n)}, err
}

func encodeComplaint(c *complaint.Complaint) *compliancev1.Complaint {
	return &compliancev1.Complaint{ComplaintId: c.ID.String(), EntityId: c.Entity, Header: c.Header, Reference: c.Reference,
		ComplainTime: timestamp(c.Time), State: string(c.State), CreateTime: timestamp(c.Created)}
}

// ResolveComplaint implements ComplaintService.
func (s *ComplaintServer) ResolveComplaint(ctx context.Context, req *compliancev1.ResolveComplaintRequest) (*compliancev1.ResolveComplaintResponse, error) {
	p, err := caller(ctx, scopeComplaintsWrite)
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(req.GetComplaintId())
	state := complaint.State(req.GetState())
	switch {
	case err != nil:
		return nil, invalid("complaint_id", "not a UUID")
	case state != complaint.Upheld && state != complaint.Rejected:
		return nil, invalid("state", "the outcomes are UPHELD and REJECTED")
	case req.GetReason() == "" || len(req.GetReason()) > 500:
		return nil, invalid("reason", "say why in 1 to 500 bytes; it is kept in the audit log")
	}
	c, err := s.store.Resolve(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "complaint.resolve", Reason: req.GetReason()}, id, state)
	if err != nil {
		return nil, err
	}
	standing, err := s.standing(ctx, placeOf(p), c.Entity)
	return &compliancev1.ResolveComplaintResponse{Complaint: encodeComplaint(&c), Standing: standing}, err
}

// ListComplaints implements ComplaintService. A page's token is the id of its last complaint.
func (s *ComplaintServer) ListComplaints(ctx context.Context, req *compliancev1.ListComplaintsRequest) (*compliancev1.ListComplaintsResponse, error) {
	p, err := caller(ctx, scopeComplaintsRead)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var before uuid.UUID
	if token := req.GetPageToken(); token != "" {
		if before, err = uuid.Parse(token); err != nil {
			return nil, invalid("page_token", "not a token of a page before")
		}
	}
	list, err := s.store.Complaints(ctx, placeOf(p), req.GetEntityId(), before, limit)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListComplaintsResponse{}
	for i := range list {
		resp.Complaints = append(resp.Complaints, encodeComplaint(&list[i]))
	}
	if len(list) == limit {
		resp.NextPageToken = list[limit-1].ID.String()
	}
	return resp, nil
}

// GetComplaintStanding implements ComplaintService.
func (s *ComplaintServer) GetComplaintStanding(ctx context.Context, req *compliancev1.GetComplaintStandingRequest) (*compliancev1.GetComplaintStandingResponse, error) {
	p, err := caller(ctx, scopeComplaintsRead)
	if err != nil {
		return nil, err
	}
	if !policy.IsID(req.GetEntityId()) {
		return nil, invalid("entity_id", "the entity's id must be exactly 19 digits")
	}
	standing, err := s.standing(ctx, placeOf(p), req.GetEntityId())
	return &compliancev1.GetComplaintStandingResponse{Standing: standing}, err
}

// ImportComplaints implements ComplaintService.
func (s *ComplaintServer) ImportComplaints(ctx context.Context, req *compliancev1.ImportComplaintsRequest) (*compliancev1.ImportComplaintsResponse, error) {
	p, err := caller(ctx, scopeComplaintsWrite)
	if err != nil {
		return nil, err
	}
	i, err := s.take(ctx, p, s.store, consent.OfComplaints, "complaint.import", req)
	return &compliancev1.ImportComplaintsResponse{Import: i}, err
}

// maxEvidence is how many messages an answer holds.
const maxEvidence = 100

// GetEvidence implements ComplaintService.
func (s *ComplaintServer) GetEvidence(ctx context.Context, req *compliancev1.GetEvidenceRequest) (*compliancev1.GetEvidenceResponse, error) {
	p, err := caller(ctx, scopeComplaintsRead)
	if err != nil {
		return nil, err
	}
	day, err := time.ParseInLocation(time.DateOnly, req.GetDate(), policy.IST)
	if err != nil {
		return nil, invalid("date", "write it as 2026-01-31")
	}
	index, err := s.recipient(p, "recipient", req.GetRecipient())
	if err != nil {
		return nil, err
	}
	all, err := s.store.Evidence(ctx, placeOf(p), index, day, day.AddDate(0, 0, 1), maxEvidence+1)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.GetEvidenceResponse{Truncated: len(all) > maxEvidence}
	for i := range all[:min(maxEvidence, len(all))] {
		resp.Messages = append(resp.Messages, encodeEvidence(&all[i]))
	}
	return resp, nil
}

func encodeEvidence(e *screening.Evidence) *compliancev1.MessageEvidence {
	out := &compliancev1.MessageEvidence{MessageId: e.Message.String(), EntityId: e.Entity, Header: e.Header, TemplateId: e.Template,
		TemplateRevision: int32(e.Revision.Number), TemplateBody: e.Revision.Body, Wishes: encodeStanding(&e.Wishes, e.Cleared)}
	for _, d := range e.Decisions {
		out.Decisions = append(out.Decisions, encode(e.Message, d))
	}
	return out
}
