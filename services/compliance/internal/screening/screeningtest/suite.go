package screeningtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Harness is a store under test with eyes on what it did.
type Harness struct {
	Store     screening.Store
	Outgoing  func() []Outgoing // published so far
	Decisions func(tenant uuid.UUID, message uuid.UUID) []screening.Decided
}

var now = time.Now().UTC().Truncate(time.Second)

// NewParcel makes an accepted parcel of n messages of a new tenant, in env live and lane bulk.
func NewParcel(n int) screening.Parcel {
	id := screening.Accepted(uuid.Must(uuid.NewV7()))
	p := screening.Parcel{ID: id, Tenant: uuid.New(), Correlation: uuid.New(), Env: "live", Lane: "bulk"}
	for i := range n {
		m := id
		m[14] |= byte(i >> 8)
		m[15] = byte(i)
		p.Messages = append(p.Messages, screening.Message{ID: m, EntityID: "1701158019811140068", Header: "ABCBNK",
			TemplateID: "1107160000000000011", Content: []byte("sealed"), RecipientIndex: []byte("0123456789abcdef"),
			Expire: now.Add(48 * time.Hour).UnixMicro()})
	}
	return p
}

// Judge gives every message of p the same decision.
func Judge(p screening.Parcel, d policy.Decision) screening.Screened {
	s := screening.Screened{Parcel: p, Pack: "2026-01-17", At: now}
	for _, m := range p.Messages {
		s.Verdicts = append(s.Verdicts, screening.Verdict{Decision: d, Round: m.Round, Category: policy.Service,
			ChainHash: make([]byte, 32)})
	}
	return s
}

// The three decisions.
var (
	Clear  = policy.Decision{Outcome: policy.Cleared}
	Refuse = policy.Decision{Outcome: policy.Refused, Reasons: []policy.Reason{policy.R(policy.HeaderNotFound, "a", "b"), policy.R(policy.EntityInactive)}}
)

// HoldUntil is a hold.
func HoldUntil(due time.Time) policy.Decision {
	return policy.Decision{Outcome: policy.Held, Due: due, Reasons: []policy.Reason{policy.R(policy.Scheduled)}}
}

// clearAll is a Screen that clears everything.
func clearAll(_ context.Context, parcels []screening.Parcel) (all []screening.Screened, err error) {
	for _, p := range parcels {
		all = append(all, Judge(p, Clear))
	}
	return all, nil
}

