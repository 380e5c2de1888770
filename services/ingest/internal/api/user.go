package api

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// AttemptList answers login attempts, newest first.
type AttemptList interface {
	LoginAttempts(ctx context.Context, f person.AttemptFilter) ([]person.Attempt, error)
}

// UserServer is onlinesms.ingest.v1.UserService.
type UserServer struct {
	ingestv1.UnimplementedUserServiceServer
	people    *person.Administration
	attempts  AttemptList
	providers *person.Providers
}

// NewUserServer joins the service to its rooms.
func NewUserServer(people *person.Administration, attempts AttemptList, providers *person.Providers) *UserServer {
	return &UserServer{people: people, attempts: attempts, providers: providers}
}

// manager is who manages users. They belong to no environment: a key must be a live one, a person may call for either,
// and what is done stands in the live log.
func manager(ctx context.Context) (principal.Principal, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return p, errNoPrincipal
	}
	if p.Session == "" && p.Env != principal.Live {
		return p, errs.E(errs.Denied, "KEY_WRONG_ENVIRONMENT", "users are managed with a live key", nil)
	}
	p.Env = principal.Live
	if call := record.From(ctx); call != nil {
		call.Known(p)
	}
	return p, nil
}

// InviteUser makes a user.
func (s *UserServer) InviteUser(ctx context.Context, req *ingestv1.InviteUserRequest) (*ingestv1.InviteUserResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	u, err := s.people.Invite(ctx, p, req.GetEmail(), person.Role(req.GetRole()))
	if err != nil {
		return nil, err
	}
	user, err := toUser(ctx, s.people, &u)
	return &ingestv1.InviteUserResponse{User: user}, err
}

// named answers who manages, and the user he names.
func named(ctx context.Context, text string) (principal.Principal, uuid.UUID, error) {
	p, err := manager(ctx)
	if err != nil {
		return p, uuid.Nil, err
	}
	id, err := idOf("user_id", text)
	return p, id, err
}

// GetUser answers one user.
func (s *UserServer) GetUser(ctx context.Context, req *ingestv1.GetUserRequest) (*ingestv1.GetUserResponse, error) {
	p, id, err := named(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	u, err := s.people.Store.User(ctx, p.TenantID, id)
	if err != nil {
		return nil, err
	}
	user, err := toUser(ctx, s.people, &u)
	return &ingestv1.GetUserResponse{User: user}, err
}

// ListUsers answers a page, newest first.
func (s *UserServer) ListUsers(ctx context.Context, req *ingestv1.ListUsersRequest) (*ingestv1.ListUsersResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	page := person.Page{Tenant: p.TenantID}
	if page.Limit, err = pageSize(req.GetPageSize()); err != nil {
		return nil, err
	}
	if page.Before, page.ID, err = parseUserToken(req.GetPageToken()); err != nil {
		return nil, err
	}
	page.Limit++ // one more tells whether there is a next page
	users, err := s.people.Store.Users(ctx, page)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.ListUsersResponse{}
	if len(users) == page.Limit {
		users = users[:len(users)-1]
		last := users[len(users)-1]
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.Create.UnixMicro(), 10) + " " + last.ID.String()))
	}
	for i := range users {
		user, err := toUser(ctx, s.people, &users[i])
		if err != nil {
			return nil, err
		}
		resp.Users = append(resp.Users, user)
	}
	return resp, nil
}

func pageSize(wanted int32) (int, error) {
	switch {
	case wanted == 0:
		return defaultKeys, nil
	case wanted < 1 || wanted > maxKeys:
		return 0, invalid("page_size", "OUT_OF_RANGE", "1 to 500")
	}
	return int(wanted), nil
}

func parseUserToken(token string) (before time.Time, id uuid.UUID, err error) {
	if token == "" {
		return before, id, nil
	}
	before, text, err := parseKeyToken(token)
	if err != nil {
		return before, id, err
	}
	if id, err = uuid.Parse(text); err != nil {
		return before, id, errPageToken
	}
	return before, id, nil
}

var errPageToken = invalid("page_token", "FORMAT", "must be the next_page_token of the page before")

// UpdateUser gives a user another role.
func (s *UserServer) UpdateUser(ctx context.Context, req *ingestv1.UpdateUserRequest) (*ingestv1.UpdateUserResponse, error) {
	user, err := s.change(ctx, req.GetUserId(), func(p principal.Principal, id uuid.UUID) (person.User, error) {
		return s.people.GiveRole(ctx, p, id, person.Role(req.GetRole()))
	})
	return &ingestv1.UpdateUserResponse{User: user}, err
}

func (s *UserServer) change(ctx context.Context, text string, change func(principal.Principal, uuid.UUID) (person.User, error)) (*ingestv1.User, error) {
	p, id, err := named(ctx, text)
	if err != nil {
		return nil, err
	}
	u, err := change(p, id)
	if err != nil {
		return nil, err
	}
	return toUser(ctx, s.people, &u)
}

// DisableUser refuses a user's logins.
func (s *UserServer) DisableUser(ctx context.Context, req *ingestv1.DisableUserRequest) (*ingestv1.DisableUserResponse, error) {
	user, err := s.change(ctx, req.GetUserId(), func(p principal.Principal, id uuid.UUID) (person.User, error) {
		return s.people.Disable(ctx, p, id)
	})
	return &ingestv1.DisableUserResponse{User: user}, err
}

// EnableUser lets a disabled user log in.
func (s *UserServer) EnableUser(ctx context.Context, req *ingestv1.EnableUserRequest) (*ingestv1.EnableUserResponse, error) {
	user, err := s.change(ctx, req.GetUserId(), func(p principal.Principal, id uuid.UUID) (person.User, error) {
		return s.people.Enable(ctx, p, id)
	})
	return &ingestv1.EnableUserResponse{User: user}, err
}

