package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

func (w *world) whoami(t testing.TB, conn grpc.ClientConnInterface, token string) error {
	_, err := ingestv1.NewSessionServiceClient(conn).GetCurrentSession(as(t, token), &ingestv1.GetCurrentSessionRequest{})
	return err
}

// Item 9 for sessions: every way a token can be wrong has its status and its reason, by JSON and by gRPC.
func TestItem9SessionReasons(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	good, ended, idle, old := w.login(t, h), w.login(t, h), w.login(t, h), w.login(t, h)
	parsed, _ := tenant.ParseToken(person.SessionPrefix, good)
	wrong := tenant.Token{ID: parsed.ID, Secret: strings.Repeat("0", len(parsed.Secret))}.Write(person.SessionPrefix)
	unknown := tenant.Token{ID: strings.Repeat("0", 12), Secret: parsed.Secret}.Write(person.SessionPrefix)
	if _, err := w.sessions().Logout(as(t, ended), &ingestv1.LogoutRequest{}); err != nil {
		t.Fatal(err)
	}
	w.setSession(t, idle, "last_use_time = $2::timestamptz - interval '15 minutes'")
	w.setSession(t, old, "expire_time = $2")
	for name, test := range map[string]struct {
		token  string
		status int
		reason string
	}{
		"malformed": {"osms_session_x", 401, "SESSION_INVALID"}, "wrong CRC": {good[:len(good)-1] + "!", 401, "SESSION_INVALID"},
		"wrong secret": {wrong, 401, "SESSION_INVALID"}, "unknown": {unknown, 401, "SESSION_INVALID"},
		"logged out": {ended, 401, "SESSION_INVALID"}, "idle for 15 minutes": {idle, 401, "SESSION_EXPIRED"},
		"12 hours old": {old, 401, "SESSION_EXPIRED"}, "right": {good, 200, ""},
	} {
		resp := w.request(t, "GET", "/v1/messages", "", bearer(test.token)...)
		if resp.StatusCode != test.status || test.reason != "" && resp.problem(t).Reason != test.reason {
			t.Errorf("%s: %d %s", name, resp.StatusCode, resp.body)
		}
		if _, err := w.client().ListMessages(as(t, test.token), &ingestv1.ListMessagesRequest{}); reasonOf(err) != test.reason {
			t.Errorf("%s by gRPC: %v", name, err)
		}
	}
	// What is for people alone no key can do, nor be given.
	key := w.key(t, "live", nil, "keys:write", "messages:read")
	if err := w.whoami(t, w.grpc, key); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("a key: %v", err)
	}
	if _, err := w.keys().CreateApiKey(as(t, key), &ingestv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"session:manage"}}); reasonOf(err) != "REQUEST_INVALID" {
		t.Errorf("a key with a session's scope: %v", err)
	}
}

// setSession changes a session behind everybody's back and has this replica forget it; $2 is the time.
func (w *world) setSession(t testing.TB, token, change string) {
	t.Helper()
	parsed, _ := tenant.ParseToken(person.SessionPrefix, token)
	h, err := w.people.store.Session(t.Context(), parsed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE sessions SET "+change+" WHERE session_id = $1 AND $2::timestamptz IS NOT NULL", parsed.ID, w.clock()); err != nil {
		t.Fatal(err)
	}
	w.people.sessions.Forget(h.Tenant, h.User)
}

// A session in use outlives 15 minutes, on another replica too, and ends 12 hours after the login however much it is used.
func TestSessionLifetime(t *testing.T) {
	w := newWorld(t)
	second := w.replica(t)
	token := w.login(t, w.human(t, person.Developer, false))
	for n := range 71 { // 10 minutes each: until ten minutes before the end
		w.advance(10 * time.Minute)
		conn := []grpc.ClientConnInterface{w.grpc, second}[n%2]
		if err := w.whoami(t, conn, token); err != nil {
			t.Fatalf("after %d minutes: %v", 10*(n+1), err)
		}
	}
	w.advance(10 * time.Minute)
	if err := w.whoami(t, w.grpc, token); reasonOf(err) != "SESSION_EXPIRED" {
		t.Errorf("after 12 hours: %v", err)
	}
	token = w.login(t, w.human(t, person.Developer, false))
	w.advance(14 * time.Minute)
	if err := w.whoami(t, w.grpc, token); err != nil {
		t.Errorf("after 14 minutes: %v", err)
	}
	w.advance(15 * time.Minute)
	if err := w.whoami(t, w.grpc, token); reasonOf(err) != "SESSION_EXPIRED" {
		t.Errorf("15 minutes after the last use: %v", err)
	}
}

