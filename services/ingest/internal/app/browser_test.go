package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
)

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
	w.freeze()
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
