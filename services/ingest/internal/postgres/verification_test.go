package postgres_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	ingestpostgres "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// sessions is the verification room over a fresh database, with a clock of its own and everything else in memory.
type sessions struct {
	*verification.Service
	db        *postgrestest.Database
	store     *ingestpostgres.Verifications
	peppers   *countingPeppers
	phone     *phone
	templates templates
	mu        sync.Mutex
	now       time.Time
}

func newSessions(t testing.TB, change ...func(*verification.Config)) *sessions {
	w := &sessions{
		db: postgrestest.New(t, "ingest", outbox.Source, ingestpostgres.Source), peppers: &countingPeppers{},
		phone: &phone{codes: map[string]string{}}, now: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
	}
	w.store = ingestpostgres.NewVerifications(w.db.DB)
	cfg := verification.Config{
		Store: w.store, Vault: plainVault{}, Accepter: w.phone, Templates: &w.templates, Peppers: w.peppers, Random: rand.Reader, Now: w.clock,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	w.Service = verification.New(cfg)
	return w
}

func (w *sessions) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *sessions) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// countingPeppers counts what is compared.
type countingPeppers struct {
	compared atomic.Int64
	before   func() // called before each comparison, if set
}

func (p *countingPeppers) Hash(secret string) ([]byte, int16) {
	h := hmac.New(sha256.New, []byte("pepper"))
	h.Write([]byte(secret))
	return h.Sum(nil), 1
}

func (p *countingPeppers) Matches(secret string, mac []byte, version int16) bool {
	p.compared.Add(1)
	if p.before != nil {
		p.before()
	}
	again, current := p.Hash(secret)
	return hmac.Equal(again, mac) && version == current
}

// plainVault seals nothing, so that tests see what is stored; keyed hashes are hashes.
type plainVault struct{}

func (plainVault) Prepare(context.Context, string, uuid.UUID) error { return nil }

func (plainVault) Seal(_ context.Context, at message.Place, m *message.Message) ([]byte, []byte, error) {
	return append(at.ID[:], m.To...), nil, nil
}

func (plainVault) Open(_ context.Context, at message.Place, sealed []byte) (string, string, error) {
	to, ok := bytes.CutPrefix(sealed, at.ID[:])
	if !ok {
		return "", "", errors.New("sealed for another place")
	}
	return string(to), "", nil
}

func (plainVault) Hash(env string, tenant uuid.UUID, value string) (h [16]byte, err error) {
	sum := sha256.Sum256([]byte(env + tenant.String() + value))
	return [16]byte(sum[:16]), nil
}

// phone takes messages and remembers the last code of each number.
type phone struct {
	mu       sync.Mutex
	codes    map[string]string
	requests []message.Request
	fail     error
}

func (p *phone) Accept(_ context.Context, r message.Request) (message.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return message.Answer{}, p.fail
	}
	p.requests = append(p.requests, r)
	p.codes[r.Drafts[0].To] = r.Drafts[0].Variables[0].Value
	return message.Answer{Receipts: []message.Receipt{{ID: uuid.Must(uuid.NewV7()), State: message.StateAccepted}}}, nil
}

func (p *phone) code(to string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.codes[to]
}

// templates are all transactional unless told otherwise.
type templates struct {
	other bool
	away  error
}

func (r *templates) Transactional(context.Context, uuid.UUID, string) (bool, error) {
	return !r.other, r.away
}

const person = "+919876543210"

func ask(to string) verification.Request {
	return verification.Request{
		Tenant: tenantA, Env: "live", To: to, EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011",
		Caller: netip.MustParseAddr("192.0.2.1"),
	}
}