// RunStoreTests says what a screening.Store must do.
func RunStoreTests(t *testing.T, open func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"outcomes go out apart":        testOutcomes,
		"a parcel has its effect once": testOnce,
		"parts of one parcel together": testParts,
		"holds are released when due":  testRelease,
		"a failed release leaves all":  testFailedRelease,
		"what is left out is put off":  testPutOff,
		"releases are paced":           testPace,
		"tenants take turns":           testTurns,
		"a hold is released by one":    testRivals,
		"held again":                   testHeldAgain,
		"cleared parcels come back":    testCleared,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func record(t *testing.T, h Harness, screened ...screening.Screened) {
	t.Helper()
	if err := h.Store.Record(t.Context(), screened); err != nil {
		t.Fatal(err)
	}
}

func testOutcomes(t *testing.T, h Harness) {
	p := NewParcel(3)
	s := Judge(p, Clear)
	s.Verdicts[1].Decision, s.Verdicts[2].Decision = Refuse, HoldUntil(now.Add(time.Hour))
	record(t, h, s)
	want := []Outgoing{
		{Tenant: p.Tenant, Cause: p.ID, Env: "live", Lane: "bulk", Outcome: policy.Cleared,
			Messages: []OutgoingMessage{{ID: p.Messages[0].ID, Content: "sealed"}}},
		{Tenant: p.Tenant, Cause: p.ID, Env: "live", Lane: "bulk", Outcome: policy.Refused,
			Messages: []OutgoingMessage{{ID: p.Messages[1].ID, Codes: []string{policy.HeaderNotFound, policy.EntityInactive}}}},
		{Tenant: p.Tenant, Cause: p.ID, Env: "live", Lane: "bulk", Outcome: policy.Held,
			Messages: []OutgoingMessage{{ID: p.Messages[2].ID, Codes: []string{policy.Scheduled}}}},
	}
	got := h.Outgoing()
	for i := range got {
		got[i].ID = uuid.Nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outgoing: %s", diff)
	}
	for i, m := range p.Messages {
		d := screening.Decided{Decision: s.Verdicts[i].Decision, Category: policy.Service, Pack: s.Pack, At: s.At}
		if diff := cmp.Diff([]screening.Decided{d}, h.Decisions(p.Tenant, m.ID)); diff != "" {
			t.Errorf("decision %d: %s", i, diff)
		}
	}
}

func testOnce(t *testing.T, h Harness) {
	p := NewParcel(2)
	record(t, h, Judge(p, Clear))
	record(t, h, Judge(p, Clear))
	if n := len(h.Outgoing()); n != 1 {
		t.Errorf("%d parcels went out", n)
	}
	if n := len(h.Decisions(p.Tenant, p.Messages[0].ID)); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

func testParts(t *testing.T, h Harness) {
	a, b := NewParcel(1), NewParcel(1)
	b.ID, b.Tenant = a.ID, a.Tenant
	record(t, h, Judge(a, Clear), Judge(b, Clear))
	if n := len(h.Outgoing()); n != 2 {
		t.Errorf("%d parcels went out", n)
	}
}

func release(t *testing.T, h Harness, lane string, at time.Time, messages int) int {
	t.Helper()
	n, err := h.Store.Release(t.Context(), lane, at, messages, clearAll)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testRelease(t *testing.T, h Harness) {
	p, due := NewParcel(2), now.Add(time.Hour)
	p.Messages[0].Schedule = due.UnixMicro()
	record(t, h, Judge(p, HoldUntil(due)))
	if n := release(t, h, "bulk", due.Add(-time.Microsecond), 10); n != 0 {
		t.Fatalf("%d released too early", n)
	}
	if n := release(t, h, "otp", due, 10); n != 0 {
		t.Fatalf("%d released from another lane", n)
	}
	var given []screening.Message
	n, err := h.Store.Release(t.Context(), "bulk", due, 10, func(ctx context.Context, parcels []screening.Parcel) ([]screening.Screened, error) {
		for _, g := range parcels {
			if g.Hold == uuid.Nil || g.Tenant != p.Tenant || g.Correlation != p.Correlation || g.Env != p.Env || g.ID != h.Outgoing()[0].ID {
				t.Errorf("released parcel: %+v", g)
			}
			given = append(given, g.Messages...)
		}
		return clearAll(ctx, parcels)
	})
	if n != 2 || err != nil {
		t.Fatalf("%d released, %v", n, err)
	}
	if diff := cmp.Diff(p.Messages, given); diff != "" {
		t.Errorf("messages: %s", diff)
	}
	if n := release(t, h, "bulk", due, 10); n != 0 {
		t.Errorf("%d released twice", n)
	}
	d := h.Decisions(p.Tenant, p.Messages[1].ID)
	if len(d) != 2 || d[0].Outcome != policy.Cleared || d[1].Outcome != policy.Held || !d[1].Due.Equal(due) {
		t.Errorf("decisions: %+v", d)
	}
}

func testFailedRelease(t *testing.T, h Harness) {
	record(t, h, Judge(NewParcel(1), HoldUntil(now)))
	away := errors.New("away")
	_, err := h.Store.Release(t.Context(), "bulk", now, 10, func(context.Context, []screening.Parcel) ([]screening.Screened, error) {
		return nil, away
	})
	if !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	if n := release(t, h, "bulk", now, 10); n != 1 {
		t.Errorf("%d released", n)
	}
}

func testPutOff(t *testing.T, h Harness) {
	good, bad := NewParcel(1), NewParcel(1)
	record(t, h, Judge(good, HoldUntil(now)), Judge(bad, HoldUntil(now)))
	n, err := h.Store.Release(t.Context(), "bulk", now, 10, func(ctx context.Context, parcels []screening.Parcel) ([]screening.Screened, error) {
		return clearAll(ctx, slices.DeleteFunc(parcels, func(p screening.Parcel) bool { return p.Tenant == bad.Tenant }))
	})
	if n != 1 || err != nil {
		t.Fatalf("%d released, %v", n, err)
	}
	if n := release(t, h, "bulk", now, 10); n != 0 {
		t.Errorf("%d released at once", n)
	}
	if n := release(t, h, "bulk", now.Add(screening.PutOff), 10); n != 1 {
		t.Errorf("%d released later", n)
	}
}

func testPace(t *testing.T, h Harness) {
	for i := range 5 {
		record(t, h, Judge(NewParcel(1), HoldUntil(now.Add(-time.Duration(i)*time.Minute))))
	}
	if n := release(t, h, "bulk", now, 2); n != 2 {
		t.Errorf("%d released, want 2", n)
	}
	if n := release(t, h, "bulk", now, 100); n != 3 {
		t.Errorf("%d released, want 3", n)
	}
}

// testTurns: a tenant with much that is longer due does not keep the others waiting; what the others do not need of their
// shares it has.
func testTurns(t *testing.T, h Harness) {
	crowd, others := uuid.Must(uuid.NewV7()), map[uuid.UUID]bool{}
	for i := range 12 {
		p := NewParcel(1)
		p.Tenant = crowd
		record(t, h, Judge(p, HoldUntil(now.Add(-time.Hour+time.Duration(i)*time.Second))))
	}
	for range 2 {
		p := NewParcel(1)
		others[p.Tenant] = true
		record(t, h, Judge(p, HoldUntil(now)))
	}
	var order []string
	for _, want := range []int{6, 6, 2} {
		n, err := h.Store.Release(t.Context(), "bulk", now, 6, func(ctx context.Context, parcels []screening.Parcel) ([]screening.Screened, error) {
			own := 0
			for _, p := range parcels {
				if others[p.Tenant] {
					own++
				}
			}
			order = append(order, fmt.Sprintf("%d of %d", own, len(parcels)))
			return clearAll(ctx, parcels)
		})
		if n != want || err != nil {
			t.Fatalf("%d released, %v, want %d", n, err, want)
		}
	}
	if diff := cmp.Diff([]string{"2 of 6", "0 of 6", "0 of 2"}, order); diff != "" {
		t.Errorf("of the others: %s", diff)
	}
}

func testRivals(t *testing.T, h Harness) {
	record(t, h, Judge(NewParcel(1), HoldUntil(now)))
	n, err := h.Store.Release(t.Context(), "bulk", now, 10, func(ctx context.Context, parcels []screening.Parcel) ([]screening.Screened, error) {
		if n := release(t, h, "bulk", now, 10); n != 0 {
			t.Errorf("%d released by a rival", n)
		}
		return clearAll(ctx, parcels)
	})
	if n != 1 || err != nil {
		t.Errorf("%d released, %v", n, err)
	}
}

func testHeldAgain(t *testing.T, h Harness) {
	p, later := NewParcel(1), now.Add(time.Hour)
	record(t, h, Judge(p, HoldUntil(now)))
	_, err := h.Store.Release(t.Context(), "bulk", now, 10, func(_ context.Context, parcels []screening.Parcel) ([]screening.Screened, error) {
		s := Judge(parcels[0], HoldUntil(later))
		s.Verdicts[0].Round++
		return []screening.Screened{s}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := release(t, h, "bulk", later, 10); n != 1 {
		t.Fatalf("%d released", n)
	}
	out := h.Outgoing()
	var rounds []uint32
	for _, o := range out {
		rounds = append(rounds, o.Messages[0].Round)
	}
	if diff := cmp.Diff([]uint32{0, 1, 1}, rounds); diff != "" {
		t.Errorf("rounds: %s", diff)
	}
}

func testCleared(t *testing.T, h Harness) {
	p := NewParcel(2)
	p.Messages[1].Round = 3
	record(t, h, Judge(p, Clear))
	id := h.Outgoing()[0].ID
	found, err := h.Store.Cleared(t.Context(), []uuid.UUID{id})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Messages, found[id].Messages); diff != "" {
		t.Errorf("messages: %s", diff)
	}
	if got := found[id]; got.Tenant != p.Tenant || got.Env != p.Env || got.Lane != p.Lane {
		t.Errorf("parcel: %+v", got)
	}
	_, err = h.Store.Cleared(t.Context(), []uuid.UUID{id, uuid.Must(uuid.NewV7())})
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown parcel: %v", err)
	}
}
