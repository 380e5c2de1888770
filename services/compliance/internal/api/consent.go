package api

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Scopes of people's wishes; each environment has its own ledger, so a test key may write to that of test.
const (
	scopeConsentsRead      = "consents:read"
	scopeConsentsWrite     = "consents:write"
	scopeSuppressionsRead  = "suppressions:read"
	scopeSuppressionsWrite = "suppressions:write"
	scopeComplaintsRead    = "complaints:read"
	scopeComplaintsWrite   = "complaints:write"
)

// Ledger keeps consents.
type Ledger interface {
	// AddConsents adds events, each by itself.
	AddConsents(ctx context.Context, at consent.Place, author consent.Author, wanted []consent.Wanted) ([]consent.Added, error)
	// Request adds that consent is asked for; errs.Denied (COOLING_OFF) while it must not be.
	Request(ctx context.Context, at consent.Place, author consent.Author, w consent.Wanted) (consent.Added, error)
	// Revoke revokes the consents to an entity, of one purpose or all.
	Revoke(ctx context.Context, at consent.Place, author consent.Author, w consent.Wanted, allPurposes bool) ([]consent.Record, error)
	// EndContract ends the consents inferred from a contract.
	EndContract(ctx context.Context, at consent.Place, author consent.Author, entity, contract string, ended time.Time) (int, error)
}

// LedgerReader answers from the ledger.
type LedgerReader interface {
	// WishesOf answers how wishes stood at an instant.
	WishesOf(ctx context.Context, at consent.Place, recipient [16]byte, entity, purpose string, instant time.Time) (consent.Standing, error)
	// Receipt answers a receipt; errs.NotFound when there is none.
	Receipt(ctx context.Context, at consent.Place, id uuid.UUID) (document, hash []byte, err error)
}

// ConsentSettings keeps a tenant's choices.
type ConsentSettings interface {
	Policy(ctx context.Context, at consent.Place) (string, error)
	SetPolicy(ctx context.Context, at consent.Place, author consent.Author, chosen string) error
	SetPurpose(ctx context.Context, at consent.Place, author consent.Author, template, purpose string) error
}

// ConsentStore is what a ConsentServer works on.
type ConsentStore interface {
	Ledger
	LedgerReader
	ConsentSettings
	WishImports
}

// Index answers the keyed hash of a number in E.164; errs.Unavailable while its key cannot be had.
type Index func(at consent.Place, number string) ([16]byte, error)

// ConsentServer is ConsentService.
type ConsentServer struct {
	compliancev1.UnimplementedConsentServiceServer

	store ConsentStore
	wishEdge
}

// NewConsentServer makes it.
func NewConsentServer(store ConsentStore, index Index, now func() time.Time) *ConsentServer {
	return &ConsentServer{store: store, wishEdge: wishEdge{index, now}}
}

// wishEdge is what the services of wishes share.
type wishEdge struct {
	index Index
	now   func() time.Time
}

func placeOf(p principal.Principal) consent.Place {
	return consent.Place{Tenant: p.TenantID, Env: p.Env}
}

// recipient is the keyed hash of a number in a request; the number goes no further.
func (e *wishEdge) recipient(p principal.Principal, field, number string) ([16]byte, error) {
	e164, ok := msisdn.E164(number)
	if ok {
		_, ok = msisdn.Parse(e164)
	}
	if !ok {
		return [16]byte{}, violated(violation(field, "RECIPIENT_INVALID", "no Indian mobile number; give ten digits that begin with 6-9, with or without +91"))
	}
	return e.index(placeOf(p), e164)
}

// wanted makes the event of a request.
func (e *wishEdge) wanted(p principal.Principal, number string, w consent.Wanted) (consent.Wanted, error) {
	index, err := e.recipient(p, "recipient", number)
	if err != nil {
		return w, err
	}
	w.Key.Recipient = index
	if wrong := w.Complete(policy.IsID, e.now()); len(wrong) > 0 {
		return w, violated(wrong...)
	}
	return w, nil
}