func (w *sessions) start(t testing.TB, r verification.Request) verification.View {
	t.Helper()
	view, err := w.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// want checks the reason of an error, and how long to wait.
func want(t testing.TB, err error, reason string, wait time.Duration) {
	t.Helper()
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Reason != reason {
		t.Errorf("%v, want %s", err, reason)
	} else if wait != 0 && e.Metadata["retry_after"] != wait.String() {
		t.Errorf("%s: retry after %s, want %v", reason, e.Metadata["retry_after"], wait)
	}
}

// wrong is a code that is not the right one.
func wrong(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

// Item 22: by default a code is right at 4:59 and expired at 5:01.
func TestItem22ExpiresAfterItsTime(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		want  string
	}{{4*time.Minute + 59*time.Second, ""}, {5 * time.Minute, "OTP_EXPIRED"}, {5*time.Minute + time.Second, "OTP_EXPIRED"}} {
		w := newSessions(t)
		s := w.start(t, ask(person))
		w.pass(test.after)
		view, valid, err := w.Check(t.Context(), s.Place, w.phone.code(person), "login")
		if test.want != "" {
			want(t, err, test.want, 0)
		} else if err != nil || !valid || view.Status != verification.StatusVerified {
			t.Errorf("after %v: %v, %v, %v", test.after, valid, view.Status, err)
		}
	}
}

// Item 22: of 100 guesses at once three are compared, and then even the right code fails.
func TestItem22HundredGuessesAtOnce(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	code := w.phone.code(person)
	var counted, exhausted atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, valid, err := w.Check(t.Context(), s.Place, wrong(code), "")
			e, ok := errors.AsType[*errs.Error](err)
			switch {
			case err == nil && !valid:
				counted.Add(1)
			case ok && e.Reason == "OTP_CHECKS_EXHAUSTED":
				exhausted.Add(1)
			default:
				t.Errorf("%v, %v", valid, err)
			}
		})
	}
	wg.Wait()
	if n := w.peppers.compared.Load(); n != 3 || counted.Load() != 3 || exhausted.Load() != 97 {
		t.Errorf("%d compared, %d counted, %d refused", n, counted.Load(), exhausted.Load())
	}
	_, _, err := w.Check(t.Context(), s.Place, code, "")
	want(t, err, "OTP_CHECKS_EXHAUSTED", 0)
	if view, err := w.Get(t.Context(), s.Place); err != nil || view.Status != verification.StatusFailed {
		t.Errorf("%v, %v", view.Status, err)
	}
	if w.peppers.compared.Load() != 3 {
		t.Error("the right code was compared after three wrong ones")
	}
}

// Item 22: success uses the session up, also when three right codes come at once.
func TestItem22SuccessConsumes(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	code := w.phone.code(person)
	var counted sync.WaitGroup // all three are counted before the first is compared
	counted.Add(3)
	w.peppers.before = func() {
		counted.Done()
		counted.Wait()
	}
	var valid atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, ok, err := w.Check(t.Context(), s.Place, code, "")
			if ok {
				valid.Add(1)
			} else {
				want(t, err, "OTP_USED", 0)
			}
		})
	}
	wg.Wait()
	if valid.Load() != 1 {
		t.Errorf("%d of three were right", valid.Load())
	}
	_, _, err := w.Check(t.Context(), s.Place, code, "")
	want(t, err, "OTP_USED", 0)
	_, err = w.Cancel(t.Context(), s.Place)
	want(t, err, "OTP_USED", 0)
}

// Item 22: a code is of its session, its number and its purpose.
func TestItem22BoundToSessionNumberAndPurpose(t *testing.T) {
	w := newSessions(t)
	first, other := w.start(t, ask(person)), w.start(t, ask("9812345678"))
	pay := ask(person)
	pay.Purpose = "pay 500"
	paying := w.start(t, pay)
	if first.ID == paying.ID {
		t.Fatal("one session for two purposes")
	}
	code := w.phone.code("+919812345678")
	for name, at := range map[string]message.Place{"another number's": first.Place, "another purpose's": paying.Place} {
		if _, valid, err := w.Check(t.Context(), at, code, ""); valid || err != nil {
			t.Errorf("the code in %s session: %v, %v", name, valid, err)
		}
	}
	view, valid, err := w.Check(t.Context(), other.Place, code, "pay 500")
	if valid || err != nil || view.Checks != 1 {
		t.Errorf("with another purpose: %v, %v, %d checks", valid, err, view.Checks)
	}
	if _, valid, err := w.Check(t.Context(), other.Place, code, "login"); !valid || err != nil {
		t.Errorf("where it belongs: %v, %v", valid, err)
	}
	// The same number's next session does not take it either.
	again := w.start(t, ask("9812345678"))
	if _, valid, err := w.Check(t.Context(), again.Place, code, ""); valid || err != nil || again.ID == other.ID {
		t.Errorf("in the next session: %v, %v", valid, err)
	}
}

