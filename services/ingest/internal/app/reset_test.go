package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

// A link sets a password once and within an hour, ends all sessions, and does not replace the second factor.
func TestPasswordReset(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	h := w.human(t, person.Owner, true)
	session := w.login(t, h)
	ask := func() error {
		_, err := w.sessions().RequestPasswordReset(t.Context(), &ingestv1.RequestPasswordResetRequest{Email: h.email})
		return err
	}
	set := func(token, password string) error {
		_, err := w.sessions().ConfirmPasswordReset(t.Context(), &ingestv1.ConfirmPasswordResetRequest{Token: token, Password: password})
		return err
	}
	for range 3 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := w.link(t, h.email, 1), w.link(t, h.email, 2), w.link(t, h.email, 3)
	for name, token := range map[string]string{"nothing": "", "changed": first[:len(first)-4] + "AAAA", "a session's token": session} {
		if err := set(token, goodPassword); reasonOf(err) != "LINK_INVALID" || status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.password = "seven purple kettles hum at dawn"
	if err := set(first, h.password); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"used": first, "another link from before": second, "a third": third} {
		if err := set(token, goodPassword); reasonOf(err) != "LINK_INVALID" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.whoami(t, w.grpc, session); reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("a session from before: %v", err)
	}
	pending, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: h.password})
	if err != nil || pending.GetSession().GetNextStep() != "VERIFY" {
		t.Errorf("the second factor after a reset: %v, %v", pending, err)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	old := w.link(t, h.email, 4)
	w.advance(time.Hour)
	if err := set(old, goodPassword); reasonOf(err) != "LINK_INVALID" {
		t.Errorf("an hour old: %v", err)
	}
}

// Who asks for links again and again waits longer and longer, for known and unknown addresses alike.
func TestPasswordResetIsDelayed(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	h := w.human(t, person.Developer, false)
	client := w.from(t, "127.0.5.5", nil)
	for _, email := range []string{h.email, "nobody@people.example"} {
		var statuses []int
		for range 7 {
			resp := w.post(t, client, "/v1/password-resets", fmt.Sprintf(`{"email": %q}`, email))
			statuses = append(statuses, resp.StatusCode)
		}
		if want := []int{200, 200, 200, 200, 200, 429, 429}; !slices.Equal(statuses, want) {
			t.Errorf("%s: %v, want %v", email, statuses, want)
		}
	}
}

// Mail that cannot be sent is sent later, by whichever replica comes to it.
func TestLettersAreNotLost(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	h := w.human(t, person.Developer, false)
	sender := w.people.mailer
	failing := &failingMailer{}
	p := &people{store: w.people.store, vault: w.people.vault, mailer: failing, letters: make(chan struct{}, 1), now: w.now}
	ctx := w.recorded(t)
	passwords := *w.people.rooms.Passwords
	passwords.Wake = func() {} // the service itself is not told
	if err := passwords.RequestReset(ctx, h.email, uuid.Nil, person.Origin{}); err != nil {
		t.Fatal(err)
	}
	if n := p.sendDue(t.Context(), w.log); n != 1 || failing.sent != 1 || w.count(t, "letters") != 1 {
		t.Errorf("%d due, %d tried, %d left", n, failing.sent, w.count(t, "letters"))
	}
	if n := p.sendDue(t.Context(), w.log); n != 0 {
		t.Errorf("%d due at once again", n)
	}
	w.advance(2 * time.Minute)
	p.mailer = sender
	p.wake()
	p.sendDue(t.Context(), w.log)
	w.link(t, h.email, 1)
	eventually(t, "the letter to be dropped", func() bool { return w.count(t, "letters") == 0 })
}

type failingMailer struct{ sent int }

func (f *failingMailer) Send(context.Context, person.Mail) error {
	f.sent++
	return io.ErrUnexpectedEOF
}

