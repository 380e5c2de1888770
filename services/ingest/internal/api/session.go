package api

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// SessionList shows and ends the sessions of a user.
type SessionList interface {
	Session(ctx context.Context, id string) (person.Held, error)
	SessionsOf(ctx context.Context, tenant, user uuid.UUID, now time.Time) ([]person.Session, error)
	EndSession(ctx context.Context, tenant, user uuid.UUID, id string) error
}

// SessionRooms is what SessionServer stands before.
type SessionRooms struct {
	Login      *person.Login
	Factors    *person.Factors
	Passwords  *person.Passwords
	Federation *person.Federation
	Sessions   SessionList
	People     *person.Administration
	Admit      func(from netip.Addr) error  // whether calls without credential are taken from there now
	Forget     func(tenant, user uuid.UUID) // see person.Sessions.Forget
	Now        func() time.Time
}

// SessionServer is onlinesms.ingest.v1.SessionService.
type SessionServer struct {
	ingestv1.UnimplementedSessionServiceServer
	SessionRooms
}

// NewSessionServer joins the service to its rooms.
func NewSessionServer(rooms SessionRooms) *SessionServer { return &SessionServer{SessionRooms: rooms} }

func originOf(ctx context.Context) person.Origin {
	c := caller.From(ctx)
	return person.Origin{Address: c.Address, Agent: c.Agent}
}

// optionalID reads an id that may be left out.
func optionalID(field, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	return idOf(field, text)
}

func idOf(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.Nil, invalid(field, "FORMAT", "must be a UUID")
	}
	return id, nil
}

// keep puts a token into a cookie, where the caller wants that, and answers what is to stand in the answer.
func keep(ctx context.Context, name, token string, life time.Duration, cookie bool) (string, error) {
	if !cookie {
		return token, nil
	}
	c := fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Lax", name, token, int(life.Seconds()))
	return "", grpc.SetHeader(ctx, metadata.Pairs(caller.SetCookieKey, c))
}

// dropCookie has the browser forget its cookie.
func dropCookie(ctx context.Context) error {
	_, err := keep(ctx, caller.SessionCookie, "", 0, true)
	return err
}

func (s *SessionServer) opened(ctx context.Context, o *person.Opened, cookie bool) (*ingestv1.Session, string, error) {
	token, err := keep(ctx, caller.SessionCookie, o.Token, o.Expire.Sub(s.Now()), cookie)
	return toSession(&o.Session, o.Role, o.ID), token, err
}

// Login begins a session with a password.
func (s *SessionServer) Login(ctx context.Context, req *ingestv1.LoginRequest) (*ingestv1.LoginResponse, error) {
	if err := s.Admit(caller.From(ctx).Address); err != nil {
		return nil, err
	}
	owner, err := optionalID("tenant_id", req.GetTenantId())
	if err != nil {
		return nil, err
	}
	o, err := s.SessionRooms.Login.Password(ctx, person.Credentials{Email: req.GetEmail(), Password: req.GetPassword(), Tenant: owner}, originOf(ctx))
	if err != nil {
		return nil, err
	}
	session, token, err := s.opened(ctx, &o, req.GetCookie())
	return &ingestv1.LoginResponse{Session: session, Token: token}, err
}

// VerifySecondFactor shows the second factor.
func (s *SessionServer) VerifySecondFactor(ctx context.Context, req *ingestv1.VerifySecondFactorRequest) (*ingestv1.VerifySecondFactorResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	if (req.GetCode() == "") == (req.GetRecoveryCode() == "") {
		return nil, invalid("code", "CONFLICT", "give either code or recovery_code")
	}
	o, left, err := s.Factors.Verify(ctx, p, req.GetCode(), req.GetRecoveryCode(), originOf(ctx))
	if err != nil {
		return nil, err
	}
	session, token, err := s.opened(ctx, &o, req.GetCookie())
	return &ingestv1.VerifySecondFactorResponse{Session: session, Token: token, RecoveryCodesLeft: int32(left)}, err
}

// person answers who calls, where it is a person. What he does with himself stands in the live log, like his login.
func (s *SessionServer) person(ctx context.Context) (principal.Principal, uuid.UUID, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return p, uuid.Nil, errNoPrincipal
	}
	id, err := person.UserOf(p)
	if call := record.From(ctx); call != nil && err == nil {
		call.Env = principal.Live
	}
	return p, id, err
}