func TestWrongThenRight(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	code := w.phone.code(person)
	if s.To != "+9198XXXXXX10" || s.Status != verification.StatusPending || s.Checks != 0 || s.Sends != 1 || len(code) != 6 {
		t.Errorf("%+v", s)
	}
	view, valid, err := w.Check(t.Context(), s.Place, wrong(code), "")
	if valid || err != nil || view.Checks != 1 || view.Status != verification.StatusPending {
		t.Errorf("%v, %v, %d, %s", valid, err, view.Checks, view.Status)
	}
	_, _, err = w.Check(t.Context(), s.Place, "12", "")
	want(t, err, "REQUEST_INVALID", 0)
	view, valid, err = w.Check(t.Context(), s.Place, code[:3]+" "+code[3:], "")
	if !valid || err != nil || view.Checks != 2 || view.Status != verification.StatusVerified || view.To != "+9198XXXXXX10" {
		t.Errorf("%v, %v, %d, %s", valid, err, view.Checks, view.Status)
	}
}

func TestCancel(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	for range 2 {
		if view, err := w.Cancel(t.Context(), s.Place); err != nil || view.Status != verification.StatusCancelled {
			t.Errorf("%v, %v", view.Status, err)
		}
	}
	_, _, err := w.Check(t.Context(), s.Place, w.phone.code(person), "")
	want(t, err, "OTP_CANCELLED", 0)
	if next := w.start(t, ask(person)); next.ID == s.ID {
		t.Error("a cancelled session goes on")
	}
}

// Item 23: the next codes of a session, their delays and their number.
func TestItem23Resends(t *testing.T) {
	w := newSessions(t, func(c *verification.Config) { c.Limits.NumberHour = verification.Limit{Burst: 100, Period: time.Hour} })
	r := ask(person)
	ten := 10 * time.Minute
	r.Validity = &ten
	s := w.start(t, r)
	for i, delay := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
		before := w.phone.code(person)
		w.pass(delay - time.Second)
		_, err := w.Start(t.Context(), r)
		want(t, err, "OTP_RESEND_TOO_SOON", time.Second)
		if e, _ := errors.AsType[*errs.Error](err); e.Metadata["verification_id"] != s.ID.String() {
			t.Errorf("the refusal does not name its session: %v", e.Metadata)
		}
		w.pass(time.Second)
		next := w.start(t, r)
		if next.ID != s.ID || next.Sends != i+2 || !next.Expire.Equal(w.clock().Add(ten)) || next.Message == s.Message {
			t.Errorf("send %d: %+v", i+2, next)
		}
		if code := w.phone.code(person); code == before { // once in a million
			t.Errorf("send %d repeats the code", i+2)
		} else if i == 0 {
			if view, valid, err := w.Check(t.Context(), s.Place, before, ""); valid || err != nil || view.Checks != 1 {
				t.Errorf("the replaced code: %v, %v", valid, err)
			}
		}
	}
	w.pass(5 * time.Minute)
	_, err := w.Start(t.Context(), r)
	want(t, err, "OTP_RESEND_LIMIT", 5*time.Minute)
	if view, valid, err := w.Check(t.Context(), s.Place, w.phone.code(person), ""); !valid || err != nil || view.Checks != 2 {
		t.Errorf("the last code: %v, %v", valid, err)
	}
}

