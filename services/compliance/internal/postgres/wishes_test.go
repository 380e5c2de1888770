package postgres_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

const otherEntity = "1701158019811140099"

// people is a store of wishes at a time that stands until it is moved.
type people struct {
	*testing.T
	s   *store.Store
	out *published
	db  *postgrestest.Database
	now time.Time
	at  consent.Place
}

func newPeople(t *testing.T) *people {
	p := &people{T: t, out: &published{}, db: postgrestest.New(t, "compliance", store.Sources...), now: time.Now().UTC().Truncate(time.Microsecond),
		at: consent.Place{Tenant: uuid.Must(uuid.NewV7()), Env: "live"}}
	p.s = store.NewStore(p.db.DB, p.out.publish, newID, func() time.Time { return p.now })
	return p
}

var by = consent.Author{Actor: "key/k1", Action: "test", Reason: "because"}

func who(n byte) [16]byte { return [16]byte{n, 15: 1} }

// wanted is an event about recipient 1 and the demo's entity.
func (p *people) wanted(kind consent.Kind, change ...func(*consent.Wanted)) consent.Wanted {
	w := consent.Wanted{Kind: kind, Key: consent.Key{Recipient: who(1), Entity: demoEntity}, Grant: consent.Grant{Method: "web_form"}}
	for _, f := range change {
		f(&w)
	}
	if wrong := w.Complete(policy.IsID, p.now); len(wrong) > 0 {
		p.Fatalf("%+v", wrong)
	}
	return w
}

func (p *people) add(wanted ...consent.Wanted) []consent.Added {
	p.Helper()
	added, err := p.s.AddConsents(p.Context(), p.at, by, wanted)
	if err != nil {
		p.Fatal(err)
	}
	return added
}

// ask asks about messages to recipient 1 as a pack of its own.
func (p *people) ask(promotion bool, change ...func(*screening.Asked)) screening.Said {
	p.Helper()
	index := who(1)
	a := screening.Asked{Tenant: p.at.Tenant, Env: p.at.Env, Recipient: index[:], Entity: demoEntity, Header: "512345", Template: "1107160000000000033", Promotion: promotion}
	for _, f := range change {
		f(&a)
	}
	said, err := store.NewWishes(p.s).Said(p.Context(), []screening.Asked{a}, p.now)
	if err != nil || len(said) != 1 {
		p.Fatal(said, err)
	}
	return said[0]
}

// wishes are those announced so far.
func (p *people) wishes() (all []*compliancev1.Wish) {
	for _, parcel := range p.out.all() {
		if strings.HasPrefix(parcel.Subject, store.EventWishesRecorded+".live.") {
			all = append(all, unmarshal(p.T, parcel.Payload, &compliancev1.WishParcel{}).GetWishes()...)
		}
	}
	return all
}

const demoEntity = "1701158019811140068"

// TestRequirement30Ledger: a consent counts from its commit, a revocation too; the minute before it still stands; every event
// has a receipt that names the one before it; the events are announced with their commit; nothing of the ledger can be
// changed.
func TestRequirement30Ledger(t *testing.T) {
	p := newPeople(t)
	if got := p.ask(true); got.Consent != policy.ConsentNone {
		t.Fatalf("%+v", got)
	}
	id := p.add(p.wanted(consent.Given))[0].Record.ID
	if got := p.ask(true); got.Consent != policy.ConsentValid {
		t.Fatalf("%+v", got)
	}
	p.now = p.now.Add(10 * time.Minute)
	if _, err := p.s.Revoke(t.Context(), p.at, by, p.wanted(consent.Revoked), true); err != nil {
		t.Fatal(err)
	}
	if got := p.ask(true); got.Consent != policy.ConsentRevoked {
		t.Fatalf("%+v", got)
	}
	for ago, want := range map[time.Duration]consent.State{0: consent.StateRevoked, time.Minute: consent.StateValid, time.Hour: consent.StateNone} {
		st, err := p.s.WishesOf(t.Context(), p.at, who(1), demoEntity, "", p.now.Add(-ago))
		got := consent.StateNone
		if len(st.Records) > 0 {
			got = st.Records[0].At(p.now.Add(-ago))
		}
		if err != nil || got != want {
			t.Errorf("%v ago: %q %v", ago, got, err)
		}
	}
	p.receipts(id)
	var kinds []string
	for _, w := range p.wishes() {
		kinds = append(kinds, fmt.Sprintf("%s %v %d", w.GetKind(), w.GetRestricts(), len(w.GetReceiptHash())))
	}
	if diff := cmp.Diff([]string{"GIVEN false 32", "REVOKED true 32"}, kinds); diff != "" {
		t.Error(diff)
	}
	for _, sql := range []string{`UPDATE consent_events SET kind = 'GIVEN'`, `DELETE FROM consent_events`} {
		if _, err := p.db.DB.Worker.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was done", sql)
		}
	}
}