// GetCurrentSession answers who calls.
func (s *SessionServer) GetCurrentSession(ctx context.Context, _ *ingestv1.GetCurrentSessionRequest) (*ingestv1.GetCurrentSessionResponse, error) {
	p, id, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	held, err := s.Sessions.Session(ctx, p.Session)
	if err != nil {
		return nil, err
	}
	u, err := s.People.Store.User(ctx, p.TenantID, id)
	if err != nil {
		return nil, err
	}
	user, err := toUser(ctx, s.People, &u)
	return &ingestv1.GetCurrentSessionResponse{
		Session: toSession(&held.Session, held.Role, p.Session), User: user, Environment: p.Env, Scopes: p.Scopes,
	}, err
}

// Logout ends the session.
func (s *SessionServer) Logout(ctx context.Context, _ *ingestv1.LogoutRequest) (*ingestv1.LogoutResponse, error) {
	p, id, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.end(ctx, p, id, p.Session); err != nil {
		return nil, err
	}
	return &ingestv1.LogoutResponse{}, dropCookie(ctx)
}

func (s *SessionServer) end(ctx context.Context, p principal.Principal, user uuid.UUID, session string) error {
	if err := s.Sessions.EndSession(ctx, p.TenantID, user, session); err != nil {
		return err
	}
	s.Forget(p.TenantID, user)
	return nil
}

// ListSessions answers the caller's sessions.
func (s *SessionServer) ListSessions(ctx context.Context, _ *ingestv1.ListSessionsRequest) (*ingestv1.ListSessionsResponse, error) {
	p, id, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	u, err := s.People.Store.User(ctx, p.TenantID, id)
	if err != nil {
		return nil, err
	}
	all, err := s.Sessions.SessionsOf(ctx, p.TenantID, id, s.Now())
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.ListSessionsResponse{}
	for i := range all {
		resp.Sessions = append(resp.Sessions, toSession(&all[i], u.Role, p.Session))
	}
	return resp, nil
}

// RevokeSession ends another session of the caller's.
func (s *SessionServer) RevokeSession(ctx context.Context, req *ingestv1.RevokeSessionRequest) (*ingestv1.RevokeSessionResponse, error) {
	p, id, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	return &ingestv1.RevokeSessionResponse{}, s.end(ctx, p, id, req.GetSessionId())
}

