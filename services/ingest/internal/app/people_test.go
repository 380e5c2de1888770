package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// human is a user of the demo tenant, as he knows himself.
type human struct {
	id                    uuid.UUID
	email, password, seed string
}

const goodPassword = "three llamas walk into the moonlight"

// human makes an active user with a password and, where factor is set, an authenticator.
func (w *world) human(t testing.TB, role person.Role, factor bool) human {
	t.Helper()
	h := human{id: uuid.Must(uuid.NewV7()), password: goodPassword}
	h.email = fmt.Sprintf("%s-%s@people.example", role, h.id.String()[24:])
	u := person.User{Tenant: demoTenant, ID: h.id, Role: role, Status: person.StatusActive, Create: w.now().Truncate(time.Microsecond)}
	u.PasswordHash = w.people.hasher.Hash(h.password)
	var err error
	if u.Index, err = w.people.vault.Hash(principal.Live, uuid.Nil, "email|"+h.email); err != nil {
		t.Fatal(err)
	}
	if u.Sealed, err = w.people.vault.SealLasting(t.Context(), demoTenant, h.id, []byte(h.email)); err != nil {
		t.Fatal(err)
	}
	if factor {
		h.seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // RFC 6238's
		if u.TOTP, err = w.people.vault.SealLasting(t.Context(), demoTenant, h.id, []byte("12345678901234567890")); err != nil {
			t.Fatal(err)
		}
		u.Confirmed = true
	}
	if err := w.people.store.CreateUser(w.recorded(t), &u, nil, nil); err != nil {
		t.Fatal(err)
	}
	return h
}

// recorded is the context of a change that a test makes itself.
func (w *world) recorded(t testing.TB) context.Context {
	return record.ByOperator(t.Context(), "test", "test", principal.Principal{TenantID: demoTenant, Env: principal.Live}, w.now())
}

// code is what the authenticator shows; each call is a step later than the last.
func (w *world) code(t testing.TB, h human) string {
	t.Helper()
	w.advance(30 * time.Second)
	code, err := person.TOTP(h.seed, w.now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (w *world) sessions() ingestv1.SessionServiceClient {
	return ingestv1.NewSessionServiceClient(w.grpc)
}

func (w *world) users() ingestv1.UserServiceClient { return ingestv1.NewUserServiceClient(w.grpc) }

// login logs a user in, with his second factor where he has one, and answers the token.
func (w *world) login(t testing.TB, h human) string {
	t.Helper()
	resp, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: h.password})
	if err != nil {
		t.Fatal(err)
	}
	if h.seed == "" {
		return resp.GetToken()
	}
	full, err := w.sessions().VerifySecondFactor(as(t, resp.GetToken()), &ingestv1.VerifySecondFactorRequest{Code: w.code(t, h)})
	if err != nil {
		t.Fatal(err)
	}
	return full.GetToken()
}

// mails are those sent so far, oldest first.
func (w *world) mails(t testing.TB) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(w.path("mail/*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.ReplaceAll(string(text), "=\r\n", "")) // soft line breaks
	}
	return texts
}

var tokenInMail = regexp.MustCompile(`https://console\.example/password#token=3D(osms_link_[\w.-]+)`)

// link waits for the n-th mail to a user and answers the token in it.
func (w *world) link(t testing.TB, to string, n int) string {
	t.Helper()
	var found []string
	eventually(t, "the mail to "+to, func() bool {
		found = nil
		for _, text := range w.mails(t) {
			if m := tokenInMail.FindStringSubmatch(text); m != nil && strings.Contains(text, "To: <"+to+">") {
				found = append(found, m[1])
			}
		}
		return len(found) >= n
	})
	return found[n-1]
}

