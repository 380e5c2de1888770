package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// OptOuts keeps recipients' opt-outs.
type OptOuts interface {
	// OptOut records one and revokes the consents it covers; it answers the one in force and how many were revoked.
	OptOut(ctx context.Context, at consent.Place, author consent.Author, o consent.OptOut) (consent.OptOut, int, error)
	// LiftOptOut takes one back; errs.NotFound when it is not in force.
	LiftOptOut(ctx context.Context, at consent.Place, author consent.Author, o consent.OptOut) error
}

// SuppressionList keeps a tenant's list.
type SuppressionList interface {
	// Suppress puts recipients on it; it answers how many were not.
	Suppress(ctx context.Context, at consent.Place, author consent.Author, list []consent.Suppression) (int, error)
	// Unsuppress takes them off; it answers how many were on it.
	Unsuppress(ctx context.Context, at consent.Place, author consent.Author, recipients [][16]byte) (int, error)
	// Suppressions answers a page, those after a hash.
	Suppressions(ctx context.Context, at consent.Place, after []byte, limit int) ([]consent.Suppression, error)
}

// SuppressionStore is what a SuppressionServer works on.
type SuppressionStore interface {
	OptOuts
	SuppressionList
	WishImports
}

// SuppressionServer is SuppressionService.
type SuppressionServer struct {
	compliancev1.UnimplementedSuppressionServiceServer

	store SuppressionStore
	wishEdge
}

// NewSuppressionServer makes it.
func NewSuppressionServer(store SuppressionStore, index Index, now func() time.Time) *SuppressionServer {
	return &SuppressionServer{store: store, wishEdge: wishEdge{index, now}}
}

const maxRecipients = 500

// optOut makes the opt-out of a request.
func (s *SuppressionServer) optOut(ctx context.Context, number, scope, object, source, reason string) (p principal.Principal, o consent.OptOut, err error) {
	if p, err = caller(ctx, scopeSuppressionsWrite); err != nil {
		return p, o, err
	}
	if source == "" {
		source = "api"
	}
	o = consent.OptOut{Scope: consent.Scope(scope), Object: object, Source: source}
	if wrong := consent.CheckOptOut(o.Scope, o.Object, o.Source, reason, policy.IsID, isHeader); len(wrong) > 0 {
		return p, o, violated(wrong...)
	}
	o.Recipient, err = s.recipient(p, "recipient", number)
	return p, o, err
}

// RecordOptOut implements SuppressionService.
func (s *SuppressionServer) RecordOptOut(ctx context.Context, req *compliancev1.RecordOptOutRequest) (*compliancev1.RecordOptOutResponse, error) {
	p, o, err := s.optOut(ctx, req.GetRecipient(), req.GetScope(), req.GetObjectId(), req.GetSource(), req.GetReason())
	if err != nil {
		return nil, err
	}
	o, revoked, err := s.store.OptOut(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "opt_out.record", Reason: req.GetReason()}, o)
	if err != nil {
		return nil, err
	}
	return &compliancev1.RecordOptOutResponse{OptOut: encodeOptOut(&o), RevokedCount: int32(revoked)}, nil
}

// LiftOptOut implements SuppressionService.
func (s *SuppressionServer) LiftOptOut(ctx context.Context, req *compliancev1.LiftOptOutRequest) (*compliancev1.LiftOptOutResponse, error) {
	p, o, err := s.optOut(ctx, req.GetRecipient(), req.GetScope(), req.GetObjectId(), "", req.GetReason())
	if err != nil {
		return nil, err
	}
	if req.GetReason() == "" {
		return nil, violated(violation("reason", "REQUIRED", "say how the recipient took it back; it is kept in the audit log"))
	}
	author := consent.Author{Actor: p.Actor, Action: "opt_out.lift", Reason: req.GetReason()}
	return &compliancev1.LiftOptOutResponse{}, s.store.LiftOptOut(ctx, placeOf(p), author, o)
}