// Item 23: codes to one number, by one address, of one tenant; each refusal says when to come back.
func TestItem23Caps(t *testing.T) {
	w := newSessions(t, func(c *verification.Config) {
		c.Limits.Tenant = verification.Limit{Burst: 20, Period: time.Minute}
		c.Limits.Address = verification.Limit{Burst: 3, Period: time.Hour}
	})
	for i := range 5 { // cancelled between, so that only the number's limits count
		s := w.start(t, ask(person))
		if _, err := w.Cancel(t.Context(), s.Place); err != nil {
			t.Fatal(i, err)
		}
	}
	_, err := w.Start(t.Context(), ask(person))
	want(t, err, "OTP_NUMBER_LIMIT", 12*time.Minute)
	w.pass(12 * time.Minute)
	if s := w.start(t, ask(person)); s.Sends != 1 {
		t.Errorf("%+v", s)
	} else if _, err := w.Cancel(t.Context(), s.Place); err != nil {
		t.Fatal(err)
	}
	_, err = w.Start(t.Context(), ask(person))
	want(t, err, "OTP_NUMBER_LIMIT", 12*time.Minute)
	number := func(i int) string { return "98765432" + string(rune('0'+i/10)) + string(rune('0'+i%10)) }
	for i := range 4 {
		r := ask(number(20 + i))
		r.Address = "2001:db8:7:" + string(rune('1'+i)) + "::1" // one subscriber's network
		if _, err = w.Start(t.Context(), r); i < 3 && err != nil {
			t.Fatal(err)
		}
	}
	want(t, err, "OTP_ADDRESS_LIMIT", 20*time.Minute)
	for i := range 17 {
		if _, err = w.Start(t.Context(), ask(number(30+i))); i < 16 && err != nil {
			t.Fatal(i, err)
		}
	}
	want(t, err, "OTP_TENANT_LIMIT", 3*time.Second)
	b := ask(person)
	b.Tenant = tenantB
	w.start(t, b) // another tenant's limits are his own
	b.Env = "test"
	w.start(t, b)
	w.pass(24*time.Hour + time.Minute)
	w.start(t, ask(person))
}

// The limits hold for calls at once: of 40 for one number five get through, and one session is open.
func TestItem23CapsUnderConcurrency(t *testing.T) {
	w := newSessions(t)
	var sent atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		r := ask(person)
		r.Purpose = "purpose " + string(rune('A'+i))
		wg.Go(func() {
			if _, err := w.Start(t.Context(), r); err == nil {
				sent.Add(1)
			} else {
				want(t, err, "OTP_NUMBER_LIMIT", 0)
			}
		})
	}
	wg.Wait()
	if sent.Load() != 5 {
		t.Errorf("%d codes sent", sent.Load())
	}
	w.pass(24 * time.Hour)
	var first atomic.Int64
	for range 5 {
		wg.Go(func() {
			if _, err := w.Start(t.Context(), ask("9812345678")); err == nil {
				first.Add(1)
			} else {
				want(t, err, "OTP_RESEND_TOO_SOON", 0)
			}
		})
	}
	wg.Wait()
	if first.Load() != 1 {
		t.Errorf("%d calls at once sent a code", first.Load())
	}
}

// Item 12: no code, no number and no address is in any table.
func TestItem12NothingRecoverableInTheTables(t *testing.T) {
	w := newSessions(t)
	r := ask(person)
	r.CodeLength, r.Address = 10, "203.0.113.77"
	w.start(t, r)
	code := w.phone.code(person)
	var dump strings.Builder
	for _, table := range []string{"verifications", "verification_limits", "verification_ranges", "outbox", "parcels", "accepted_parcels", "message_references"} {
		rows, err := w.db.DB.Worker.Query(t.Context(), "SELECT x::text FROM "+table+" x")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var row string
			if err := rows.Scan(&row); err != nil {
				t.Fatal(err)
			}
			dump.WriteString(row + "\n")
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
	}
	if !strings.Contains(dump.String(), "login") {
		t.Fatal("the dump holds no session")
	}
	for _, secret := range []string{code, hex.EncodeToString([]byte(code)), "203.0.113.77", hex.EncodeToString([]byte("203.0.113.77")), "9876543210"} {
		if strings.Contains(dump.String(), secret) {
			t.Errorf("the dump holds %s…", secret[:2])
		}
	}
	// Without the pepper, trying all codes finds none: the hash of neither the code nor what it is bound to is stored.
	sum := sha256.Sum256([]byte(code))
	var stored []byte
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT code_mac FROM verifications").Scan(&stored); err != nil || bytes.Equal(stored, sum[:]) || len(stored) != 32 {
		t.Errorf("%d bytes, %v", len(stored), err)
	}
}