// EnrolTotp makes a seed.
func (s *SessionServer) EnrolTotp(ctx context.Context, _ *ingestv1.EnrolTotpRequest) (*ingestv1.EnrolTotpResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	seed, url, err := s.Factors.Enrol(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ingestv1.EnrolTotpResponse{Seed: seed, Url: url}, nil
}

// ConfirmTotp makes the authenticator count.
func (s *SessionServer) ConfirmTotp(ctx context.Context, req *ingestv1.ConfirmTotpRequest) (*ingestv1.ConfirmTotpResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	o, recovery, err := s.Factors.Confirm(ctx, p, req.GetCode(), originOf(ctx))
	if err != nil {
		return nil, err
	}
	session, token, err := s.opened(ctx, &o, req.GetCookie())
	return &ingestv1.ConfirmTotpResponse{Session: session, Token: token, RecoveryCodes: recovery}, err
}

// RemoveTotp removes the authenticator.
func (s *SessionServer) RemoveTotp(ctx context.Context, req *ingestv1.RemoveTotpRequest) (*ingestv1.RemoveTotpResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	return &ingestv1.RemoveTotpResponse{}, s.Factors.Remove(ctx, p, req.GetCode(), originOf(ctx))
}

// RenewRecoveryCodes replaces the recovery codes.
func (s *SessionServer) RenewRecoveryCodes(ctx context.Context, req *ingestv1.RenewRecoveryCodesRequest) (*ingestv1.RenewRecoveryCodesResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := s.Factors.Renew(ctx, p, req.GetCode(), originOf(ctx))
	if err != nil {
		return nil, err
	}
	return &ingestv1.RenewRecoveryCodesResponse{RecoveryCodes: codes}, nil
}

// ChangePassword replaces the password.
func (s *SessionServer) ChangePassword(ctx context.Context, req *ingestv1.ChangePasswordRequest) (*ingestv1.ChangePasswordResponse, error) {
	p, _, err := s.person(ctx)
	if err != nil {
		return nil, err
	}
	o, err := s.Passwords.Change(ctx, p, req.GetPassword(), req.GetNewPassword(), originOf(ctx))
	if err != nil {
		return nil, err
	}
	session, token, err := s.opened(ctx, &o, req.GetCookie())
	return &ingestv1.ChangePasswordResponse{Session: session, Token: token}, err
}

// RequestPasswordReset mails a link to whom it may concern.
func (s *SessionServer) RequestPasswordReset(ctx context.Context, req *ingestv1.RequestPasswordResetRequest) (*ingestv1.RequestPasswordResetResponse, error) {
	if err := s.Admit(caller.From(ctx).Address); err != nil {
		return nil, err
	}
	owner, err := optionalID("tenant_id", req.GetTenantId())
	if err != nil {
		return nil, err
	}
	if err := s.Passwords.RequestReset(ctx, req.GetEmail(), owner, originOf(ctx)); err != nil {
		return nil, err
	}
	return &ingestv1.RequestPasswordResetResponse{}, nil
}

// ConfirmPasswordReset sets a password.
func (s *SessionServer) ConfirmPasswordReset(ctx context.Context, req *ingestv1.ConfirmPasswordResetRequest) (*ingestv1.ConfirmPasswordResetResponse, error) {
	if err := s.Admit(caller.From(ctx).Address); err != nil {
		return nil, err
	}
	if err := s.Passwords.Reset(ctx, req.GetToken(), req.GetPassword(), originOf(ctx)); err != nil {
		return nil, err
	}
	return &ingestv1.ConfirmPasswordResetResponse{}, nil
}

var errNoFederation = errs.E(errs.NotFound, "IDENTITY_PROVIDER_NOT_FOUND", "this platform takes no sign-ins of identity providers: OIDC_REDIRECT_URL is not set", nil)

// StartFederatedLogin begins a sign-in at the identity provider.
func (s *SessionServer) StartFederatedLogin(ctx context.Context, req *ingestv1.StartFederatedLoginRequest) (*ingestv1.StartFederatedLoginResponse, error) {
	if err := s.Admit(caller.From(ctx).Address); err != nil {
		return nil, err
	}
	if s.Federation == nil {
		return nil, errNoFederation
	}
	owner, err := idOf("tenant_id", req.GetTenantId())
	if err != nil {
		return nil, err
	}
	url, binding, err := s.Federation.Start(ctx, owner)
	if err != nil {
		return nil, err
	}
	binding, err = keep(ctx, caller.BindingCookie, binding, 10*time.Minute, req.GetCookie())
	return &ingestv1.StartFederatedLoginResponse{AuthorizationUrl: url, Binding: binding}, err
}

// FinishFederatedLogin begins a session with what the identity provider's redirect brought.
func (s *SessionServer) FinishFederatedLogin(ctx context.Context, req *ingestv1.FinishFederatedLoginRequest) (*ingestv1.FinishFederatedLoginResponse, error) {
	if err := s.Admit(caller.From(ctx).Address); err != nil {
		return nil, err
	}
	if s.Federation == nil {
		return nil, errNoFederation
	}
	binding := req.GetBinding()
	if values := metadata.ValueFromIncomingContext(ctx, caller.BindingKey); binding == "" && len(values) > 0 {
		binding = values[0]
	}
	o, err := s.Federation.Finish(ctx, req.GetState(), req.GetCode(), binding, originOf(ctx))
	if err != nil {
		return nil, err
	}
	session, token, err := s.opened(ctx, &o, req.GetCookie())
	return &ingestv1.FinishFederatedLoginResponse{Session: session, Token: token}, err
}

// toSession shows a session without its token; current is the id of the one that calls.
func toSession(s *person.Session, role person.Role, current string) *ingestv1.Session {
	to := &ingestv1.Session{
		SessionId: s.ID, UserId: s.User.String(), TenantId: s.Tenant.String(), Role: string(role), NextStep: person.NextStep(role, s.Stage),
		CreateTime: toTime(s.Create), LastUseTime: toTime(s.LastUse), ExpireTime: toTime(s.Expire), UserAgent: s.Origin.Agent,
		Current: s.ID == current,
	}
	if s.Origin.Address.IsValid() {
		to.Address = s.Origin.Address.String()
	}
	return to
}
