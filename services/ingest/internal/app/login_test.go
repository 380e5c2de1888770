package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// post calls the HTTPS port from an address of this host.
func (w *world) post(t testing.TB, client *http.Client, path, body string, headers ...string) *response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+w.door.HTTPAddr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "item-18")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &response{resp, content}
}

func loginJSON(email, password string) string {
	return fmt.Sprintf(`{"email": %q, "password": %q}`, email, password)
}

// Item 18: ten wrong passwords delay the next, are told as an alert, and are on record; the user gets in from elsewhere.
func TestItem18TenWrongPasswords(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	victim, owner := w.human(t, person.Developer, false), w.human(t, person.Owner, true)
	attacker, elsewhere := w.from(t, "127.0.0.66", nil), w.from(t, "127.0.1.1", nil)
	var statuses []int
	for range 10 {
		resp := w.post(t, attacker, "/v1/sessions:login", loginJSON(victim.email, "wrong"))
		statuses = append(statuses, resp.StatusCode)
		if after := resp.Header.Get("Retry-After"); (resp.StatusCode == http.StatusTooManyRequests) != (after != "") {
			t.Errorf("status %d with Retry-After %q", resp.StatusCode, after)
		}
		w.advance(time.Millisecond)
	}
	// Five were compared; the fifth began a delay of a second.
	if want := "[401 401 401 401 401 429 429 429 429 429]"; fmt.Sprint(statuses) != want {
		t.Errorf("statuses %v, want %s", statuses, want)
	}
	if resp := w.post(t, attacker, "/v1/sessions:login", loginJSON(victim.email, victim.password)); resp.problem(t).Reason != "LOGIN_DELAYED" {
		t.Errorf("the right password during the delay: %s", resp.body)
	}
	if resp := w.post(t, elsewhere, "/v1/sessions:login", loginJSON(victim.email, victim.password)); resp.StatusCode != http.StatusOK {
		t.Errorf("the victim from another network: %d %s", resp.StatusCode, resp.body)
	}
	w.advance(2 * time.Second)
	for i, want := range []int{401, 429} { // the sixth wrong one, and a delay of two seconds
		if resp := w.post(t, attacker, "/v1/sessions:login", loginJSON(victim.email, "wrong")); resp.StatusCode != want {
			t.Errorf("after the delay, %d: %d", i, resp.StatusCode)
		}
	}
	w.advance(2100 * time.Millisecond)
	if resp := w.post(t, attacker, "/v1/sessions:login", loginJSON(victim.email, victim.password)); resp.StatusCode != http.StatusOK {
		t.Errorf("never locked: %d %s", resp.StatusCode, resp.body)
	}
	w.attemptsOf(t, w.login(t, owner), victim)
	w.stopped()
	w.alerted(t, victim)
}