// A user's whole way: invited, password by the link, authenticator, recovery codes, password changed, removed.
func TestPersonFromInvitationToRemoval(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	boss := w.login(t, w.human(t, person.Owner, true))
	invited, err := w.users().InviteUser(as(t, boss), &ingestv1.InviteUserRequest{Email: "New.Admin@People.example", Role: "admin"})
	if err != nil || invited.GetUser().GetStatus() != "INVITED" || invited.GetUser().GetEmail() != "new.admin@people.example" {
		t.Fatalf("%v, %v", invited, err)
	}
	h := human{id: uuid.MustParse(invited.GetUser().GetUserId()), email: "new.admin@people.example", password: goodPassword}
	token := w.link(t, h.email, 1)
	set := func(token, password string) error {
		_, err := w.sessions().ConfirmPasswordReset(t.Context(), &ingestv1.ConfirmPasswordResetRequest{Token: token, Password: password})
		return err
	}
	for password, want := range map[string]string{"short": "REQUEST_INVALID", "Password@12345": "REQUEST_INVALID", "new.admin@people.example": "REQUEST_INVALID"} {
		if err := set(token, password); reasonOf(err) != want {
			t.Errorf("%q: %v", password, err)
		}
	}
	if err := set(token, h.password); err != nil {
		t.Fatal(err)
	}
	if err := set(token, h.password); reasonOf(err) != "LINK_INVALID" {
		t.Errorf("the link works twice: %v", err)
	}
	// An admin without second factor can do nothing but get one.
	weak := w.login(t, h)
	for _, env := range []string{"live", "test"} {
		if _, err := w.users().ListUsers(as(t, weak, "x-environment", env), &ingestv1.ListUsersRequest{}); reasonOf(err) != "SECOND_FACTOR_REQUIRED" {
			t.Errorf("without second factor: %v", err)
		}
		if _, err := w.client().ListMessages(as(t, weak, "x-environment", env), &ingestv1.ListMessagesRequest{}); reasonOf(err) != "SECOND_FACTOR_REQUIRED" {
			t.Errorf("without second factor: %v", err)
		}
	}
	enrolled, err := w.sessions().EnrolTotp(as(t, weak), &ingestv1.EnrolTotpRequest{})
	if err != nil || !strings.HasPrefix(enrolled.GetUrl(), "otpauth://totp/OnlineSMS:new.admin") {
		t.Fatalf("%v, %v", enrolled, err)
	}
	h.seed = enrolled.GetSeed()
	if _, err := w.sessions().ConfirmTotp(as(t, weak), &ingestv1.ConfirmTotpRequest{Code: "000000"}); reasonOf(err) != "SECOND_FACTOR_INVALID" {
		t.Errorf("a wrong code: %v", err)
	}
	confirmed, err := w.sessions().ConfirmTotp(as(t, weak), &ingestv1.ConfirmTotpRequest{Code: w.code(t, h)})
	if err != nil || len(confirmed.GetRecoveryCodes()) != 10 || confirmed.GetToken() == weak {
		t.Fatalf("%v", err)
	}
	if _, err := w.sessions().GetCurrentSession(as(t, weak), &ingestv1.GetCurrentSessionRequest{}); reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("the token from before the second factor: %v", err)
	}
	full := confirmed.GetToken()
	if list, err := w.users().ListUsers(as(t, full), &ingestv1.ListUsersRequest{}); err != nil || len(list.GetUsers()) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	w.recoveryCodes(t, h, confirmed.GetRecoveryCodes())
	// Another password: all other sessions end, and this one gets another token.
	other := w.login(t, h)
	changed, err := w.sessions().ChangePassword(as(t, full), &ingestv1.ChangePasswordRequest{Password: h.password, NewPassword: h.password + "!"})
	if err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]string{"the old token": full, "the other session": other} {
		if _, err := w.sessions().GetCurrentSession(as(t, old), &ingestv1.GetCurrentSessionRequest{}); reasonOf(err) != "SESSION_INVALID" {
			t.Errorf("%s after the change of password: %v", name, err)
		}
	}
	if _, err := w.users().RemoveUser(as(t, boss), &ingestv1.RemoveUserRequest{UserId: h.id.String()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sessions().GetCurrentSession(as(t, changed.GetToken()), &ingestv1.GetCurrentSessionRequest{}); reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("a session of a removed user: %v", err)
	}
	if _, err := w.users().GetUser(as(t, boss), &ingestv1.GetUserRequest{UserId: h.id.String()}); status.Code(err) != codes.NotFound || reasonOf(err) != "USER_NOT_FOUND" {
		t.Errorf("a removed user: %v", err)
	}
}

// recoveryCodes uses one of a user's codes, which then is used up.
func (w *world) recoveryCodes(t *testing.T, h human, recovery []string) {
	t.Helper()
	for i, want := range []string{"", "SECOND_FACTOR_INVALID"} {
		pending, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: h.password})
		if err != nil || pending.GetSession().GetNextStep() != "VERIFY" {
			t.Fatalf("%v, %v", pending, err)
		}
		resp, err := w.sessions().VerifySecondFactor(as(t, pending.GetToken()), &ingestv1.VerifySecondFactorRequest{RecoveryCode: strings.ToUpper(recovery[0])})
		if reasonOf(err) != want || err == nil && resp.GetRecoveryCodesLeft() != 9 {
			t.Errorf("recovery code, time %d: %v, %v", i+1, resp, err)
		}
	}
}

