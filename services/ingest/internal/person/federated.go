package person

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Provider is where the people of a tenant sign in, as stored.
type Provider struct {
	Tenant   uuid.UUID
	Issuer   string
	ClientID string
	Sealed   []byte   // client secret, for the row Tenant
	Domains  []string // of addresses that are believed, lower case
}

// Claims are what a provider says of who signed in, verified: signature, issuer, audience, time and nonce.
type Claims struct {
	Subject       string
	Email         string
	EmailVerified bool
	Methods       []string // amr (RFC 8176)
}

// Relying speaks to identity providers (OpenID Connect Core 1.0, 3.1).
type Relying interface {
	// AuthorizationURL is where a browser signs in; challenge is of the PKCE verifier (RFC 7636, S256).
	AuthorizationURL(ctx context.Context, p *Provider, state, nonce, verifier string) (string, error)
	// Exchange gives a code and its verifier for claims. Unauthenticated with FEDERATED_LOGIN_FAILED when the provider
	// refuses or its answer does not hold; Unavailable when it does not answer.
	Exchange(ctx context.Context, p *Provider, secret, code, nonce, verifier string) (Claims, error)
}

// FederatedLogin is a sign-in on its way, as stored.
type FederatedLogin struct {
	ID            string // public part of the state
	Tenant        uuid.UUID
	MAC           []byte // of the state's secret
	Binding       []byte // MAC of the browser's secret
	PepperVersion int16
	Expire        time.Time
}

// FederationStore is what federated logins need of the database.
type FederationStore interface {
	Accounts
	Attempts
	Federations
	// Provider answers a tenant's; NotFound with IDENTITY_PROVIDER_NOT_FOUND.
	Provider(ctx context.Context, tenant uuid.UUID) (Provider, error)
	// Identified answers the account an identity is linked to; not Known when to none.
	Identified(ctx context.Context, tenant uuid.UUID, identity [16]byte) (Account, error)
}

// Federations keeps sign-ins on their way.
type Federations interface {
	// StartFederated stores one.
	StartFederated(ctx context.Context, f *FederatedLogin) error
	// TakeFederated removes and answers one, committed when it returns: of two that come at once one gets it. NotFound.
	TakeFederated(ctx context.Context, id string) (FederatedLogin, error)
}

// Federation lets people in who sign in at their tenant's identity provider.
type Federation struct {
	Store   FederationStore
	Vault   Vault
	Relying Relying
	Peppers Peppers
	Issuer  *Issuer
	Now     func() time.Time
	Random  io.Reader
}

const (
	statePrefix   = "osms_state_"
	bindingPrefix = "osms_binding_"
	federatedLife = 10 * time.Minute
)

var errFederated = errs.E(errs.Unauthenticated, "FEDERATED_LOGIN_FAILED", "the sign-in at the identity provider does not hold, was used before, is not of this browser, or its user may not log in here", nil)

// Start begins a sign-in: it answers where to send the browser, and the secret that ties the rest to it. NotFound with
// IDENTITY_PROVIDER_NOT_FOUND; Unavailable when the provider does not answer.
func (f *Federation) Start(ctx context.Context, owner uuid.UUID) (authorization, binding string, err error) {
	provider, err := f.Store.Provider(ctx, owner)
	if err != nil {
		return "", "", err
	}
	state, err := tenant.NewToken(f.Random)
	if err != nil {
		return "", "", err
	}
	browser, err := tenant.NewToken(f.Random)
	if err != nil {
		return "", "", err
	}
	login := FederatedLogin{ID: state.ID, Tenant: owner, Expire: f.Now().Add(federatedLife)}
	for same := int16(-1); same != login.PepperVersion; { // both under one pepper, should it change just now
		login.MAC, login.PepperVersion = f.Peppers.Hash(statePrefix + state.Secret)
		login.Binding, same = f.Peppers.Hash(bindingPrefix + browser.Secret)
	}
	nonce, verifier := derive(browser.Secret)
	if authorization, err = f.Relying.AuthorizationURL(ctx, &provider, state.Write(statePrefix), nonce, verifier); err != nil {
		return "", "", err
	}
	return authorization, browser.Write(bindingPrefix), f.Store.StartFederated(ctx, &login)
}

