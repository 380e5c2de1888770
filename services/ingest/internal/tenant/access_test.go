package tenant

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Item 9 of the acceptance list: an unknown key and a wrong secret take the same steps, the first time and later.
func TestItem9SameStepsForUnknownAndWrongSecret(t *testing.T) {
	d, v, key, _ := world(t)
	_, _ = v.Verify(t.Context(), key)
	wrong, _ := ParseKey(key)
	for round := range 5 {
		unknown, _ := NewKey("live", rand.Reader)
		wrong.Secret = unknown.Secret
		for try, want := range []int64{1, 0, 0} {
			for name, k := range map[string]Key{"unknown": unknown, "wrong secret": wrong} {
				d.queries.Store(0)
				if _, err := v.Verify(t.Context(), k.String()); !errors.Is(err, ErrKeyInvalid) || d.queries.Load() != want {
					t.Errorf("round %d, try %d, %s: %d queries, %v", round, try, name, d.queries.Load(), err)
				}
			}
		}
	}
}

// An answer that was on its way while a key was changed is not remembered.
func TestForgetDuringALookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, v, key, kid := world(t)
		slow := &slowRecords{Records: d, begun: make(chan struct{}), proceed: make(chan struct{})}
		v.records = slow
		done := make(chan error)
		go func() { _, err := v.Verify(context.Background(), key); done <- err }()
		<-slow.begun // the old record is read
		d.change(kid, func(r *Record) { r.Status = StatusRevoked })
		v.Forget(demo.ID, kid)
		close(slow.proceed)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		v.records = d
		if _, err := v.Verify(t.Context(), key); reason(err) != "KEY_REVOKED" {
			t.Errorf("the old record was remembered: %v", err)
		}
	})
}

type slowRecords struct {
	Records
	begun, proceed chan struct{}
}

func (s *slowRecords) Key(ctx context.Context, kid string) (Record, error) {
	r, err := s.Records.Key(ctx, kid)
	close(s.begun)
	<-s.proceed
	return r, err
}

func TestForgetTenant(t *testing.T) {
	d, v, key, kid := world(t)
	_, _ = v.Verify(t.Context(), key)
	d.change(kid, func(r *Record) { r.TenantRules = Addresses{netip.MustParsePrefix("10.0.0.0/8")} })
	v.Forget(uuid.New(), "")
	from := Origin{Address: netip.MustParseAddr("192.0.2.1")}
	if _, err := v.Admit(t.Context(), key, from); err != nil {
		t.Errorf("somebody else's change: %v", err)
	}
	v.Forget(demo.ID, "")
	if p, err := v.Admit(t.Context(), key, from); reason(err) != "ADDRESS_NOT_ALLOWED" || p.Actor != "key/"+kid {
		t.Errorf("%v, %v", p, err)
	}
	d.change(kid, func(r *Record) { r.TenantRules = nil })
	v.ForgetAll() // nothing was heard of the change
	if _, err := v.Admit(t.Context(), key, from); err != nil {
		t.Errorf("after ForgetAll: %v", err)
	}
}