// recipients are the keyed hashes of a request's numbers.
func (s *SuppressionServer) recipients(p principal.Principal, numbers []string) ([][16]byte, error) {
	if len(numbers) == 0 || len(numbers) > maxRecipients {
		return nil, invalid("recipients", "1 to 500 numbers; import a file for more")
	}
	all := make([][16]byte, len(numbers))
	for i, number := range numbers {
		var err error
		if all[i], err = s.recipient(p, fmt.Sprintf("recipients[%d]", i), number); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// AddSuppressions implements SuppressionService.
func (s *SuppressionServer) AddSuppressions(ctx context.Context, req *compliancev1.AddSuppressionsRequest) (*compliancev1.AddSuppressionsResponse, error) {
	p, err := caller(ctx, scopeSuppressionsWrite)
	if err != nil {
		return nil, err
	}
	all, ok := consent.AppliesToAll(req.GetAppliesTo())
	expires := timeOf(req.GetExpireTime())
	switch {
	case !ok:
		return nil, invalid("applies_to", "promotional or all")
	case len(req.GetReason()) > 500:
		return nil, invalid("reason", "at most 500 bytes")
	case !expires.IsZero() && !expires.After(s.now()):
		return nil, invalid("expire_time", "it ends before it begins")
	}
	recipients, err := s.recipients(p, req.GetRecipients())
	if err != nil {
		return nil, err
	}
	list := make([]consent.Suppression, len(recipients))
	for i := range recipients {
		list[i] = consent.Suppression{Recipient: recipients[i], All: all, Reason: req.GetReason(), Expires: expires}
	}
	n, err := s.store.Suppress(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "suppression.add", Reason: req.GetReason()}, list)
	return &compliancev1.AddSuppressionsResponse{AddedCount: int32(n)}, err
}

// RemoveSuppressions implements SuppressionService.
func (s *SuppressionServer) RemoveSuppressions(ctx context.Context, req *compliancev1.RemoveSuppressionsRequest) (*compliancev1.RemoveSuppressionsResponse, error) {
	p, err := caller(ctx, scopeSuppressionsWrite)
	if err != nil {
		return nil, err
	}
	if len(req.GetReason()) > 500 {
		return nil, invalid("reason", "at most 500 bytes")
	}
	recipients, err := s.recipients(p, req.GetRecipients())
	if err != nil {
		return nil, err
	}
	n, err := s.store.Unsuppress(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "suppression.remove", Reason: req.GetReason()}, recipients)
	return &compliancev1.RemoveSuppressionsResponse{RemovedCount: int32(n)}, err
}

// ListSuppressions implements SuppressionService. A page's token is its last hash.
func (s *SuppressionServer) ListSuppressions(ctx context.Context, req *compliancev1.ListSuppressionsRequest) (*compliancev1.ListSuppressionsResponse, error) {
	p, err := caller(ctx, scopeSuppressionsRead)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := hex.DecodeString(req.GetPageToken())
	if err != nil {
		return nil, invalid("page_token", "not a token of a page before")
	}
	list, err := s.store.Suppressions(ctx, placeOf(p), after, limit)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListSuppressionsResponse{}
	for i := range list {
		applies := "promotional"
		if list[i].All {
			applies = "all"
		}
		resp.Suppressions = append(resp.Suppressions, &compliancev1.Suppression{RecipientIndex: hex.EncodeToString(list[i].Recipient[:]), AppliesTo: applies,
			Reason: list[i].Reason, Actor: list[i].Actor, CreateTime: timestamp(list[i].Since), ExpireTime: timestamp(list[i].Expires)})
	}
	if len(list) == limit {
		resp.NextPageToken = hex.EncodeToString(list[limit-1].Recipient[:])
	}
	return resp, nil
}

// ImportSuppressions implements SuppressionService.
func (s *SuppressionServer) ImportSuppressions(ctx context.Context, req *compliancev1.ImportSuppressionsRequest) (*compliancev1.ImportSuppressionsResponse, error) {
	p, err := caller(ctx, scopeSuppressionsWrite)
	if err != nil {
		return nil, err
	}
	i, err := s.take(ctx, p, s.store, consent.OfSuppressions, "suppression.import", req)
	return &compliancev1.ImportSuppressionsResponse{Import: i}, err
}