// Who is a user of two tenants must say which; each is a user of its own.
func TestOneAddressInTwoTenants(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	h := w.human(t, person.Developer, false)
	other := uuid.Must(uuid.NewV7())
	if err := w.store.EnsureTenant(t.Context(), tenant.Tenant{ID: other, Name: "Other"}); err != nil {
		t.Fatal(err)
	}
	u, err := w.people.store.User(t.Context(), demoTenant, h.id)
	if err != nil {
		t.Fatal(err)
	}
	u.Tenant, u.ID, u.PasswordHash = other, uuid.Must(uuid.NewV7()), w.people.hasher.Hash("another password altogether")
	if err := w.people.store.CreateUser(w.recorded(t), &u, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ tenant, password, want string }{
		{"", h.password, "LOGIN_FAILED"}, {demoTenant.String(), h.password, ""}, {other.String(), h.password, "LOGIN_FAILED"},
		{other.String(), "another password altogether", ""}, {uuid.NewString(), h.password, "LOGIN_FAILED"}, {"x", h.password, "REQUEST_INVALID"},
	} {
		resp, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: test.password, TenantId: test.tenant})
		if reasonOf(err) != test.want || err == nil && resp.GetSession().GetTenantId() != test.tenant {
			t.Errorf("tenant %q: %v, %v", test.tenant, resp, err)
		}
	}
}

// A password is hashed anew at login when the cost has risen since, and stays the same otherwise.
func TestRehashAtLogin(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	hash := func() string {
		u, err := w.people.store.User(t.Context(), demoTenant, h.id)
		if err != nil {
			t.Fatal(err)
		}
		return u.PasswordHash
	}
	weak := person.NewHasher(person.Cost{Memory: 1 << 10, Passes: 1, Lanes: 1}).Hash(h.password)
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE users SET password_hash = $1 WHERE user_id = $2", weak, h.id); err != nil {
		t.Fatal(err)
	}
	w.login(t, h)
	strong := hash()
	if strong == weak || !bytes.HasPrefix([]byte(strong), []byte("$argon2id$v=19$m=19456,t=2,p=1$")) {
		t.Errorf("stored as %s", strong)
	}
	if w.login(t, h); hash() != strong {
		t.Error("hashed anew without need")
	}
}