// RecordConsent implements ConsentService.
func (s *ConsentServer) RecordConsent(ctx context.Context, req *compliancev1.RecordConsentRequest) (*compliancev1.RecordConsentResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	switch k := consent.Kind(req.GetKind()); k {
	case "", consent.Given, consent.Refused, consent.Invalidated:
	default:
		return nil, invalid("kind", "the kinds are GIVEN, REFUSED and INVALIDATED; there are calls of their own to request and to revoke")
	}
	g := req.GetGrant()
	w, err := s.wanted(p, req.GetRecipient(), consent.Wanted{Kind: consent.Kind(req.GetKind()), Occur: timeOf(req.GetOccurTime()), Source: req.GetSource(),
		Reason: req.GetReason(), Grant: decodeGrant(g), Key: consent.Key{Entity: req.GetEntityId(), Purpose: req.GetPurpose(), Channel: req.GetChannel(),
			Basis: consent.Basis(g.GetBasis()), Contract: g.GetContract()}})
	if err != nil {
		return nil, err
	}
	added, err := s.store.AddConsents(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "consent.record", Reason: req.GetReason()}, []consent.Wanted{w})
	if err == nil {
		err = added[0].Err
	}
	if err != nil {
		return nil, err
	}
	record, err := s.read(ctx, p, &added[0].Record)
	return &compliancev1.RecordConsentResponse{Consent: record}, err
}

// read answers a record as it was just written, with its events.
func (s *ConsentServer) read(ctx context.Context, p principal.Principal, r *consent.Record) (*compliancev1.ConsentRecord, error) {
	// The ledger's clock is this process's; a second covers a change that has just been made by another.
	now := s.now().Add(time.Second)
	st, err := s.store.WishesOf(ctx, placeOf(p), r.Key.Recipient, r.Key.Entity, r.Key.Purpose, now)
	if err != nil {
		return nil, err
	}
	return encodeRecord(r, st.Events[r.ID], s.now()), nil
}

// RequestConsent implements ConsentService.
func (s *ConsentServer) RequestConsent(ctx context.Context, req *compliancev1.RequestConsentRequest) (*compliancev1.RequestConsentResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	w, err := s.wanted(p, req.GetRecipient(), consent.Wanted{Kind: consent.Requested, Key: consent.Key{Entity: req.GetEntityId(), Purpose: req.GetPurpose()},
		Grant: consent.Grant{NoticeVersion: req.GetNoticeVersion(), NoticeLanguage: req.GetNoticeLanguage()}})
	if err != nil {
		return nil, err
	}
	added, err := s.store.Request(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "consent.request"}, w)
	if err == nil {
		err = added.Err
	}
	if err != nil {
		return nil, err
	}
	record, err := s.read(ctx, p, &added.Record)
	return &compliancev1.RequestConsentResponse{Consent: record}, err
}

// RevokeConsent implements ConsentService.
func (s *ConsentServer) RevokeConsent(ctx context.Context, req *compliancev1.RevokeConsentRequest) (*compliancev1.RevokeConsentResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	w, err := s.wanted(p, req.GetRecipient(), consent.Wanted{Kind: consent.Revoked, Source: req.GetSource(), Reason: req.GetReason(),
		Key: consent.Key{Entity: req.GetEntityId(), Purpose: req.GetPurpose()}})
	if err != nil {
		return nil, err
	}
	author := consent.Author{Actor: p.Actor, Action: "consent.revoke", Reason: req.GetReason()}
	revoked, err := s.store.Revoke(ctx, placeOf(p), author, w, req.GetPurpose() == "")
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.RevokeConsentResponse{}
	for i := range revoked {
		record, err := s.read(ctx, p, &revoked[i])
		if err != nil {
			return nil, err
		}
		resp.Consents = append(resp.Consents, record)
	}
	return resp, nil
}

// EndContract implements ConsentService.
func (s *ConsentServer) EndContract(ctx context.Context, req *compliancev1.EndContractRequest) (*compliancev1.EndContractResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	ended, now := timeOf(req.GetEndTime()), s.now()
	switch {
	case !policy.IsID(req.GetEntityId()):
		return nil, invalid("entity_id", "the entity's id must be exactly 19 digits")
	case req.GetContract() == "" || len(req.GetContract()) > 100:
		return nil, invalid("contract", "the contract as given with the consents, 1 to 100 bytes")
	case ended.After(now):
		return nil, invalid("end_time", "an event cannot be in the future")
	case ended.IsZero():
		ended = now
	}
	n, err := s.store.EndContract(ctx, placeOf(p), consent.Author{Actor: p.Actor, Action: "consent.end_contract"}, req.GetEntityId(), req.GetContract(), ended)
	return &compliancev1.EndContractResponse{EndedCount: int32(n)}, err
}