// attemptsOf checks the list of attempts of TestItem18TenWrongPasswords.
func (w *world) attemptsOf(t *testing.T, token string, victim human) {
	t.Helper()
	var all []*ingestv1.LoginAttempt
	req := &ingestv1.ListLoginAttemptsRequest{UserId: victim.id.String(), PageSize: 4}
	for {
		page, err := w.users().ListLoginAttempts(as(t, token), req)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.GetAttempts()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	reasons := map[string]int{}
	for _, a := range all {
		reasons[a.GetOutcome()+" "+a.GetReason()]++
		if a.GetAddress() != "127.0.0.66" && a.GetAddress() != "127.0.1.1" || a.GetUserAgent() != "item-18" || a.GetMethod() != "password" || a.GetTime() == nil {
			t.Errorf("an attempt without its facts: %v", a)
		}
	}
	if len(all) != 15 || reasons["refused LOGIN_FAILED"] != 6 || reasons["refused LOGIN_DELAYED"] != 7 || reasons["success "] != 2 {
		t.Errorf("%d attempts: %v", len(all), reasons)
	}
	filtered, err := w.users().ListLoginAttempts(as(t, token), &ingestv1.ListLoginAttemptsRequest{UserId: victim.id.String(), Outcome: "success", StartTime: all[len(all)-1].GetTime(), EndTime: all[0].GetTime()})
	if err != nil || len(filtered.GetAttempts()) != 1 { // the last success is at the end, which does not count
		t.Errorf("%v, %v", filtered, err)
	}
	for _, bad := range []*ingestv1.ListLoginAttemptsRequest{{UserId: "x"}, {Outcome: "maybe"}, {PageSize: -1}, {PageToken: "x"}} {
		if _, err := w.users().ListLoginAttempts(as(t, token), bad); reasonOf(err) != "REQUEST_INVALID" {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// alerted checks that the tenant was told once.
func (w *world) alerted(t *testing.T, victim human) {
	t.Helper()
	var found []*ingestv1.FailedLogins
	for _, payload := range w.payloads(t, "LoginsFailed") {
		parcel := &ingestv1.FailedLoginsParcel{}
		if err := proto.Unmarshal(payload, parcel); err != nil {
			t.Fatal(err)
		}
		found = append(found, parcel.GetAccounts()...)
	}
	if len(found) != 1 || found[0].GetUserId() != victim.id.String() || found[0].GetTries() != 10 || found[0].GetNetwork() != "127.0.0.0/24" {
		t.Errorf("alerts: %v", found)
	}
}

// payloads are the parcels of an event, also once the service has stopped.
func (w *world) payloads(t testing.TB, event string) [][]byte {
	t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), string(w.db.Config.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // read only
	rows, err := conn.Query(t.Context(), "select payload from parcels where subject like 'onlinesms.ingest.v1."+event+".%'")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Item 18: of fifty tries at the same moment five are compared.
func TestItem18RaceOfFifty(t *testing.T) {
	w := newWorld(t)
	target := person.Target{Account: [16]byte{1}, Network: netip.MustParsePrefix("192.0.2.0/24"), Kind: "password"}
	now := w.now().Truncate(time.Microsecond)
	var compared atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			tally, err := w.people.store.CountTry(t.Context(), target, now)
			if err != nil {
				t.Error(err)
			}
			if tally.Wait == 0 {
				compared.Add(1)
			}
		})
	}
	all.Wait()
	tally, err := w.people.store.CountTry(t.Context(), target, now)
	if err != nil || compared.Load() != 5 || tally.Tries != 51 || tally.Failures != 5 || tally.Wait != time.Second {
		t.Errorf("%d compared, then %+v, %v", compared.Load(), tally, err)
	}
}

// broken fails to write attempts down, as a transaction that is rolled back does.
type broken struct{ *store.People }

func (broken) RecordAttempt(context.Context, *person.Attempt, *person.Opening) error {
	return errors.New("rolled back")
}

// Item 18: the count of a login whose transaction is rolled back stays, and the answer tells nothing.
func TestItem18RolledBackLogin(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	login := *w.people.login
	login.Store = broken{w.people.store}
	from := person.Origin{Address: netip.MustParseAddr("192.0.2.7")}
	for range 3 {
		for _, password := range []string{"wrong", h.password} {
			if _, err := login.Password(t.Context(), person.Credentials{Email: h.email, Password: password}, from); err == nil || reasonOf(err) != "" {
				t.Errorf("%v", err)
			}
		}
	}
	if failures, tries := w.failures(t, "192.0.2.0/24"); failures != 5 || tries != 6 {
		t.Errorf("%d failures, %d tries", failures, tries)
	}
}

func (w *world) failures(t testing.TB, network string) (failures, tries int) {
	t.Helper()
	err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT coalesce(sum(failures), 0), coalesce(sum(tries), 0) FROM login_failures WHERE network = $1",
		netip.MustParsePrefix(network)).Scan(&failures, &tries)
	if err != nil {
		t.Fatal(err)
	}
	return failures, tries
}

// victimEnv tells the process that TestItem18KilledMidLogin starts what to do.
const victimEnv = "ONLINESMS_TEST_KILLED_LOGIN"

// dying is a vault under which the process is killed as soon as a try is counted: its store counts and then kills.
type dying struct{ *store.People }

func (d dying) CountTry(ctx context.Context, t person.Target, now time.Time) (person.Tally, error) {
	if _, err := d.People.CountTry(ctx, t, now); err != nil {
		return person.Tally{}, err
	}
	return person.Tally{}, syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// fixedIndex is a vault that knows the index of one address.
type fixedIndex struct{}

func (fixedIndex) Hash(string, uuid.UUID, string) ([16]byte, error) { return [16]byte{18}, nil }
func (fixedIndex) SealLasting(context.Context, uuid.UUID, uuid.UUID, []byte) ([]byte, error) {
	return nil, errors.New("not asked for")
}
func (fixedIndex) OpenLasting(context.Context, uuid.UUID, uuid.UUID, []byte) ([]byte, error) {
	return nil, errors.New("not asked for")
}

// Item 18: a process killed (SIGKILL) in the middle of a login has counted the try.
func TestItem18KilledMidLogin(t *testing.T) {
	if urls := os.Getenv(victimEnv); urls != "" {
		logInAndDie(t, urls)
		return
	}
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestItem18KilledMidLogin$")
		cmd.Env = append(os.Environ(), victimEnv+"="+strings.Join([]string{string(w.db.Config.URL), string(w.db.Config.TenantURL), w.db.Config.TLS}, "\n"))
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the login was not killed: %v\n%s", err, out)
		}
		if failures, _ := w.failures(t, "198.51.100.0/24"); failures != n {
			t.Errorf("%d failures after %d killed logins", failures, n)
		}
	}
}