// receipts verifies those of a consent, from the first to the last.
func (p *people) receipts(id uuid.UUID) {
	st, err := p.s.WishesOf(p.Context(), p.at, who(1), "", "", p.now)
	if err != nil || len(st.Events[id]) != 2 {
		p.Fatal(st.Events, err)
	}
	previous := ""
	for _, e := range st.Events[id] {
		document, hash, err := p.s.Receipt(p.Context(), p.at, e.ID)
		if err != nil {
			p.Fatal(err)
		}
		r, err := consent.Verify(document, [32]byte(hash))
		if err != nil || r.Previous != previous || !bytes.Equal(hash, e.Hash[:]) {
			p.Errorf("%s: %v", document, err)
		}
		previous = fmt.Sprintf("%x", hash)
	}
	if _, _, err := p.s.Receipt(p.Context(), consent.Place{Tenant: uuid.New(), Env: "live"}, st.Events[id][0].ID); errs.KindOf(err) != errs.NotFound {
		p.Errorf("another tenant's receipt: %v", err)
	}
}

// TestRequirement32Scope: a consent counts for its entity, purpose and environment alone.
func TestRequirement32Scope(t *testing.T) {
	p := newPeople(t)
	p.add(p.wanted(consent.Given, func(w *consent.Wanted) { w.Key.Purpose = "loans" }))
	if got := p.ask(true); got.Consent != policy.ConsentNone {
		t.Errorf("for another purpose: %+v", got)
	}
	if err := p.s.SetPurpose(t.Context(), p.at, by, "1107160000000000033", "loans"); err != nil {
		t.Fatal(err)
	}
	if got := p.ask(true); got.Consent != policy.ConsentValid {
		t.Errorf("for its purpose: %+v", got)
	}
	for name, change := range map[string]func(*screening.Asked){
		"another entity":      func(a *screening.Asked) { a.Entity = otherEntity },
		"another environment": func(a *screening.Asked) { a.Env = "test" },
		"another tenant":      func(a *screening.Asked) { a.Tenant = uuid.New() },
		"another recipient":   func(a *screening.Asked) { a.Recipient = make([]byte, 16) },
	} {
		if got := p.ask(true, change); got.Consent != policy.ConsentNone {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestRequirement31: consent for a transaction ends by itself, an inferred one with its contract, and who revoked is not asked
// for 90 days.
func TestRequirement31(t *testing.T) {
	p := newPeople(t)
	p.add(p.wanted(consent.Given, func(w *consent.Wanted) { w.Key.Basis = consent.Transaction }))
	if got := p.ask(true); got.Consent != policy.ConsentValid {
		t.Errorf("%+v", got)
	}
	p.now = p.now.Add(7 * 24 * time.Hour)
	if got := p.ask(true); got.Consent != policy.ConsentExpired {
		t.Errorf("%+v", got)
	}
	p.add(p.wanted(consent.Given, func(w *consent.Wanted) { w.Key.Basis, w.Key.Contract = consent.Inferred, "c1" }))
	if got := p.ask(false); got.Consent != policy.ConsentNone {
		t.Errorf("a running contract: %+v", got)
	}
	if n, err := p.s.EndContract(t.Context(), p.at, by, demoEntity, "c1", p.now); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := p.ask(false); got.Consent != policy.ConsentEnded {
		t.Errorf("an ended contract: %+v", got)
	}
	if _, err := p.s.Revoke(t.Context(), p.at, by, p.wanted(consent.Revoked), true); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(consent.CoolingOff - time.Microsecond)
	if _, err := p.s.Request(t.Context(), p.at, by, p.wanted(consent.Requested)); reasonOf(err) != "COOLING_OFF" {
		t.Errorf("asked too early: %v", err)
	}
	p.now = p.now.Add(time.Microsecond)
	if added, err := p.s.Request(t.Context(), p.at, by, p.wanted(consent.Requested)); err != nil || !added.Changed {
		t.Errorf("asked after 90 days: %+v %v", added, err)
	}
}

// TestRequirement34OptOuts: each scope counts from its commit, for promotion; again it changes nothing; it revokes what it
// covers; an explicit consent from after it takes it back, one from before does not.
func TestRequirement34OptOuts(t *testing.T) {
	p := newPeople(t)
	p.add(p.wanted(consent.Given))
	granted := p.now
	p.now = p.now.Add(time.Minute)
	o := consent.OptOut{Recipient: who(1), Scope: consent.OfEntity, Object: demoEntity, Source: "link"}
	first, revoked, err := p.s.OptOut(t.Context(), p.at, by, o)
	if err != nil || revoked != 1 {
		t.Fatal(revoked, err)
	}
	again, revoked, err := p.s.OptOut(t.Context(), p.at, by, o)
	if err != nil || revoked != 0 || again.ID != first.ID {
		t.Errorf("again: %+v %d %v", again, revoked, err)
	}
	if got := p.ask(true); !got.OptedOut || got.Consent != policy.ConsentRevoked {
		t.Errorf("%+v", got)
	}
	if got := p.ask(false); got.OptedOut {
		t.Errorf("other categories: %+v", got)
	}
	p.now = p.now.Add(time.Minute)
	p.add(p.wanted(consent.Given, func(w *consent.Wanted) { w.Occur = granted.Add(time.Second) }))
	if got := p.ask(true); !got.OptedOut {
		t.Errorf("an older consent has taken it back: %+v", got)
	}
	p.add(p.wanted(consent.Given))
	if got := p.ask(true); got.OptedOut || got.Consent != policy.ConsentValid {
		t.Errorf("a newer consent has not taken it back: %+v", got)
	}
	for scope, object := range map[consent.Scope]string{consent.OfHeader: "512345", consent.OfTenant: ""} {
		o := consent.OptOut{Recipient: who(1), Scope: scope, Object: object, Source: "api"}
		if _, _, err := p.s.OptOut(t.Context(), p.at, by, o); err != nil {
			t.Fatal(err)
		}
		if got := p.ask(true); !got.OptedOut {
			t.Errorf("%s: %+v", scope, got)
		}
		if err := p.s.LiftOptOut(t.Context(), p.at, by, o); err != nil {
			t.Fatal(err)
		}
		if err := p.s.LiftOptOut(t.Context(), p.at, by, o); reasonOf(err) != "OPT_OUT_NOT_FOUND" {
			t.Errorf("lifted twice: %v", err)
		}
	}
	if got := p.ask(true); got.OptedOut {
		t.Errorf("all are lifted: %+v", got)
	}
}

// TestReceivedOnce: a parcel of opt-outs from dispatch has its effect once.
func TestReceivedOnce(t *testing.T) {
	p := newPeople(t)
	parcel := newID()
	all := []consent.OptOut{{Recipient: who(1), Scope: consent.OfTenant, Source: "keyword"}, {Recipient: who(2), Scope: consent.OfTenant, Source: "keyword"}}
	for range 2 {
		if err := p.s.ReceiveOptOuts(t.Context(), parcel, p.at, all); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.s.LiftOptOut(t.Context(), p.at, by, all[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.s.ReceiveOptOuts(t.Context(), parcel, p.at, all); err != nil {
		t.Fatal(err)
	}
	if got := p.ask(true); got.OptedOut || len(p.wishes()) != 3 {
		t.Errorf("the repeated parcel opted out again: %+v, %d wishes", got, len(p.wishes()))
	}
}

// TestSuppressions: the list stops promotion, or everything, until an entry ends or is taken off.
func TestSuppressions(t *testing.T) {
	p := newPeople(t)
	put := func(want int, list ...consent.Suppression) {
		t.Helper()
		if n, err := p.s.Suppress(t.Context(), p.at, by, list); n != want || err != nil {
			t.Fatalf("%d new, %v", n, err)
		}
	}
	put(2, consent.Suppression{Recipient: who(1)}, consent.Suppression{Recipient: who(2)}, consent.Suppression{Recipient: who(1)})
	if promotion, other := p.ask(true), p.ask(false); !promotion.Suppressed || other.Suppressed {
		t.Errorf("of promotion: %+v %+v", promotion, other)
	}
	put(0, consent.Suppression{Recipient: who(1), All: true, Expires: p.now.Add(time.Hour)})
	if promotion, other := p.ask(true), p.ask(false); !promotion.Suppressed || !other.Suppressed {
		t.Errorf("of everything: %+v %+v", promotion, other)
	}
	list, err := p.s.Suppressions(t.Context(), p.at, nil, 1)
	if err != nil || len(list) != 1 || list[0].Recipient != who(1) || !list[0].All {
		t.Fatalf("%+v %v", list, err)
	}
	if list, err = p.s.Suppressions(t.Context(), p.at, list[0].Recipient[:], 5); err != nil || len(list) != 1 || list[0].Recipient != who(2) {
		t.Errorf("%+v %v", list, err)
	}
	p.now = p.now.Add(time.Hour)
	if got := p.ask(true); got.Suppressed {
		t.Errorf("its time is over: %+v", got)
	}
	if n, err := p.s.Unsuppress(t.Context(), p.at, by, [][16]byte{who(1), who(9)}); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// TestRequirement33Policy: the tenant's choice is a fact of the next pack.
func TestRequirement33Policy(t *testing.T) {
	p := newPeople(t)
	for _, chosen := range []string{"consent_required", "pref_or_consent"} {
		if err := p.s.SetPolicy(t.Context(), p.at, by, chosen); err != nil {
			t.Fatal(err)
		}
		if got, err := p.s.Policy(t.Context(), p.at); got != chosen || err != nil {
			t.Error(got, err)
		}
		if got := p.ask(true); got.ConsentRequired != (chosen == "consent_required") {
			t.Errorf("%+v", got)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *people) reader() consent.Reader {
	return consent.Reader{IsID: policy.IsID, IsHeader: func(s string) bool { return policy.CheckHeader(s) == nil }, Away: func() error { return nil },
		Index: func(number string) (index [16]byte, ok bool) {
			if len(number) == 10 {
				copy(index[:], number)
			}
			return index, len(number) == 10
		}}
}

// BenchmarkSaid asks about a pack of 500 promotional messages whose recipients have all consented, among 20,000.
func BenchmarkSaid(b *testing.B) {
	db := postgrestest.New(b, "compliance", store.Sources...)
	s := store.NewStore(db.DB, (&published{}).publish, newID, time.Now)
	at := consent.Place{Tenant: uuid.Must(uuid.NewV7()), Env: "live"}
	const others, batch = 20_000, 5000
	for from := 0; from < others; from += batch {
		wanted := make([]consent.Wanted, batch)
		for i := range wanted {
			w := consent.Wanted{Kind: consent.Given, Key: consent.Key{Recipient: numbered(from + i), Entity: demoEntity}, Grant: consent.Grant{Method: "dca"}}
			w.Complete(policy.IsID, time.Now())
			wanted[i] = w
		}
		if _, err := s.AddConsents(b.Context(), at, by, wanted); err != nil {
			b.Fatal(err)
		}
	}
	asked := make([]screening.Asked, 500)
	for i := range asked {
		index := numbered(i * 40)
		asked[i] = screening.Asked{Tenant: at.Tenant, Env: at.Env, Recipient: index[:], Entity: demoEntity, Promotion: true}
	}
	wishes := store.NewWishes(s)
	for b.Loop() {
		if said, err := wishes.Said(b.Context(), asked, time.Now()); err != nil || said[499].Consent != policy.ConsentValid {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/message")
}

func numbered(n int) [16]byte { return [16]byte{byte(n), byte(n >> 8), byte(n >> 16), 15: 7} }
