// Package oidc speaks to the identity providers of tenants: OpenID Connect Core 1.0, authorization code flow with PKCE
// (RFC 7636). Their addresses are set by tenants: only https is spoken, redirects are not followed, and unless the
// operator allows it nothing is fetched from an address that is not public.
package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	callLimit = 10 * time.Second // for one request to a provider
	bodyLimit = 1 << 20          // bytes of one answer
	// keepFor is how long a discovery document is believed; keys are fetched anew as soon as a token names an unknown one.
	keepFor      = time.Hour
	maxProviders = 1000
)

// Config says how providers are reached.
type Config struct {
	RedirectURL  string         // of the console's page that takes code and state
	Roots        *x509.CertPool // nil: the system's
	AllowPrivate bool           // addresses that are not public may be providers: for providers inside the own network
	Now          func() time.Time
}

// Relying is a person.Relying. It is safe for concurrent use.
type Relying struct {
	cfg    Config
	client *http.Client

	mu    sync.Mutex
	known map[string]discovered // by issuer
}

type discovered struct {
	provider *oidc.Provider
	fetched  time.Time
}

// NewRelying makes a relying party.
func NewRelying(cfg Config) *Relying {
	dialer := &net.Dialer{Timeout: callLimit}
	if !cfg.AllowPrivate {
		dialer.Control = publicOnly
	}
	return &Relying{cfg: cfg, known: map[string]discovered{}, client: &http.Client{
		Timeout: callLimit,
		Transport: bounded{&http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, TLSHandshakeTimeout: callLimit, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("providers must not redirect") },
	}}
}

// publicOnly refuses to connect to addresses of this machine, of private networks and of no single host. It runs after the
// name was looked up: what a name means cannot change in between.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := at.Addr().Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return fmt.Errorf("%s is not a public address", a)
	}
	return nil
}

// notPublic are ranges that netip counts as global: shared address space (RFC 6598), protocol assignments, benchmarks,
// documentation, former class E, and IPv6 that embeds IPv4 (RFC 6052, RFC 3056, RFC 4380).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// bounded reads no more than bodyLimit of an answer, and speaks https only: discovery documents name further URLs.
type bounded struct{ next http.RoundTripper }

// RoundTrip makes one request.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("providers are reached by https only")
	}
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = limited{io.LimitReader(resp.Body, bodyLimit), resp.Body}
	}
	return resp, err
}

type limited struct {
	io.Reader
	io.Closer
}

// provider answers what is known of a provider, from its discovery document.
func (r *Relying) provider(ctx context.Context, issuer string) (*oidc.Provider, error) {
	now := r.cfg.Now()
	r.mu.Lock()
	d, ok := r.known[issuer]
	r.mu.Unlock()
	if ok && now.Sub(d.fetched) < keepFor {
		return d.provider, nil
	}
	// The key set keeps the context for its later requests.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), r.client), issuer)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "IDENTITY_PROVIDER_UNREACHABLE", "the identity provider's discovery document cannot be had; check its issuer URL", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxProviders {
		clear(r.known)
	}
	r.known[issuer] = discovered{p, now}
	return p, nil
}

func (r *Relying) relyingOn(p *person.Provider, provider *oidc.Provider, secret string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: r.cfg.RedirectURL,
		Scopes: []string{oidc.ScopeOpenID, "email"},
	}
}

// AuthorizationURL is where a browser signs in; see person.Relying.
func (r *Relying) AuthorizationURL(ctx context.Context, p *person.Provider, state, nonce, verifier string) (string, error) {
	provider, err := r.provider(ctx, p.Issuer)
	if err != nil {
		return "", err
	}
	return r.relyingOn(p, provider, "").AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// Exchange gives a code for claims; see person.Relying.
func (r *Relying) Exchange(ctx context.Context, p *person.Provider, secret, code, nonce, verifier string) (c person.Claims, err error) {
	provider, err := r.provider(ctx, p.Issuer)
	if err != nil {
		return c, err
	}
	ctx = oidc.ClientContext(ctx, r.client)
	token, err := r.relyingOn(p, provider, secret).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		if _, answered := errors.AsType[*oauth2.RetrieveError](err); answered {
			return c, refused(err)
		}
		return c, errs.E(errs.Unavailable, "IDENTITY_PROVIDER_UNREACHABLE", "the identity provider does not answer; try again", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return c, refused(errors.New("no id_token in the answer"))
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: p.ClientID, Now: r.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return c, refused(err)
	}
	if verified.Nonce != nonce {
		return c, refused(errors.New("another nonce"))
	}
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Methods  []string `json:"amr"`
	}
	if err := verified.Claims(&claims); err != nil {
		return c, refused(err)
	}
	return person.Claims{Subject: verified.Subject, Email: claims.Email, EmailVerified: claims.Verified, Methods: claims.Methods}, nil
}

// refused is what callers get whatever did not hold: which check failed helps whoever forges.
func refused(cause error) error {
	return errs.E(errs.Unauthenticated, "FEDERATED_LOGIN_FAILED", "the sign-in at the identity provider does not hold", cause)
}