// Item 20: a code of the authenticator works once, in a row and in parallel, and only within a step of now; the token is
// another after the second factor; a session that waits for it can do nothing else; logout ends the token here and on
// another replica.
func TestItem20SecondFactorAndSessions(t *testing.T) {
	w := newWorld(t)
	second := w.replica(t)
	h := w.human(t, person.Owner, true)
	pending := func() string {
		resp, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: h.password})
		if err != nil || resp.GetSession().GetNextStep() != "VERIFY" {
			t.Fatalf("%v, %v", resp, err)
		}
		return resp.GetToken()
	}
	verify := func(token, code string) (string, error) {
		resp, err := w.sessions().VerifySecondFactor(as(t, token), &ingestv1.VerifySecondFactorRequest{Code: code})
		return resp.GetToken(), err
	}
	first := pending()
	if _, err := w.users().ListUsers(as(t, first), &ingestv1.ListUsersRequest{}); reasonOf(err) != "SECOND_FACTOR_REQUIRED" {
		t.Errorf("before the second factor: %v", err)
	}
	if _, err := w.sessions().EnrolTotp(as(t, first), &ingestv1.EnrolTotpRequest{}); reasonOf(err) != "SECOND_FACTOR_REQUIRED" {
		t.Errorf("another authenticator before the second factor: %v", err)
	}
	code := w.code(t, h)
	full, err := verify(first, code)
	if err != nil || full == first {
		t.Fatalf("the token stays, %v", err)
	}
	if err := w.whoami(t, w.grpc, first); reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("the token from before the second factor: %v", err)
	}
	if _, err := verify(pending(), code); reasonOf(err) != "SECOND_FACTOR_INVALID" {
		t.Errorf("the same code again: %v", err)
	}
	// Three steps away: the test may cross into the next step.
	late, _ := person.TOTP(h.seed, w.clock().Add(-90*time.Second))
	early, _ := person.TOTP(h.seed, w.clock().Add(90*time.Second))
	for name, code := range map[string]string{"too old": late, "too early": early, "none": "x"} {
		if _, err := verify(pending(), code); reasonOf(err) != "SECOND_FACTOR_INVALID" {
			t.Errorf("a code %s: %v", name, err)
		}
	}
	w.parallelCodes(t, h, pending)
	w.endsEverywhere(t, second)
}