// A user has 50 sessions; the oldest gives way. He sees and ends his own, and nobody else's (item 24).
func TestItem24OwnSessionsOnly(t *testing.T) {
	w := newWorld(t)
	h, other := w.human(t, person.Developer, false), w.human(t, person.Developer, false)
	first, foreign := w.login(t, h), w.login(t, other)
	u, err := w.people.store.User(t.Context(), demoTenant, h.id)
	if err != nil {
		t.Fatal(err)
	}
	for range person.MaxSessions - 2 { // not all by password
		w.advance(time.Millisecond)
		a := person.Attempt{ID: uuid.Must(uuid.NewV7()), Tenant: demoTenant, User: h.id, Method: "password", Time: w.now()}
		s := person.Session{ID: uuid.NewString(), Tenant: demoTenant, User: h.id, Stage: person.StagePassword, MAC: make([]byte, 32), PepperVersion: 1,
			Create: w.now(), LastUse: w.now(), Expire: w.now().Add(time.Hour)}
		if err := w.people.store.RecordAttempt(w.recorded(t), &a, &person.Opening{Session: s, Compared: u.PasswordHash}); err != nil {
			t.Fatal(err)
		}
	}
	last := w.login(t, h)
	list := func() []*ingestv1.Session {
		resp, err := w.sessions().ListSessions(as(t, last), &ingestv1.ListSessionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetSessions()
	}
	if all := list(); len(all) != person.MaxSessions || !all[0].GetCurrent() || all[1].GetCurrent() {
		t.Errorf("%d sessions", len(all))
	}
	w.login(t, h)
	w.people.sessions.Forget(demoTenant, h.id)
	if err := w.whoami(t, w.grpc, first); len(list()) != person.MaxSessions || reasonOf(err) != "SESSION_INVALID" {
		t.Errorf("%d sessions, the first: %v", len(list()), err)
	}
	parsed, _ := tenant.ParseToken(person.SessionPrefix, foreign)
	for _, id := range []string{parsed.ID, "nothing"} {
		if _, err := w.sessions().RevokeSession(as(t, last), &ingestv1.RevokeSessionRequest{SessionId: id}); reasonOf(err) != "SESSION_NOT_FOUND" {
			t.Errorf("somebody else's session: %v", err)
		}
	}
	if _, err := w.sessions().RevokeSession(as(t, last), &ingestv1.RevokeSessionRequest{SessionId: list()[2].GetSessionId()}); err != nil || len(list()) != person.MaxSessions-1 {
		t.Errorf("his own: %v", err)
	}
	if err := w.whoami(t, w.grpc, foreign); err != nil {
		t.Errorf("the other's session: %v", err)
	}
}

// Item 24 for users: another tenant's are not there, by any call.
func TestItem24UsersOfOthers(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	owner := w.login(t, w.human(t, person.Owner, true))
	other := uuid.Must(uuid.NewV7())
	if err := w.store.EnsureTenant(t.Context(), tenant.Tenant{ID: other, Name: "Other"}); err != nil {
		t.Fatal(err)
	}
	h := w.human(t, person.Developer, false)
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE users SET tenant_id = $1 WHERE user_id = $2", other, h.id); err != nil {
		t.Fatal(err)
	}
	id, ctx, users := h.id.String(), as(t, owner), w.users()
	for name, call := range map[string]func() error{
		"get": func() error { _, err := users.GetUser(ctx, &ingestv1.GetUserRequest{UserId: id}); return err },
		"update": func() error {
			_, err := users.UpdateUser(ctx, &ingestv1.UpdateUserRequest{UserId: id, Role: "auditor"})
			return err
		},
		"disable": func() error { _, err := users.DisableUser(ctx, &ingestv1.DisableUserRequest{UserId: id}); return err },
		"enable":  func() error { _, err := users.EnableUser(ctx, &ingestv1.EnableUserRequest{UserId: id}); return err },
		"reset": func() error {
			_, err := users.ResetSecondFactor(ctx, &ingestv1.ResetSecondFactorRequest{UserId: id})
			return err
		},
		"remove": func() error { _, err := users.RemoveUser(ctx, &ingestv1.RemoveUserRequest{UserId: id}); return err },
	} {
		if err := call(); status.Code(err) != codes.NotFound || reasonOf(err) != "USER_NOT_FOUND" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Logins of one network are limited whatever the accounts: nobody tries one password on all.
func TestItem17LoginsOfANetwork(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.People.LoginsPerSecond = 5 })
	w.freeze()
	client := w.from(t, "127.0.6.6", nil)
	limited := 0
	for i := range 120 {
		resp := w.post(t, client, "/v1/password-resets:confirm", fmt.Sprintf(`{"token": "x%d", "password": "x"}`, i))
		if resp.StatusCode == http.StatusTooManyRequests {
			if limited++; resp.problem(t).Reason != "RATE_LIMITED" || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%v %s", resp.Header, resp.body)
			}
		}
	}
	if limited == 0 || limited > 20 {
		t.Errorf("%d of 120 limited", limited)
	}
	if resp := w.post(t, w.from(t, "127.0.7.7", nil), "/v1/password-resets:confirm", `{"token": "x", "password": "x"}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another network: %d", resp.StatusCode)
	}
}

// Item 1 for sessions: a token that was sent in clear is ended.
func TestItem1SessionSentInClear(t *testing.T) {
	w := newWorld(t)
	token := w.login(t, w.human(t, person.Developer, false))
	conn, err := net.Dial("tcp", w.door.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\nCookie: __Host-onlinesms_session=%s\r\n\r\n", token); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session to be ended", func() bool { return reasonOf(w.whoami(t, w.grpc, token)) == "SESSION_INVALID" })
}

// What says nothing any more is deleted.
func TestPurgePeople(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	w.login(t, h)
	if _, err := w.sessions().Login(t.Context(), &ingestv1.LoginRequest{Email: h.email, Password: "wrong"}); err == nil {
		t.Fatal("logged in")
	}
	if _, err := w.sessions().RequestPasswordReset(t.Context(), &ingestv1.RequestPasswordResetRequest{Email: h.email}); err != nil {
		t.Fatal(err)
	}
	counts := func() (n []int) {
		for _, table := range []string{"sessions", "password_links", "login_failures", "login_attempts"} {
			n = append(n, w.count(t, table))
		}
		return n
	}
	for _, step := range []struct {
		after time.Duration
		want  []int
	}{{0, []int{1, 1, 2, 3}}, {16 * time.Minute, []int{0, 1, 2, 3}}, {2 * time.Hour, []int{0, 0, 2, 3}}, {24 * time.Hour, []int{0, 0, 0, 3}}, {180 * 24 * time.Hour, []int{0, 0, 0, 0}}} {
		for more := true; more; {
			var err error
			if more, err = w.people.store.PurgePeople(t.Context(), w.now().Add(step.after), 1); err != nil {
				t.Fatal(err)
			}
		}
		if got := counts(); !slices.Equal(got, step.want) {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
}
