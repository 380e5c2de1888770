package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
)

// federation is a world whose demo tenant signs in at a provider.
type federation struct {
	*world
	provider *provider
	boss     string // an owner's token
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	w := newWorld(t, func(c *Config) {
		c.People.OIDCRedirectURL, c.People.OIDCCA, c.People.OIDCPrivate = testRedirect, c.TLS.CA, true
	})
	f := &federation{world: w, provider: w.provider(t)}
	f.boss = w.login(t, w.human(t, person.Owner, true))
	_, err := w.users().SetIdentityProvider(as(t, f.boss), &ingestv1.SetIdentityProviderRequest{
		Issuer: f.provider.URL, ClientId: testClient, ClientSecret: testSecret, EmailDomains: []string{"Corp.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// begin starts a sign-in and lets the browser go to the provider and back.
func (f *federation) begin(t *testing.T) (state, code, binding string) {
	t.Helper()
	start, err := f.sessions().StartFederatedLogin(t.Context(), &ingestv1.StartFederatedLoginRequest{TenantId: demoTenant.String()})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.https.Get(start.GetAuthorizationUrl())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil || !strings.HasPrefix(back.String(), testRedirect+"?") {
		t.Fatalf("%d, %v, %v", resp.StatusCode, back, err)
	}
	return back.Query().Get("state"), back.Query().Get("code"), start.GetBinding()
}

func (f *federation) finish(t *testing.T, state, code, binding string) (*ingestv1.FinishFederatedLoginResponse, error) {
	return f.sessions().FinishFederatedLogin(t.Context(), &ingestv1.FinishFederatedLoginRequest{State: state, Code: code, Binding: binding})
}

func (f *federation) signIn(t *testing.T) (*ingestv1.FinishFederatedLoginResponse, error) {
	t.Helper()
	state, code, binding := f.begin(t)
	return f.finish(t, state, code, binding)
}

func (f *federation) invite(t *testing.T, email, role string) string {
	t.Helper()
	resp, err := f.users().InviteUser(as(t, f.boss), &ingestv1.InviteUserRequest{Email: email, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetUser().GetUserId()
}

// An invited user is linked at his first sign-in, and from then on known by issuer and subject, whatever his address.
func TestFederatedLogin(t *testing.T) {
	f := newFederation(t)
	id := f.invite(t, "ada@corp.example", "developer")
	f.provider.next(map[string]any{"sub": "s-1", "email": "Ada@Corp.example"}, false)
	first, err := f.signIn(t)
	if err != nil || first.GetSession().GetUserId() != id || first.GetSession().GetNextStep() != "NONE" {
		t.Fatalf("%v, %v", first, err)
	}
	if _, err := f.client().ListMessages(as(t, first.GetToken()), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Error(err)
	}
	u, err := f.users().GetUser(as(t, f.boss), &ingestv1.GetUserRequest{UserId: id})
	if err != nil || u.GetUser().GetStatus() != "ACTIVE" || !u.GetUser().GetFederated() {
		t.Errorf("%v, %v", u, err)
	}
	f.provider.next(map[string]any{"sub": "s-1", "email": "ada.married@elsewhere.example", "email_verified": false}, false)
	if again, err := f.signIn(t); err != nil || again.GetSession().GetUserId() != id {
		t.Errorf("by subject: %v, %v", again, err)
	}
	f.provider.next(map[string]any{"sub": "s-2", "email": "ada@corp.example"}, false)
	if _, err := f.signIn(t); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("another subject with a linked user's address: %v", err)
	}
	if _, err := f.users().DisableUser(as(t, f.boss), &ingestv1.DisableUserRequest{UserId: id}); err != nil {
		t.Fatal(err)
	}
	f.provider.next(map[string]any{"sub": "s-1"}, false)
	if _, err := f.signIn(t); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("a disabled user: %v", err)
	}
	if _, err := f.users().RemoveIdentityProvider(as(t, f.boss), &ingestv1.RemoveIdentityProviderRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.sessions().StartFederatedLogin(t.Context(), &ingestv1.StartFederatedLoginRequest{TenantId: demoTenant.String()}); reasonOf(err) != "IDENTITY_PROVIDER_NOT_FOUND" {
		t.Errorf("without provider: %v", err)
	}
}

// What a provider says is believed only if all of it holds.
func TestFederatedLoginRefusals(t *testing.T) {
	f := newFederation(t)
	f.invite(t, "eve@corp.example", "developer")
	f.invite(t, "eve@other.example", "developer")
	for name, test := range map[string]struct {
		claims map[string]any
		forged bool
	}{
		"wrong nonce":                 {map[string]any{"email": "eve@corp.example", "nonce": "another"}, false},
		"no nonce":                    {map[string]any{"email": "eve@corp.example", "nonce": ""}, false},
		"wrong audience":              {map[string]any{"email": "eve@corp.example", "aud": "another client"}, false},
		"wrong issuer":                {map[string]any{"email": "eve@corp.example", "iss": "https://evil.example"}, false},
		"expired":                     {map[string]any{"email": "eve@corp.example", "exp": f.now().Add(-time.Minute).Unix()}, false},
		"a key of nobody":             {map[string]any{"email": "eve@corp.example"}, true},
		"unverified address":          {map[string]any{"email": "eve@corp.example", "email_verified": false}, false},
		"an address of other domains": {map[string]any{"email": "eve@other.example"}, false},
		"nobody's address":            {map[string]any{"email": "mallory@corp.example"}, false},
		"no address":                  {nil, false},
	} {
		claims := map[string]any{"sub": "eve"}
		for k, v := range test.claims {
			claims[k] = v
		}
		f.provider.next(claims, test.forged)
		if _, err := f.signIn(t); reasonOf(err) != "FEDERATED_LOGIN_FAILED" || status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f.count(t, "user_identities") != 0 {
		t.Error("an identity was linked")
	}
	f.provider.next(map[string]any{"sub": "eve", "email": "eve@corp.example"}, false)
	state, code, binding := f.begin(t)
	_, otherCode, otherBinding := f.begin(t)
	for name, try := range map[string][3]string{
		"wrong state": {state[:len(state)-1] + "!", code, binding}, "no state": {"", code, binding}, "no binding": {state, code, ""},
	} {
		if _, err := f.finish(t, try[0], try[1], try[2]); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.finish(t, state, code, otherBinding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("another browser: %v", err)
	}
	if _, err := f.finish(t, state, code, binding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("a state that was used: %v", err)
	}
	state, _, binding = f.begin(t)
	if _, err := f.finish(t, state, otherCode, binding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("a code of another sign-in, whose PKCE verifier is another: %v", err)
	}
	state, code, binding = f.begin(t)
	if _, err := f.finish(t, state, code, binding); err != nil {
		t.Errorf("all right: %v", err)
	}
	if _, err := f.finish(t, state, code, binding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("replayed: %v", err)
	}
	state, _, binding = f.begin(t)
	if _, err := f.finish(t, state, code, binding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("a code replayed with a new state: %v", err)
	}
	state, code, binding = f.begin(t)
	f.advance(11 * time.Minute)
	if _, err := f.finish(t, state, code, binding); reasonOf(err) != "FEDERATED_LOGIN_FAILED" {
		t.Errorf("after ten minutes: %v", err)
	}
}

// An admin who signs in there needs his authenticator here, unless the provider says that it asked for two factors.
func TestFederatedAdmin(t *testing.T) {
	f := newFederation(t)
	f.invite(t, "root@corp.example", "admin")
	for _, test := range []struct {
		methods []string
		next    string
	}{{nil, "ENROL"}, {[]string{"pwd"}, "ENROL"}, {[]string{"pwd", "otp", "mfa"}, "NONE"}} {
		f.provider.next(map[string]any{"sub": "root", "email": "root@corp.example", "amr": test.methods}, false)
		resp, err := f.signIn(t)
		if err != nil || resp.GetSession().GetNextStep() != test.next {
			t.Errorf("amr %v: %v, %v", test.methods, resp, err)
			continue
		}
		if _, err := f.users().ListUsers(as(t, resp.GetToken()), &ingestv1.ListUsersRequest{}); (err == nil) != (test.next == "NONE") {
			t.Errorf("amr %v: %v", test.methods, err)
		}
	}
}

// A browser's way: the binding and the session are cookies, and the page needs neither.
func TestFederatedLoginByCookie(t *testing.T) {
	f := newFederation(t)
	f.invite(t, "ada@corp.example", "developer")
	f.provider.next(map[string]any{"sub": "s-1", "email": "ada@corp.example"}, false)
	started := f.request(t, "POST", "/v1/sessions:startFederated", fmt.Sprintf(`{"tenantId": %q, "cookie": true}`, demoTenant))
	var to struct{ AuthorizationURL, Binding string }
	if err := json.Unmarshal(started.body, &to); err != nil || len(started.Cookies()) != 1 || to.Binding != "" {
		t.Fatalf("%s, %v, %v", started.body, started.Cookies(), err)
	}
	resp, err := f.https.Get(to.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"state": %q, "code": %q, "cookie": true}`, back.Query().Get("state"), back.Query().Get("code"))
	c := started.Cookies()[0]
	finished := f.request(t, "POST", "/v1/sessions:finishFederated", body, "Cookie", c.Name+"="+c.Value)
	if finished.StatusCode != http.StatusOK || len(finished.Cookies()) != 1 || !c.HttpOnly || !c.Secure {
		t.Fatalf("%d %s %v", finished.StatusCode, finished.body, finished.Cookies())
	}
	s := finished.Cookies()[0]
	if resp := f.request(t, "GET", "/v1/sessions/current", "", "Cookie", s.Name+"="+s.Value); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, resp.body)
	}
}

// Only owners change the provider; a provider that cannot be had is told as that; one inside our own network is refused
// unless it is allowed.
func TestIdentityProviderSettings(t *testing.T) {
	f := newFederation(t)
	admin := f.login(t, f.human(t, person.Admin, true))
	set := func(token string, r *ingestv1.SetIdentityProviderRequest) error {
		_, err := f.users().SetIdentityProvider(as(t, token), r)
		return err
	}
	good := func() *ingestv1.SetIdentityProviderRequest {
		return &ingestv1.SetIdentityProviderRequest{Issuer: f.provider.URL, ClientId: testClient, EmailDomains: []string{"corp.example"}}
	}
	if err := set(admin, good()); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("an admin: %v", err)
	}
	if err := set(f.boss, good()); err != nil { // the secret stays
		t.Error(err)
	}
	for name, change := range map[string]func(*ingestv1.SetIdentityProviderRequest){
		"plain http": func(r *ingestv1.SetIdentityProviderRequest) { r.Issuer = "http://idp.example" },
		"no domains": func(r *ingestv1.SetIdentityProviderRequest) { r.EmailDomains = nil },
		"bad domain": func(r *ingestv1.SetIdentityProviderRequest) { r.EmailDomains = []string{"corp example"} },
		"no client":  func(r *ingestv1.SetIdentityProviderRequest) { r.ClientId = "" },
		"new issuer without secret": func(r *ingestv1.SetIdentityProviderRequest) {
			r.Issuer = "https://idp.example"
		},
	} {
		r := good()
		change(r)
		if err := set(f.boss, r); reasonOf(err) != "REQUEST_INVALID" {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := f.users().GetIdentityProvider(as(t, admin), &ingestv1.GetIdentityProviderRequest{})
	if err != nil || got.GetIdentityProvider().GetIssuer() != f.provider.URL {
		t.Errorf("%v, %v", got, err)
	}
	away := good()
	away.Issuer, away.ClientSecret = "https://127.0.0.1:1", "x"
	if err := set(f.boss, away); err != nil {
		t.Fatal(err)
	}
	if _, err := f.sessions().StartFederatedLogin(t.Context(), &ingestv1.StartFederatedLoginRequest{TenantId: demoTenant.String()}); reasonOf(err) != "IDENTITY_PROVIDER_UNREACHABLE" {
		t.Errorf("a provider that is away: %v", err)
	}
}