// parallelCodes shows one code in many sessions at once: one of them gets in.
func (w *world) parallelCodes(t *testing.T, h human, pending func() string) {
	t.Helper()
	w.advance(20 * time.Minute) // what was wrong before is paid off
	tokens := make([]string, 4)
	for i := range tokens {
		tokens[i] = pending()
	}
	code := w.code(t, h)
	var in atomic.Int64
	var all sync.WaitGroup
	for _, token := range tokens {
		all.Go(func() {
			_, err := w.sessions().VerifySecondFactor(as(t, token), &ingestv1.VerifySecondFactorRequest{Code: code})
			if err == nil {
				in.Add(1)
			} else if reason := reasonOf(err); reason != "SECOND_FACTOR_INVALID" && reason != "LOGIN_DELAYED" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("one code lets %d sessions in", in.Load())
	}
}

// endsEverywhere measures how long after its end a session is still taken by another replica.
func (w *world) endsEverywhere(t *testing.T, second grpc.ClientConnInterface) {
	t.Helper()
	h := w.human(t, person.Developer, false)
	use := func(token string) error { return w.whoami(t, second, token) }
	eventually(t, "the other replica to listen", func() bool {
		probe := w.login(t, h)
		if err := use(probe); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sessions().Logout(as(t, probe), &ingestv1.LogoutRequest{}); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
			if use(probe) != nil {
				return true
			}
		}
		return false
	})
	for range 5 {
		token := w.login(t, h)
		if err := use(token); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sessions().Logout(as(t, token), &ingestv1.LogoutRequest{}); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		for began := answered; use(token) == nil; began = time.Now() {
			if began.Sub(answered) > time.Second {
				t.Fatal("still taken a second after logout was answered")
			}
		}
	}
}

// Item 21: the cookie is __Host-, Secure, HttpOnly and SameSite; what another site has a browser send with it is refused,
// and so is a change without the header that only a script of our own can send.
func TestItem21Cookie(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	login := fmt.Sprintf(`{"email": %q, "password": %q, "cookie": true}`, h.email, h.password)
	resp := w.request(t, "POST", "/v1/sessions:login", login)
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusOK || len(cookies) != 1 || strings.Contains(string(resp.body), "osms_session_") {
		t.Fatalf("%d %v %s", resp.StatusCode, cookies, resp.body)
	}
	c := cookies[0]
	if c.Name != "__Host-onlinesms_session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v", c)
	}
	cookie := c.Name + "=" + c.Value
	const sendPath = "/v1/messages"
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		reason             string
	}{
		"a read":                         {"GET", sendPath, "", []string{"Cookie", cookie}, 200, ""},
		"a change of our page":           {"POST", sendPath, sendJSON, []string{"Cookie", cookie, "X-Requested-By", "console", "Sec-Fetch-Site", "same-origin"}, 200, ""},
		"a change without the header":    {"POST", sendPath, sendJSON, []string{"Cookie", cookie}, 403, "CROSS_SITE_REQUEST"},
		"a form of another site":         {"POST", sendPath, sendJSON, []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"}, 403, "CROSS_SITE_REQUEST"},
		"a script of another site":       {"POST", sendPath, sendJSON, []string{"Cookie", cookie, "X-Requested-By", "x", "Sec-Fetch-Site", "cross-site"}, 403, "CROSS_SITE_REQUEST"},
		"another site, older browser":    {"POST", sendPath, sendJSON, []string{"Cookie", cookie, "X-Requested-By", "x", "Origin", "https://evil.example"}, 403, "CROSS_SITE_REQUEST"},
		"another site of the same host":  {"POST", sendPath, sendJSON, []string{"Cookie", cookie, "X-Requested-By", "x", "Sec-Fetch-Site", "same-site"}, 403, "CROSS_SITE_REQUEST"},
		"a login forced by another site": {"POST", "/v1/sessions:login", login, []string{"Sec-Fetch-Site", "cross-site"}, 403, "CROSS_SITE_REQUEST"},
		"with a key, from anywhere":      {"POST", sendPath, sendJSON, []string{"Authorization", "Bearer " + w.test, "Sec-Fetch-Site", "cross-site"}, 200, ""},
		"a cookie that is none of ours":  {"GET", sendPath, "", []string{"Cookie", c.Name + "=osms_session_x"}, 401, "SESSION_INVALID"},
	} {
		resp := w.request(t, test.method, test.path, test.body, test.headers...)
		if resp.StatusCode != test.status || test.reason != "" && resp.problem(t).Reason != test.reason {
			t.Errorf("%s: %d %s", name, resp.StatusCode, resp.body)
		}
	}
	resp = w.request(t, "POST", "/v1/sessions/current:logout", "{}", "Cookie", cookie, "X-Requested-By", "console")
	if left := resp.Cookies(); resp.StatusCode != http.StatusOK || len(left) != 1 || left[0].Value != "" || left[0].MaxAge > 0 {
		t.Errorf("logout: %d, cookies %v", resp.StatusCode, left)
	}
	if resp := w.request(t, "GET", sendPath, "", "Cookie", cookie); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the cookie after logout: %d", resp.StatusCode)
	}
}

