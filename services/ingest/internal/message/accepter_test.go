package message_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

var (
	tenantA = uuid.MustParse("01930000-0000-7000-8000-00000000000a")
	tenantB = uuid.MustParse("01930000-0000-7000-8000-00000000000b")
)

type registry func(templateID string) (bool, error)

func (r registry) Transactional(_ context.Context, _ uuid.UUID, templateID string) (bool, error) {
	return r(templateID)
}

// world is an accepter over memory, with what a test may turn.
type world struct {
	*message.Accepter
	store   *messagetest.Store
	vault   *messagetest.Vault
	backlog atomic.Int64
}

func newWorld() *world {
	w := &world{store: &messagetest.Store{Now: time.Now}, vault: &messagetest.Vault{}}
	transactional := registry(func(id string) (bool, error) { return strings.HasSuffix(id, "11"), nil })
	w.Accepter = message.NewAccepter(message.Config{
		Store: w.store, Vault: w.vault, Now: time.Now, IDs: message.NewIDs(time.Now, rand.Reader),
		Categories: message.NewCategories(transactional, time.Now),
		Backlog:    func() (int, time.Duration) { return int(w.backlog.Load()), 0 },
	})
	return w
}

func single(text string) message.Request {
	return message.Request{Tenant: tenantA, Env: "live", Single: true, Drafts: []message.Draft{{
		To: "9876543210", EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011", Text: text,
	}}}
}

func batch(n int) message.Request {
	r := single("x")
	r.Single = false
	for len(r.Drafts) < n {
		r.Drafts = append(r.Drafts, r.Drafts[0])
	}
	return r
}

func TestAcceptBatchCutsParcels(t *testing.T) {
	w := newWorld()
	answer, err := w.Accept(t.Context(), batch(1000))
	if err != nil {
		t.Fatal(err)
	}
	f := w.store.Flushes()[0]
	if len(answer.Receipts) != 1000 || f.Lane != "bulk" || len(f.Parcels) != 2 || len(f.Parcels[0].Entries) != 500 {
		t.Fatalf("%d receipts; %d parcels in lane %s", len(answer.Receipts), len(f.Parcels), f.Lane)
	}
	for i, r := range answer.Receipts {
		e := f.Parcels[i/500].Entries[i%500]
		if r.ID != e.ID || message.IndexOf(r.ID) != i%500 || message.ParcelOf(r.ID) != f.Parcels[i/500].ID {
			t.Fatalf("receipt %d has id %s", i, r.ID)
		}
	}
}

func TestAcceptCutsParcelsByBytes(t *testing.T) {
	w := newWorld()
	r := batch(200)
	for i := range r.Drafts {
		r.Drafts[i].Text = strings.Repeat("क", 2000) // 6,000 bytes
	}
	if _, err := w.Accept(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.store.Flushes()[0].Parcels {
		if n := len(p.Entries); n > 34 {
			t.Errorf("a parcel of %d messages of 6,000 bytes", n)
		}
	}
}

func TestAcceptRefusesAMalformedBatchWhole(t *testing.T) {
	w := newWorld()
	r := batch(3)
	r.Drafts[0].EntityID = "17"
	r.Drafts[2].Text = ""
	_, err := w.Accept(t.Context(), r)
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Invalid || e.Reason != "REQUEST_INVALID" {
		t.Fatal(err)
	}
	want := []string{"messages[0].entity_id ENTITY_ID_INVALID", "messages[2].text REQUIRED"}
	var got []string
	for _, v := range e.Violations {
		got = append(got, v.Field+" "+v.Reason)
	}
	if diff := cmp.Diff(want, got); diff != "" || w.store.Messages() != 0 {
		t.Errorf("%s; %d messages stored", diff, w.store.Messages())
	}
	for _, n := range []int{0, 1001} {
		r := batch(1)
		r.Drafts = make([]message.Draft, n)
		if _, err := w.Accept(t.Context(), r); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d messages: %v", n, err)
		}
	}
}

