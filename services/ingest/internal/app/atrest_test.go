package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
)

// Item 35, the part of logins: 50 of them, right and wrong, are 50 records and 50 attempts, each with its address and
// outcome.
func TestItem35EveryLoginIsOneRecord(t *testing.T) {
	w := newWorld(t)
	w.freeze()
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