// Item 15 for people: the tenant's address rules hold at login, for the session's calls, and for links; who does not know
// the password learns nothing of them.
func TestItem15AddressRulesForPeople(t *testing.T) {
	w := newWorld(t)
	h, owner := w.human(t, person.Developer, false), w.human(t, person.Owner, true)
	session, boss := w.login(t, h), w.login(t, owner)
	if _, err := ingestv1.NewTenantServiceClient(w.grpc).UpdateTenant(as(t, boss, "x-environment", "live"), &ingestv1.UpdateTenantRequest{AllowedAddresses: []string{"127.0.0.0/24"}}); err != nil {
		t.Fatal(err)
	}
	inside, outside := w.from(t, "127.0.0.9", nil), w.from(t, "127.0.9.9", nil)
	if resp := w.post(t, inside, "/v1/sessions:login", loginJSON(h.email, h.password)); resp.StatusCode != http.StatusOK {
		t.Errorf("from an allowed address: %d %s", resp.StatusCode, resp.body)
	}
	for password, want := range map[string]string{h.password: "ADDRESS_NOT_ALLOWED", "wrong": "LOGIN_FAILED"} {
		for _, headers := range [][]string{nil, {"X-Forwarded-For", "127.0.0.9"}, {"X-Real-IP", "127.0.0.9"}} {
			if resp := w.post(t, outside, "/v1/sessions:login", loginJSON(h.email, password), headers...); resp.problem(t).Reason != want {
				t.Errorf("from elsewhere: %s, want %s", resp.body, want)
			}
			w.advance(20 * time.Second)
		}
	}
	for _, env := range []string{"live", "test"} { // whatever the environment: users are managed from either
		if status, body := w.get(t, outside, session, "X-Environment", env); status != http.StatusForbidden || !strings.Contains(body, "ADDRESS_NOT_ALLOWED") {
			t.Errorf("the session's call for %s from elsewhere: %d %s", env, status, body)
		}
		if status, body := w.get(t, inside, session, "X-Environment", env); status != http.StatusOK {
			t.Errorf("the session's call for %s from an allowed address: %d %s", env, status, body)
		}
	}
	if resp := w.post(t, outside, "/v1/password-resets", fmt.Sprintf(`{"email": %q}`, h.email)); resp.StatusCode != http.StatusOK {
		t.Errorf("asking for a link from elsewhere: %d", resp.StatusCode)
	}
	eventually(t, "all letters to be done", func() bool { return w.count(t, "letters") == 0 })
	if mails := w.mails(t); len(mails) != 0 {
		t.Errorf("a link for who may not come in from there: %q", mails)
	}
	if resp := w.post(t, inside, "/v1/password-resets", fmt.Sprintf(`{"email": %q}`, h.email)); resp.StatusCode != http.StatusOK {
		t.Errorf("asking for a link from an allowed address: %d", resp.StatusCode)
	}
	confirm := fmt.Sprintf(`{"token": %q, "password": "seven purple kettles hum at dawn"}`, w.link(t, h.email, 1))
	if resp := w.post(t, outside, "/v1/password-resets:confirm", confirm); resp.problem(t).Reason != "ADDRESS_NOT_ALLOWED" {
		t.Errorf("a link used from elsewhere: %s", resp.body)
	}
	if resp := w.post(t, inside, "/v1/password-resets:confirm", confirm); resp.StatusCode != http.StatusOK {
		t.Errorf("a link used from an allowed address: %d %s", resp.StatusCode, resp.body)
	}
}

// Item 35, the part of logins: 50 of them, right and wrong, are 50 records and 50 attempts, each with its address and
// outcome.
func TestItem35EveryLoginIsOneRecord(t *testing.T) {
	w := newWorld(t)
	h, owner := w.human(t, person.Developer, false), w.human(t, person.Owner, true)
	client := w.from(t, "127.0.4.4", nil)
	want := map[string]string{}
	for i := range 50 {
		id, email, password := fmt.Sprintf("login-%d", i), h.email, h.password
		want[id] = "success"
		switch i % 5 {
		case 1:
			password, want[id] = "wrong", "refused LOGIN_FAILED"
		case 3:
			email, want[id] = "nobody@people.example", "refused LOGIN_FAILED"
			w.advance(20 * time.Minute) // so that it is compared
		}
		resp := w.post(t, client, "/v1/sessions:login", loginJSON(email, password), "X-Request-Id", id)
		if resp.Header.Get("X-Audit-Event") == "" || (resp.StatusCode == http.StatusOK) != (want[id] == "success") {
			t.Errorf("%s: %d, audit event %q", id, resp.StatusCode, resp.Header.Get("X-Audit-Event"))
		}
		if i == 0 { // it is durable before the answer
			records := 0
			if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM parcels WHERE subject LIKE 'onlinesms.ingest.v1.CallsRecorded.%' AND position($1 IN encode(payload, 'escape')) > 0", id).Scan(&records); err != nil || records != 1 {
				t.Errorf("%d records at the time of the answer, %v", records, err)
			}
		}
	}
	list, err := w.users().ListLoginAttempts(as(t, w.login(t, owner)), &ingestv1.ListLoginAttemptsRequest{UserId: h.id.String(), PageSize: 500})
	if err != nil || len(list.GetAttempts()) != 40 || w.count(t, "login_attempts") != 52 { // ten of nobody, and the owner's own two
		t.Errorf("%d attempts of the user, %d in all, %v", len(list.GetAttempts()), w.count(t, "login_attempts"), err)
	}
	w.stopped()
	got := map[string][]string{}
	for _, r := range w.callRecords(t) {
		if r.GetAction() == "session.login" && strings.HasPrefix(r.GetRequestId(), "login-") {
			got[r.GetRequestId()] = append(got[r.GetRequestId()], strings.TrimSpace(r.GetOutcome()+" "+r.GetReason()))
			if r.GetAddress() != "127.0.4.4" || r.GetUserAgent() != "item-18" || r.GetTimeUs() == 0 || (r.GetOutcome() == "success") != (r.GetActor() == "user/"+h.id.String()) {
				t.Errorf("a record without its facts: %v", r)
			}
		}
	}
	for id, outcome := range want {
		if !slices.Equal(got[id], []string{outcome}) {
			t.Errorf("%s is recorded as %q, want %q", id, got[id], outcome)
		}
	}
}