// Nobody raises himself or makes somebody who may do more; a tenant keeps an owner; roles end sessions.
func TestUsersOfATenant(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	owner, admin, developer := w.human(t, person.Owner, true), w.human(t, person.Admin, true), w.human(t, person.Developer, false)
	asOwner, asAdmin, asDeveloper := w.login(t, owner), w.login(t, admin), w.login(t, developer)
	role := func(token string, h human, role string) error {
		_, err := w.users().UpdateUser(as(t, token), &ingestv1.UpdateUserRequest{UserId: h.id.String(), Role: role})
		return err
	}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a developer changes users":        {role(asDeveloper, admin, "auditor"), "SCOPE_MISSING"},
		"an admin makes himself owner":     {role(asAdmin, admin, "owner"), "SCOPE_MISSING"},
		"an admin changes himself":         {role(asAdmin, admin, "auditor"), "OWN_USER"},
		"an admin makes another owner":     {role(asAdmin, developer, "owner"), "SCOPE_MISSING"},
		"an admin takes the owner's role":  {role(asAdmin, owner, "auditor"), "SCOPE_MISSING"},
		"the owner gives up":               {role(asOwner, owner, "auditor"), "OWN_USER"},
		"a role that is none":              {role(asOwner, developer, "king"), "REQUEST_INVALID"},
		"the owner makes an admin auditor": {role(asOwner, admin, "auditor"), ""},
	} {
		if reasonOf(test.err) != test.want {
			t.Errorf("%s: %v, want %s", name, test.err, test.want)
		}
	}
	// By key: a live one with every scope may, but not below one owner; a test one may not.
	live, test := w.key(t, "live", nil, api.Scopes()...), w.key(t, "test", nil, api.Scopes()...)
	if err := role(live, owner, "auditor"); reasonOf(err) != "LAST_OWNER" || status.Code(err) != codes.AlreadyExists {
		t.Errorf("the last owner: %v", err)
	}
	if _, err := w.users().DisableUser(as(t, live), &ingestv1.DisableUserRequest{UserId: owner.id.String()}); reasonOf(err) != "LAST_OWNER" {
		t.Errorf("the last owner: %v", err)
	}
	if _, err := w.users().RemoveUser(as(t, live), &ingestv1.RemoveUserRequest{UserId: owner.id.String()}); reasonOf(err) != "LAST_OWNER" {
		t.Errorf("the last owner: %v", err)
	}
	if err := role(test, developer, "auditor"); reasonOf(err) != "KEY_WRONG_ENVIRONMENT" {
		t.Errorf("a test key: %v", err)
	}
	if err := role(live, developer, "owner"); err != nil {
		t.Errorf("with another owner: %v", err)
	}
	if _, err := w.sessions().GetCurrentSession(as(t, asDeveloper), &ingestv1.GetCurrentSessionRequest{}); reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("a session from before the change of role: %v", err)
	}
	// Disabled, he cannot log in; enabled again he can.
	if _, err := w.users().DisableUser(as(t, asOwner), &ingestv1.DisableUserRequest{UserId: developer.id.String()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: developer.email, Password: developer.password}); reasonOf(err) != "LOGIN_FAILED" {
		t.Errorf("a disabled user logs in: %v", err)
	}
	if _, err := w.users().EnableUser(as(t, asOwner), &ingestv1.EnableUserRequest{UserId: developer.id.String()}); err != nil {
		t.Fatal(err)
	}
	w.login(t, developer)
	if _, err := w.users().InviteUser(as(t, asOwner), &ingestv1.InviteUserRequest{Email: strings.ToUpper(developer.email), Role: "auditor"}); reasonOf(err) != "USER_EXISTS" {
		t.Errorf("the same address again: %v", err)
	}
}

// Pages of users hold each once, newest first.
func TestUserPages(t *testing.T) {
	w := newWorld(t)
	token := w.login(t, w.human(t, person.Owner, true))
	for range 4 {
		w.human(t, person.Auditor, false)
	}
	seen := map[string]bool{}
	req := &ingestv1.ListUsersRequest{PageSize: 2}
	for {
		page, err := w.users().ListUsers(as(t, token), req)
		if err != nil || len(page.GetUsers()) > 2 {
			t.Fatalf("%v, %v", page, err)
		}
		for _, u := range page.GetUsers() {
			seen[u.GetUserId()] = true
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d users in all pages", len(seen))
	}
	for _, bad := range []*ingestv1.ListUsersRequest{{PageSize: 501}, {PageToken: "x"}, {PageToken: "MSAyIDM"}} {
		if _, err := w.users().ListUsers(as(t, token), bad); reasonOf(err) != "REQUEST_INVALID" {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// A session chooses its environment with each call; what is live is not seen from test, and a word that is none is refused.
func TestItem11SessionEnvironment(t *testing.T) {
	w := newWorld(t)
	token := w.login(t, w.human(t, person.Developer, false))
	sent, err := w.client().SendMessage(as(t, token, "x-environment", "live"), send())
	if err != nil {
		t.Fatal(err)
	}
	get := func(pairs ...string) error {
		_, err := w.client().GetMessage(as(t, token, pairs...), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()})
		return err
	}
	if err := get("x-environment", "live"); err != nil {
		t.Error(err)
	}
	if reasonOf(get()) != "MESSAGE_NOT_FOUND" || reasonOf(get("x-environment", "test")) != "MESSAGE_NOT_FOUND" || reasonOf(get("x-environment", "LIVE")) != "REQUEST_INVALID" {
		t.Errorf("%v, %v, %v", get(), get("x-environment", "test"), get("x-environment", "LIVE"))
	}
	resp := w.request(t, "GET", "/v1/sessions/current", "", append(bearer(token), "X-Environment", "live")...)
	var who struct{ Environment string }
	if err := json.Unmarshal(resp.body, &who); err != nil || resp.StatusCode != http.StatusOK || who.Environment != "live" {
		t.Errorf("%d %s", resp.StatusCode, resp.body)
	}
}