// Item 24: another tenant's session, or the other environment's, is not there.
func TestItem24SessionsOfOthers(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	for name, at := range map[string]message.Place{
		"another tenant":        {Env: "live", Tenant: tenantB, ID: s.ID},
		"the other environment": {Env: "test", Tenant: tenantA, ID: s.ID},
		"an unknown id":         {Env: "live", Tenant: tenantA, ID: uuid.New()},
	} {
		_, err := w.Get(t.Context(), at)
		want(t, err, "VERIFICATION_NOT_FOUND", 0)
		_, _, err = w.Check(t.Context(), at, w.phone.code(person), "")
		want(t, err, "VERIFICATION_NOT_FOUND", 0)
		_, err = w.Cancel(t.Context(), at)
		want(t, err, "VERIFICATION_NOT_FOUND", 0)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	if view, err := w.Get(t.Context(), s.Place); err != nil || view.Checks != 0 || view.Status != verification.StatusPending {
		t.Errorf("%+v, %v", view, err)
	}
}

func TestVerificationTenancy(t *testing.T) {
	postgrestest.CheckTenancy(t, newSessions(t).db)
}

func TestTemplateMustBeTransactional(t *testing.T) {
	w := newSessions(t)
	w.templates.other = true
	_, err := w.Start(t.Context(), ask(person))
	want(t, err, "TEMPLATE_TYPE_MISMATCH", 0)
	w.templates = templates{away: errs.E(errs.Unavailable, "", "away", nil)}
	_, err = w.Start(t.Context(), ask(person))
	want(t, err, "SERVICE_UNAVAILABLE", 0)
	if len(w.phone.requests) != 0 {
		t.Error("a code was sent")
	}
}

// The message has the otp lane, the code as its first variable, and less time than the code.
func TestTheMessageOfACode(t *testing.T) {
	w := newSessions(t)
	r := ask(person)
	r.Variables = []message.Variable{{Value: "ABC"}}
	s := w.start(t, r)
	sent := w.phone.requests[0]
	d := sent.Drafts[0]
	if sent.Lane != message.LaneOTP || !sent.Single || sent.Env != "live" || sent.Tenant != tenantA || d.Text != "" ||
		len(d.Variables) != 2 || d.Variables[1].Value != "ABC" || *d.Validity > 5*time.Minute || *d.Validity < 4*time.Minute ||
		d.ClientReference != "verification/"+s.ID.String() || !verification.Carries(d.ClientReference) {
		t.Errorf("%+v", sent)
	}
	if view, err := w.Get(t.Context(), s.Place); err != nil || view.Message != s.Message || view.Message == uuid.Nil {
		t.Errorf("%v, %v", view.Message, err)
	}
}

// A send that certainly failed may be repeated at once and is not paid for twice; one in doubt may not.
func TestFailedSends(t *testing.T) {
	w := newSessions(t, func(c *verification.Config) { c.Limits.NumberHour = verification.Limit{Burst: 1, Period: time.Hour} })
	w.phone.fail = errs.E(errs.Exhausted, "OVERLOADED", "", nil)
	for range 2 {
		_, err := w.Start(t.Context(), ask(person))
		want(t, err, "OVERLOADED", 0)
	}
	w.phone.fail = nil
	s := w.start(t, ask(person))
	if s.Sends != 1 || s.Unsent {
		t.Errorf("%+v", s)
	}
	if _, valid, err := w.Check(t.Context(), s.Place, w.phone.code(person), ""); !valid || err != nil {
		t.Error(valid, err)
	}
	w.phone.fail = errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "", nil)
	_, err := w.Start(t.Context(), ask("9812345678"))
	want(t, err, "SERVICE_UNAVAILABLE", 0)
	w.phone.fail = nil
	_, err = w.Start(t.Context(), ask("9812345678"))
	want(t, err, "OTP_RESEND_TOO_SOON", 30*time.Second)
}

// Item 23: a range that verifies too few codes is noted, or refused where the budget is enforced; it recovers.
func TestItem23Pumping(t *testing.T) {
	number := func(i int) string {
		return "9876541" + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
	}
	for _, enforce := range []bool{false, true} {
		w := newSessions(t, func(c *verification.Config) { c.Limits.Budget.Enforce = enforce })
		for i := range 20 {
			if s := w.start(t, ask(number(i))); s.Suspected {
				t.Fatalf("send %d is suspected", i)
			}
		}
		view, err := w.Start(t.Context(), ask(number(20)))
		if enforce {
			want(t, err, "OTP_PUMPING_SUSPECTED", time.Hour)
		} else if err != nil || !view.Suspected {
			t.Errorf("%v, %v", view.Suspected, err)
		}
		if other := w.start(t, ask("9912345678")); other.Suspected {
			t.Error("another range is suspected")
		}
		w.pass(7 * time.Hour)
		if s := w.start(t, ask(number(30))); s.Suspected {
			t.Error("still suspected after the window")
		}
	}
	// Where codes are verified nothing is suspected.
	w := newSessions(t, func(c *verification.Config) { c.Limits.Budget.Enforce = true })
	for i := range 60 {
		s := w.start(t, ask(number(i)))
		if i%2 == 0 {
			if _, valid, err := w.Check(t.Context(), s.Place, w.phone.code("+91"+number(i)), ""); !valid || err != nil {
				t.Fatal(i, valid, err)
			}
		}
	}
}