// derive makes nonce and PKCE verifier of the browser's secret, so that neither is stored: who has another browser, or
// the database, has neither.
func derive(browser string) (nonce, verifier string) {
	from := func(label string) string {
		h := hmac.New(sha256.New, []byte(browser))
		h.Write([]byte(label))
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	return from("nonce"), from("pkce")
}

// Finish begins a session with what the provider's redirect brought. Errors: Unauthenticated with FEDERATED_LOGIN_FAILED,
// Denied with ADDRESS_NOT_ALLOWED, Unavailable.
func (f *Federation) Finish(ctx context.Context, state, code, binding string, from Origin) (Opened, error) {
	a := newAttempt(&User{}, MethodFederated, from, f.Now())
	login, browser, ok, err := f.take(ctx, state, binding)
	if err != nil {
		return Opened{}, err
	}
	a.Tenant = login.Tenant
	if !ok {
		return Opened{}, refuse(ctx, f.Store, a, "FEDERATED_LOGIN_FAILED", errFederated)
	}
	provider, claims, err := f.exchange(ctx, login.Tenant, code, browser)
	if err != nil {
		if kind := errs.KindOf(err); kind != errs.Unauthenticated && kind != errs.NotFound {
			return Opened{}, err
		}
		return Opened{}, refuse(ctx, f.Store, a, "FEDERATED_LOGIN_FAILED", errFederated)
	}
	account, link, err := f.identify(ctx, &provider, &claims)
	if err != nil {
		return Opened{}, err
	}
	a.User = account.ID
	switch {
	case !account.Known:
		return Opened{}, refuse(ctx, f.Store, a, "USER_NOT_FOUND", errFederated)
	case account.Status == StatusDisabled || account.Closed:
		return Opened{}, refuse(ctx, f.Store, a, "USER_DISABLED", errFederated)
	case !account.allows(from.Address):
		return Opened{}, refuse(ctx, f.Store, a, "ADDRESS_NOT_ALLOWED", errAddress)
	}
	return f.open(ctx, &account.User, &claims, link, a)
}

// take takes the sign-in that state names; ok is false when it is not there, over, or another browser's.
func (f *Federation) take(ctx context.Context, state, binding string) (login FederatedLogin, browser string, ok bool, err error) {
	s, isState := tenant.ParseToken(statePrefix, state)
	b, isBinding := tenant.ParseToken(bindingPrefix, binding)
	if !isState || !isBinding {
		return login, "", false, nil
	}
	login, err = f.Store.TakeFederated(ctx, s.ID)
	if err != nil {
		if errs.KindOf(err) == errs.NotFound {
			err = nil
		}
		return login, "", false, err
	}
	ok = f.Peppers.Matches(statePrefix+s.Secret, login.MAC, login.PepperVersion) &&
		f.Peppers.Matches(bindingPrefix+b.Secret, login.Binding, login.PepperVersion) && f.Now().Before(login.Expire)
	return login, b.Secret, ok, nil
}

func (f *Federation) exchange(ctx context.Context, owner uuid.UUID, code, browser string) (p Provider, c Claims, err error) {
	if p, err = f.Store.Provider(ctx, owner); err != nil {
		return p, c, err
	}
	secret, err := f.Vault.OpenLasting(ctx, owner, owner, p.Sealed)
	if err != nil {
		return p, c, err
	}
	nonce, verifier := derive(browser)
	c, err = f.Relying.Exchange(ctx, &p, string(secret), code, nonce, verifier)
	return p, c, err
}

// identify finds whose an identity is: by issuer and subject, or the first time by the verified address of a user of the
// tenant that no other identity is linked to; then link is the identity to link.
func (f *Federation) identify(ctx context.Context, p *Provider, c *Claims) (account Account, link *[16]byte, err error) {
	identity, err := f.Vault.Hash(principal.Live, p.Tenant, "identity|"+p.Issuer+"|"+c.Subject)
	if err != nil {
		return account, nil, err
	}
	if account, err = f.Store.Identified(ctx, p.Tenant, identity); err != nil || account.Known {
		return account, nil, err
	}
	email, ok := ParseEmail(c.Email)
	if !ok || !c.EmailVerified || !slices.Contains(p.Domains, domainOf(email)) {
		return account, nil, nil
	}
	index, err := indexOf(f.Vault, email)
	if err != nil {
		return account, nil, err
	}
	found, err := f.Store.Account(ctx, index, p.Tenant)
	if err != nil || found.Federated { // somebody else's already
		return account, nil, err
	}
	return found, &identity, nil
}

func (f *Federation) open(ctx context.Context, u *User, c *Claims, link *[16]byte, a Attempt) (Opened, error) {
	stage := firstStage(u)
	if slices.Contains(c.Methods, "mfa") {
		stage = StageComplete
	}
	opened, err := f.Issuer.begin(u, stage, a.Origin, nil)
	if err != nil {
		return Opened{}, err
	}
	return opened, f.Store.RecordAttempt(ctx, &a, &Opening{Session: opened.Session, Identity: link})
}

// ProviderWish describes a provider. An empty Secret keeps the one there is.
type ProviderWish struct {
	Issuer, ClientID, Secret string
	Domains                  []string
}

const (
	maxDomains = 20
	maxSetting = 500 // characters
)

// check reads a wish. The issuer is an https URL without query (OpenID Connect Discovery 1.0, 3).
func (w *ProviderWish) check(owner uuid.UUID) (p Provider, err error) {
	u, parseErr := url.Parse(w.Issuer)
	if parseErr != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(w.Issuer) > maxSetting {
		return p, invalid("issuer", "FORMAT", "must be an https URL without query")
	}
	if w.ClientID == "" || len(w.ClientID) > maxSetting {
		return p, invalid("client_id", "OUT_OF_RANGE", "1 to 500 characters")
	}
	if len(w.Secret) > maxSetting {
		return p, invalid("client_secret", "OUT_OF_RANGE", "at most 500 characters")
	}
	if len(w.Domains) == 0 || len(w.Domains) > maxDomains {
		return p, invalid("email_domains", "OUT_OF_RANGE", "1 to 20 domains")
	}
	p = Provider{Tenant: owner, Issuer: w.Issuer, ClientID: w.ClientID}
	for _, domain := range w.Domains {
		email, ok := ParseEmail("x@" + domain)
		if !ok {
			return p, invalid("email_domains", "FORMAT", "must be domains, for example example.com")
		}
		p.Domains = append(p.Domains, strings.TrimPrefix(email, "x@"))
	}
	slices.Sort(p.Domains)
	p.Domains = slices.Compact(p.Domains)
	return p, nil
}

// ProviderStore keeps providers.
type ProviderStore interface {
	Provider(ctx context.Context, tenant uuid.UUID) (Provider, error)
	// ChangeProvider lets change work on the tenant's provider (zero when there is none), and stores what it answers, nil for
	// none, with the call's audit record, in one transaction. Where the issuer changes or goes, identities are forgotten.
	ChangeProvider(ctx context.Context, tenant uuid.UUID, change func(Provider) (*Provider, error)) (Provider, error)
}

// Providers is what an owner may do with his tenant's provider.
type Providers struct {
	Store ProviderStore
	Vault Vault
}

// Set replaces the provider. Invalid with violations.
func (s *Providers) Set(ctx context.Context, owner uuid.UUID, w ProviderWish) (Provider, error) {
	p, err := w.check(owner)
	if err != nil {
		return p, err
	}
	if w.Secret != "" {
		if p.Sealed, err = s.Vault.SealLasting(ctx, owner, owner, []byte(w.Secret)); err != nil {
			return p, err
		}
	}
	return s.Store.ChangeProvider(ctx, owner, func(before Provider) (*Provider, error) {
		if p.Sealed == nil {
			if before.Issuer != p.Issuer || before.ClientID != p.ClientID {
				return nil, invalid("client_secret", "OUT_OF_RANGE", "must be given with another issuer or client")
			}
			p.Sealed = before.Sealed
		}
		return &p, nil
	})
}

// Remove removes the provider; NotFound with IDENTITY_PROVIDER_NOT_FOUND.
func (s *Providers) Remove(ctx context.Context, owner uuid.UUID) error {
	_, err := s.Store.ChangeProvider(ctx, owner, func(before Provider) (*Provider, error) {
		if before.Issuer == "" {
			return nil, ErrNoProvider
		}
		return nil, nil
	})
	return err
}

// ErrNoProvider is for tenants without identity provider.
var ErrNoProvider = errs.E(errs.NotFound, "IDENTITY_PROVIDER_NOT_FOUND", "this tenant has no identity provider", nil)