// Item 15: what a rule covers, in both ways of writing IPv4.
func TestItem15Addresses(t *testing.T) {
	rules, err := ParseAddresses([]string{"203.0.113.7/24", "::ffff:198.51.100.0/120", "2001:db8::1", "203.0.113.0/24"})
	if err != nil || strings.Join(rules.Strings(), " ") != "198.51.100.0/24 203.0.113.0/24 2001:db8::1/128" {
		t.Fatal(rules.Strings(), err)
	}
	for text, want := range map[string]bool{
		"203.0.113.255": true, "203.0.114.0": false, "198.51.100.9": true, "2001:db8::1": true, "2001:db8::2": false, "::1": false,
	} {
		if got := rules.Allow(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if rules.Allow(netip.Addr{}) || !(Addresses{}).Allow(netip.Addr{}) {
		t.Error("no address satisfies no rule, and no rules refuse nobody")
	}
	for _, bad := range []string{"", "x", "1.2.3.4/33", "fe80::1%eth0", "fe80::/10%eth0", "1.2.3"} {
		if _, err := ParseAddresses([]string{bad}); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := ParseAddresses(make([]string, 101)); err == nil {
		t.Error("101 rules are taken")
	}
}

func TestUses(t *testing.T) {
	var u Uses
	store := &useStore{}
	start := time.Date(2026, 11, 22, 10, 0, 30, 0, time.UTC)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 100 {
		u.Note("k", a, start.Add(time.Duration(i)*time.Millisecond))
	}
	u.Note("j", b, start)
	store.err = errs.E(errs.Unavailable, "", "away", nil)
	if u.Flush(t.Context(), store) == nil {
		t.Error("an error is lost")
	}
	u.Note("k", b, start.Add(time.Minute))
	store.err = nil
	if err := u.Flush(t.Context(), store); err != nil || len(store.uses) != 2 || store.uses[0].KID != "j" ||
		store.uses[1] != (Use{"k", time.Date(2026, 11, 22, 10, 1, 0, 0, time.UTC), b}) {
		t.Errorf("%v, %v", store.uses, err)
	}
	store.uses = nil
	if err := u.Flush(t.Context(), store); err != nil || store.uses != nil {
		t.Error("what was written is written again")
	}
}

type useStore struct {
	uses []Use
	err  error
}

func (s *useStore) RecordUses(_ context.Context, uses []Use) error {
	if s.err == nil {
		s.uses = uses
	}
	return s.err
}

func TestDaysLeft(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for left, want := range map[time.Duration]int{30 * 24 * time.Hour: 30, 29*24*time.Hour + 1: 30, 24 * time.Hour: 1, time.Second: 1, -time.Hour: 0} {
		if got, ok := DaysLeft(now.Add(left), now); !ok || got != want {
			t.Errorf("%v left: %d days", left, got)
		}
	}
	if _, ok := DaysLeft(now.Add(WarnFrom+1), now); ok {
		t.Error("warned too early")
	}
	if firstWarning(KeyLifetime) != neverWarned || firstWarning(20*24*time.Hour) != 30 || firstWarning(time.Hour) != 1 {
		t.Error("a key is alerted at its birth, or not at its end")
	}
}

// Settings that shut out the caller, are out of range or belong to the other environment are refused before anything is
// stored.
func TestUpdateRefuses(t *testing.T) {
	stored := &profiles{}
	a := Administration{Profiles: stored, Forget: func(uuid.UUID, string) {}}
	p := principal.Principal{TenantID: demo.ID, Env: principal.Test}
	from := netip.MustParseAddr("192.0.2.1")
	for name, w := range map[string]Wish{
		"shut out": {Addresses: []string{"198.51.100.0/24"}}, "rate": {Limits: &Limits{RequestsPerSecond: -1}},
		"no number": {Limits: &Limits{TemplatePerSecond: math.NaN()}}, "burst": {Limits: &Limits{MessageBurst: -1}},
		"name": {Name: strings.Repeat("x", 101)}, "name in test": {Name: "Other"},
	} {
		if _, err := a.Update(t.Context(), p, from, w); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := a.Update(t.Context(), p, from, Wish{Addresses: []string{"192.0.2.0/24"}, Limits: &Limits{RequestsPerSecond: 5}}); err != nil ||
		stored.RequestsPerSecond() != 5 {
		t.Errorf("%v", err)
	}
}

type profiles struct{ settings Settings }

func (p *profiles) RequestsPerSecond() float64 { return p.settings.Limits.RequestsPerSecond }

func (p *profiles) Profile(context.Context, uuid.UUID, string) (Profile, error) {
	return Profile{Settings: p.settings}, nil
}

func (p *profiles) ChangeSettings(_ context.Context, _ uuid.UUID, _ string, change func(*Settings) error) (Profile, error) {
	err := change(&p.settings)
	return Profile{Settings: p.settings}, err
}

func BenchmarkAdmitCached(b *testing.B) {
	_, v, key, _ := world(b)
	from := Origin{Address: netip.MustParseAddr("192.0.2.1")}
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := v.Admit(b.Context(), key, from); err != nil {
			b.Fatal(err)
		}
		if len(took) < cap(took) {
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}