// Item 12 for people: nothing by which somebody could log in, and no address, stands in any table, log or event.
func TestItem12PeopleAtRest(t *testing.T) {
	w := newWorld(t)
	boss := w.human(t, person.Owner, true)
	token := w.login(t, boss)
	invited, err := w.users().InviteUser(as(t, token), &ingestv1.InviteUserRequest{Email: "secret.name@people.example", Role: "developer"})
	if err != nil {
		t.Fatal(err)
	}
	link := w.link(t, "secret.name@people.example", 1)
	const password = "velvet otters juggle at midnight"
	if _, err := w.sessions().ConfirmPasswordReset(t.Context(), &ingestv1.ConfirmPasswordResetRequest{Token: link, Password: password}); err != nil {
		t.Fatal(err)
	}
	h := human{email: "secret.name@people.example", password: password}
	session := w.login(t, h)
	enrolled, err := w.sessions().EnrolTotp(as(t, session), &ingestv1.EnrolTotpRequest{})
	if err != nil {
		t.Fatal(err)
	}
	h.seed = enrolled.GetSeed()
	confirmed, err := w.sessions().ConfirmTotp(as(t, session), &ingestv1.ConfirmTotpRequest{Code: w.code(t, h)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.sessions().RequestPasswordReset(t.Context(), &ingestv1.RequestPasswordResetRequest{Email: h.email}); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"address": "secret.name", "password": password, "link": link, "session": session, "session's secret": session[len("osms_session_")+13:],
		"seed": enrolled.GetSeed(), "recovery code": confirmed.GetRecoveryCodes()[0], "bare recovery code": strings.ReplaceAll(confirmed.GetRecoveryCodes()[0], "-", ""),
	}
	w.link(t, h.email, 2)
	w.stopped()
	w.nowhere(t, secrets)
	if invited.GetUser().GetUserId() == "" {
		t.Error("no user")
	}
}

var hexBytes = regexp.MustCompile(`\\\\x[0-9a-f]+`)

// nowhere looks for secrets in every row of every table, its bytes also as text, and in the log.
func (w *world) nowhere(t *testing.T, secrets map[string]string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, w.db.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // read only
	rows, err := conn.Query(ctx, "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public' AND relkind = 'r'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	texts := map[string]string{"the log": w.logs.String()}
	for _, table := range tables {
		rows, err := conn.Query(ctx, "SELECT row_to_json(r)::text FROM "+pgx.Identifier{table}.Sanitize()+" r")
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(all, "\n")
		texts[table] = text + hexBytes.ReplaceAllStringFunc(text, func(h string) string {
			var raw []byte
			_, _ = fmt.Sscanf(h[3:], "%x", &raw)
			return string(raw)
		})
	}
	found, _ := json.Marshal(len(texts["users"]))
	if string(found) == "0" {
		t.Fatal("no users were looked at")
	}
	for place, text := range texts {
		for name, secret := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("the %s stands in %s", name, place)
			}
		}
	}
}