// GetConsent implements ConsentService.
func (s *ConsentServer) GetConsent(ctx context.Context, req *compliancev1.GetConsentRequest) (*compliancev1.GetConsentResponse, error) {
	p, err := caller(ctx, scopeConsentsRead)
	if err != nil {
		return nil, err
	}
	index, err := s.recipient(p, "recipient", req.GetRecipient())
	if err != nil {
		return nil, err
	}
	if req.GetEntityId() != "" && !policy.IsID(req.GetEntityId()) {
		return nil, invalid("entity_id", "the entity's id must be exactly 19 digits")
	}
	instant := timeOf(req.GetAsOfTime())
	if instant.IsZero() {
		instant = s.now()
	}
	st, err := s.store.WishesOf(ctx, placeOf(p), index, req.GetEntityId(), req.GetPurpose(), instant)
	if err != nil {
		return nil, err
	}
	return encodeStanding(&st, instant), nil
}

// GetConsentReceipt implements ConsentService.
func (s *ConsentServer) GetConsentReceipt(ctx context.Context, req *compliancev1.GetConsentReceiptRequest) (*compliancev1.GetConsentReceiptResponse, error) {
	p, err := caller(ctx, scopeConsentsRead)
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(req.GetReceiptId())
	if err != nil {
		return nil, invalid("receipt_id", "not a UUID")
	}
	document, hash, err := s.store.Receipt(ctx, placeOf(p), id)
	if err != nil {
		return nil, err
	}
	return &compliancev1.GetConsentReceiptResponse{Document: string(document), Sha256: hex.EncodeToString(hash)}, nil
}

// The policies of a tenant.
const (
	policyEither   = "pref_or_consent"
	policyRequired = "consent_required"
)

// SetConsentPolicy implements ConsentService.
func (s *ConsentServer) SetConsentPolicy(ctx context.Context, req *compliancev1.SetConsentPolicyRequest) (*compliancev1.SetConsentPolicyResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	if c := req.GetPolicy(); c != policyEither && c != policyRequired {
		return nil, invalid("policy", "the policies are pref_or_consent and consent_required")
	}
	author := consent.Author{Actor: p.Actor, Action: "consent.policy_set"}
	return &compliancev1.SetConsentPolicyResponse{Policy: req.GetPolicy()}, s.store.SetPolicy(ctx, placeOf(p), author, req.GetPolicy())
}

// GetConsentPolicy implements ConsentService.
func (s *ConsentServer) GetConsentPolicy(ctx context.Context, _ *compliancev1.GetConsentPolicyRequest) (*compliancev1.GetConsentPolicyResponse, error) {
	p, err := caller(ctx, scopeConsentsRead)
	if err != nil {
		return nil, err
	}
	chosen, err := s.store.Policy(ctx, placeOf(p))
	return &compliancev1.GetConsentPolicyResponse{Policy: chosen}, err
}

// SetTemplatePurpose implements ConsentService.
func (s *ConsentServer) SetTemplatePurpose(ctx context.Context, req *compliancev1.SetTemplatePurposeRequest) (*compliancev1.SetTemplatePurposeResponse, error) {
	p, err := caller(ctx, scopeConsentsWrite)
	if err != nil {
		return nil, err
	}
	purpose := req.GetPurpose()
	if purpose == "" {
		purpose = consent.DefaultPurpose
	}
	if !policy.IsID(req.GetTemplateId()) {
		return nil, invalid("template_id", "the template's id must be exactly 19 digits")
	}
	if !consent.IsPurpose(purpose) {
		return nil, invalid("purpose", "1 to 50 lower-case letters, digits, _ and -")
	}
	author := consent.Author{Actor: p.Actor, Action: "consent.purpose_set"}
	return &compliancev1.SetTemplatePurposeResponse{Purpose: purpose}, s.store.SetPurpose(ctx, placeOf(p), author, req.GetTemplateId(), purpose)
}