func TestSandbox(t *testing.T) {
	w := newSessions(t)
	try := func(to string) (verification.View, error) {
		r := ask(to)
		r.Env = "test"
		return w.Start(t.Context(), r)
	}
	s, err := try("9899955501")
	if err != nil {
		t.Fatal(err)
	}
	if _, valid, err := w.Check(t.Context(), s.Place, "000000", ""); !valid || err != nil {
		t.Errorf("the fixed code: %v, %v", valid, err)
	}
	for range 8 { // no limit by number
		s, err := try("9899955501")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Cancel(t.Context(), s.Place); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = try("9899955590"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, valid, err := w.Check(t.Context(), s.Place, "000000", ""); valid || err != nil {
			t.Errorf("always wrong: %v, %v", valid, err)
		}
	}
	if s, err = try("9899955591"); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Check(t.Context(), s.Place, "000000", "")
	want(t, err, "OTP_EXPIRED", 0)
	_, err = try("9899955592")
	want(t, err, "OTP_NUMBER_LIMIT", time.Hour)
	_, err = try("9899955593")
	want(t, err, "OTP_PUMPING_SUSPECTED", time.Hour)
	// In env live the number is one like any other.
	live := w.start(t, ask("9899955590"))
	if w.phone.code("+919899955590") == "000000" { // once in a million
		t.Error("a fixed code in env live")
	}
	if _, valid, err := w.Check(t.Context(), live.Place, w.phone.code("+919899955590"), ""); !valid || err != nil {
		t.Error(valid, err)
	}
}

func TestPurgeVerifications(t *testing.T) {
	w := newSessions(t)
	s := w.start(t, ask(person))
	count := func(table string) (n int) {
		if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.pass(24*time.Hour + 4*time.Minute)
	if _, err := w.store.PurgeVerifications(t.Context(), w.clock(), 100); err != nil || count("verifications") != 1 {
		t.Fatal("a session went before a day after its end", err)
	}
	w.pass(2 * time.Minute)
	if _, err := w.store.PurgeVerifications(t.Context(), w.clock(), 100); err != nil || count("verifications") != 0 || count("verification_limits") != 0 || count("verification_ranges") != 0 {
		t.Errorf("left: %d, %d, %d; %v", count("verifications"), count("verification_limits"), count("verification_ranges"), err)
	}
	_, err := w.Get(t.Context(), s.Place)
	want(t, err, "VERIFICATION_NOT_FOUND", 0)
}

func BenchmarkStart(b *testing.B) {
	w := newSessions(b, func(c *verification.Config) {
		c.Limits.Tenant, c.Limits.Caller = verification.Limit{Burst: 1 << 30, Period: time.Minute}, verification.Limit{Burst: 1 << 30, Period: time.Minute}
	})
	var n atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.Start(b.Context(), ask(numberAt(n.Add(1)))); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	w := newSessions(b, func(c *verification.Config) {
		c.Limits.Tenant, c.Limits.Caller = verification.Limit{Burst: 1 << 30, Period: time.Minute}, verification.Limit{Burst: 1 << 30, Period: time.Minute}
	})
	views := make([]verification.View, 500)
	for i := range views {
		views[i] = w.start(b, ask(numberAt(int64(i))))
	}
	b.ResetTimer()
	for i := range b.N {
		if i%1500 == 0 { // three checks each
			b.StopTimer()
			if _, err := w.db.DB.Worker.Exec(b.Context(), "UPDATE verifications SET checks = 0"); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if _, _, err := w.Check(b.Context(), views[i%500].Place, "0000", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// numberAt is a number of its own for each i up to a billion, in ranges that change with i.
func numberAt(i int64) string {
	digits := []byte("9000000000")
	for at := 1; i > 0; at, i = at+1, i/10 {
		digits[at] = '0' + byte(i%10)
	}
	return string(digits)
}