// ResetSecondFactor removes another's authenticator.
func (s *UserServer) ResetSecondFactor(ctx context.Context, req *ingestv1.ResetSecondFactorRequest) (*ingestv1.ResetSecondFactorResponse, error) {
	user, err := s.change(ctx, req.GetUserId(), func(p principal.Principal, id uuid.UUID) (person.User, error) {
		return s.people.ResetSecondFactor(ctx, p, id)
	})
	return &ingestv1.ResetSecondFactorResponse{User: user}, err
}

// RemoveUser erases a user.
func (s *UserServer) RemoveUser(ctx context.Context, req *ingestv1.RemoveUserRequest) (*ingestv1.RemoveUserResponse, error) {
	p, id, err := named(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	if err := s.people.Remove(ctx, p, id); err != nil {
		return nil, err
	}
	return &ingestv1.RemoveUserResponse{}, nil
}

// ListLoginAttempts answers a page, newest first.
func (s *UserServer) ListLoginAttempts(ctx context.Context, req *ingestv1.ListLoginAttemptsRequest) (*ingestv1.ListLoginAttemptsResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	f, err := attemptFilter(p.TenantID, req)
	if err != nil {
		return nil, err
	}
	f.Limit++ // one more tells whether there is a next page
	attempts, err := s.attempts.LoginAttempts(ctx, f)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.ListLoginAttemptsResponse{}
	if len(attempts) == f.Limit {
		attempts = attempts[:len(attempts)-1]
		resp.NextPageToken = attempts[len(attempts)-1].ID.String()
	}
	for i := range attempts {
		resp.Attempts = append(resp.Attempts, toAttempt(&attempts[i]))
	}
	return resp, nil
}

func attemptFilter(owner uuid.UUID, req *ingestv1.ListLoginAttemptsRequest) (f person.AttemptFilter, err error) {
	f = person.AttemptFilter{Tenant: owner, Outcome: req.GetOutcome(), Start: momentOf(req.GetStartTime()), End: momentOf(req.GetEndTime())}
	if f.Limit, err = pageSize(req.GetPageSize()); err != nil {
		return f, err
	}
	if f.User, err = optionalID("user_id", req.GetUserId()); err != nil {
		return f, err
	}
	if f.Outcome != "" && f.Outcome != record.Success && f.Outcome != record.Refused {
		return f, invalid("outcome", "UNKNOWN", "must be success or refused")
	}
	if f.Before, err = optionalID("page_token", req.GetPageToken()); err != nil {
		return f, errPageToken
	}
	return f, nil
}

// momentOf is zero where there is none.
func momentOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func toAttempt(a *person.Attempt) *ingestv1.LoginAttempt {
	to := &ingestv1.LoginAttempt{
		AttemptId: a.ID.String(), Method: a.Method, Outcome: record.Success, Reason: a.Reason, UserAgent: a.Origin.Agent, Time: toTime(a.Time),
	}
	if a.Reason != "" {
		to.Outcome = record.Refused
	}
	if a.User != uuid.Nil {
		to.UserId = a.User.String()
	}
	if a.Origin.Address.IsValid() {
		to.Address = a.Origin.Address.String()
	}
	return to
}

// GetIdentityProvider answers the tenant's provider.
func (s *UserServer) GetIdentityProvider(ctx context.Context, _ *ingestv1.GetIdentityProviderRequest) (*ingestv1.GetIdentityProviderResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	provider, err := s.providers.Store.Provider(ctx, p.TenantID)
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetIdentityProviderResponse{IdentityProvider: toProvider(&provider)}, nil
}

// SetIdentityProvider replaces the tenant's provider.
func (s *UserServer) SetIdentityProvider(ctx context.Context, req *ingestv1.SetIdentityProviderRequest) (*ingestv1.SetIdentityProviderResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	provider, err := s.providers.Set(ctx, p.TenantID, person.ProviderWish{
		Issuer: req.GetIssuer(), ClientID: req.GetClientId(), Secret: req.GetClientSecret(), Domains: req.GetEmailDomains(),
	})
	if err != nil {
		return nil, err
	}
	return &ingestv1.SetIdentityProviderResponse{IdentityProvider: toProvider(&provider)}, nil
}

// RemoveIdentityProvider removes the tenant's provider.
func (s *UserServer) RemoveIdentityProvider(ctx context.Context, _ *ingestv1.RemoveIdentityProviderRequest) (*ingestv1.RemoveIdentityProviderResponse, error) {
	p, err := manager(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.providers.Remove(ctx, p.TenantID); err != nil {
		return nil, err
	}
	return &ingestv1.RemoveIdentityProviderResponse{}, nil
}

func toProvider(p *person.Provider) *ingestv1.IdentityProvider {
	return &ingestv1.IdentityProvider{Issuer: p.Issuer, ClientId: p.ClientID, EmailDomains: p.Domains}
}

// toUser shows a user.
func toUser(ctx context.Context, people *person.Administration, u *person.User) (*ingestv1.User, error) {
	email, err := people.Email(ctx, u)
	if err != nil {
		return nil, err
	}
	return &ingestv1.User{
		UserId: u.ID.String(), Email: email, Role: string(u.Role), Status: strings.ToUpper(u.Status), SecondFactor: u.Confirmed,
		Federated: u.Federated, CreateTime: toTime(u.Create), LastLoginTime: toTime(u.Login),
	}, nil
}