func logInAndDie(t *testing.T, urls string) {
	at := strings.Split(urls, "\n")
	db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.Ref(at[0]), TenantURL: secret.Ref(at[1]), TLS: at[2]})
	if err != nil {
		t.Fatal(err)
	}
	login := person.Login{
		Store: dying{store.NewPeople(store.NewStore(db, nil, time.Now))}, Vault: fixedIndex{}, Hasher: person.NewHasher(person.StandardCost), Now: time.Now,
	}
	_, err = login.Password(t.Context(), person.Credentials{Email: "x@people.example", Password: "x"}, person.Origin{Address: netip.MustParseAddr("198.51.100.1")})
	t.Fatalf("still alive: %v", err)
}

// crashing loses all connections to the database once a try is counted.
type crashing struct {
	*store.People
	crash func()
}

func (c crashing) CountTry(ctx context.Context, t person.Target, now time.Time) (person.Tally, error) {
	tally, err := c.People.CountTry(ctx, t, now)
	c.crash()
	return tally, err
}

// Item 18: all connections of the pool die in the middle of a login; what was counted stays, and the next login works.
func TestItem18PoolCrash(t *testing.T) {
	w := newWorld(t)
	h := w.human(t, person.Developer, false)
	admin, err := pgx.Connect(t.Context(), w.db.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the test is over
	login, killed := *w.people.login, 0
	login.Store = crashing{w.people.store, func() {
		err := admin.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&killed)
		if err != nil {
			t.Error(err)
		}
	}}
	from := person.Origin{Address: netip.MustParseAddr("127.0.2.1")}
	if _, err := login.Password(w.recorded(t), person.Credentials{Email: h.email, Password: "wrong"}, from); err == nil || killed == 0 {
		t.Errorf("%v, %d connections killed", err, killed)
	}
	eventually(t, "the count to be read", func() bool {
		var failures int
		err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT sum(failures) FROM login_failures WHERE network = '127.0.2.0/24'").Scan(&failures)
		return err == nil && failures == 1
	})
	client := w.from(t, "127.0.2.1", nil)
	eventually(t, "a login to work again", func() bool {
		return w.post(t, client, "/v1/sessions:login", loginJSON(h.email, h.password)).StatusCode == http.StatusOK
	})
}