func TestAcceptGivesAHopelessItemAnID(t *testing.T) {
	w := newWorld()
	r := batch(3)
	r.Drafts[1].To = "1600112233"
	answer, err := w.Accept(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []message.State{message.StateAccepted, message.StateRefused, message.StateAccepted} {
		if got := answer.Receipts[i]; got.State != want || (want == message.StateRefused) != (len(got.Reasons) == 1) {
			t.Errorf("receipt %d: %+v", i, got)
		}
	}
	if w.store.Messages() != 3 {
		t.Errorf("%d messages stored, want all three", w.store.Messages())
	}
}

func TestLanes(t *testing.T) {
	down := errors.New("registry is away")
	for _, c := range []struct {
		registry registry
		want     string
	}{
		{func(string) (bool, error) { return true, nil }, "otp"},
		{func(string) (bool, error) { return false, nil }, "interactive"},
		{func(string) (bool, error) { return false, down }, "interactive"},
	} {
		categories := message.NewCategories(c.registry, time.Now)
		if got := categories.Lane(t.Context(), tenantA, "t"); got != c.want {
			t.Errorf("lane %s, want %s", got, c.want)
		}
	}
}

func TestCategoriesAreRemembered(t *testing.T) {
	clock, asked, fail := time.Now(), 0, false
	categories := message.NewCategories(registry(func(string) (bool, error) {
		asked++
		if fail {
			return false, errors.New("away")
		}
		return true, nil
	}), func() time.Time { return clock })
	step := func(ahead time.Duration, wantAsked int) {
		t.Helper()
		clock = clock.Add(ahead)
		if lane := categories.Lane(t.Context(), tenantA, "t"); lane != "otp" || asked != wantAsked {
			t.Errorf("lane %s after %d questions, want otp after %d", lane, asked, wantAsked)
		}
	}
	step(0, 1)
	step(59*time.Second, 1)
	fail = true
	step(2*time.Second, 2) // what was known is believed
	step(0, 2)
	fail = false
	step(2*time.Second, 3)
}

func TestIdempotency(t *testing.T) {
	w := newWorld()
	r := single("x")
	r.IdempotencyKey, r.Digest = "k", "d"
	first, err := w.Accept(t.Context(), r)
	if err != nil || first.Replay {
		t.Fatal(first, err)
	}
	again, err := w.Accept(t.Context(), r)
	if err != nil || !again.Replay || !cmp.Equal(again.Receipts, first.Receipts) {
		t.Errorf("replay: %+v, %v", again, err)
	}
	r.Digest = "other"
	if _, err := w.Accept(t.Context(), r); errs.KindOf(err) != errs.Exists {
		t.Errorf("another request: %v", err)
	}
	r.Tenant = tenantB
	if other, err := w.Accept(t.Context(), r); err != nil || other.Replay {
		t.Errorf("another tenant: %+v, %v", other, err)
	}
	if w.store.Messages() != 2 {
		t.Errorf("%d messages, want 2", w.store.Messages())
	}
}

func TestConcurrentRequestsWithOneKey(t *testing.T) {
	w := newWorld()
	r := single("x")
	r.IdempotencyKey, r.Digest = "k", "d"
	var wg sync.WaitGroup
	var originals atomic.Int32
	ids := sync.Map{}
	for range 50 {
		wg.Go(func() {
			answer, err := w.Accept(t.Context(), r)
			if err != nil {
				t.Error(err)
				return
			}
			ids.Store(answer.Receipts[0].ID, true)
			if !answer.Replay {
				originals.Add(1)
			}
		})
	}
	wg.Wait()
	n := 0
	ids.Range(func(_, _ any) bool { n++; return true })
	if n != 1 || originals.Load() != 1 || w.store.Messages() != 1 {
		t.Errorf("%d ids, %d originals, %d messages; want one of each", n, originals.Load(), w.store.Messages())
	}
}

func TestShedding(t *testing.T) {
	w := newWorld()
	interactive := single("x")
	interactive.Drafts[0].TemplateID = "1107160000000000022"
	for _, c := range []struct {
		parcels                int64
		bulk, interactive, otp bool // accepted
	}{
		{20000, true, true, true}, {20001, false, true, true}, {40001, false, false, true}, {80001, false, false, false},
	} {
		w.backlog.Store(c.parcels)
		for i, r := range []message.Request{batch(1), interactive, single("x")} {
			_, err := w.Accept(t.Context(), r)
			if want := []bool{c.bulk, c.interactive, c.otp}[i]; (err == nil) != want {
				t.Errorf("%d parcels behind, request %d: %v", c.parcels, i, err)
			} else if err != nil && errs.KindOf(err) != errs.Exhausted {
				t.Errorf("kind %v", errs.KindOf(err))
			}
		}
	}
}

func TestNothingIsAcceptedWithoutADataKey(t *testing.T) {
	w := newWorld()
	w.vault.Err = errs.E(errs.Unavailable, "", "the key's keeper is away", nil)
	if _, err := w.Accept(t.Context(), single("x")); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
	if w.store.Messages() != 0 {
		t.Error("something was stored")
	}
}

func TestStoreInMemory(t *testing.T) {
	s := &messagetest.Store{Now: time.Now}
	messagetest.RunStoreTests(t, s, time.Now, func(*testing.T) int { return s.Messages() })
}

func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld()
			w.store.Before = func(message.Flush) error { return errs.E(errs.Exists, "", "kept nowhere", nil) }
			r := batch(n)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = w.Accept(b.Context(), r)
			}
		})
	}
}
