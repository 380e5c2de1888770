package tenant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// RenewHashes implements RenewalStore.
func (d *directory) RenewHashes(_ context.Context, all []Renewal) error {
	if d.err != nil {
		return d.err
	}
	for _, r := range all {
		d.change(r.KID, func(k *Record) { k.PepperVersion, k.MAC = r.Version, r.MAC })
	}
	return nil
}

// A key moves to the newer pepper when it is shown, and works throughout: before, between, and when the older is gone.
func TestHashesAreRenewed(t *testing.T) {
	d, v, key, _ := world(t)
	verify := func() error { _, err := v.Verify(t.Context(), key); return err }
	if err := verify(); err != nil || len(v.renewals) != 0 {
		t.Fatalf("%v, %d renewals under one pepper", err, len(v.renewals))
	}
	keys := *v.peppers.keys.Load()
	both, err := keys.With(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.peppers.take(both.Text()); err != nil {
		t.Fatal(err)
	}
	other := key[:len(key)-8] + strings.Repeat("0", 8)
	if _, err := v.Verify(t.Context(), other); err == nil || len(v.renewals) != 0 {
		t.Errorf("a malformed key: %v, %d renewals", err, len(v.renewals))
	}
	for range 3 {
		if err := verify(); err != nil || len(v.renewals) != 1 {
			t.Fatalf("%v, %d renewals", err, len(v.renewals))
		}
	}
	d.err = errors.New("the database is away")
	if v.FlushRenewals(t.Context(), d) == nil {
		t.Error("flushed to nowhere")
	}
	d.err = nil
	if err := verify(); err != nil || len(v.renewals) != 1 {
		t.Fatalf("%v, %d renewals noted again", err, len(v.renewals))
	}
	if err := v.FlushRenewals(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	k, _ := ParseKey(key)
	if r := d.keys[k.KID]; r.PepperVersion != 2 || !v.peppers.Matches(k.Secret, r.MAC, 2) {
		t.Errorf("stored under version %d", r.PepperVersion)
	}
	if err := v.peppers.take(secret.Keys{both[1]}.Text()); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err != nil || len(v.renewals) != 0 {
		t.Errorf("under the new pepper alone: %v, %d renewals", err, len(v.renewals))
	}
}

// Another replica has renewed the hash and the older pepper is gone, while we still remember the hash under it.
func TestRememberedHashOfAPepperThatIsGone(t *testing.T) {
	d, v, key, _ := world(t)
	if _, err := v.Verify(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	both, err := v.peppers.keys.Load().With(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	k, _ := ParseKey(key)
	if err := d.RenewHashes(t.Context(), []Renewal{{KID: k.KID, Version: 2, MAC: hash(both[1].Bytes, k.Secret)}}); err != nil {
		t.Fatal(err)
	}
	if err := v.peppers.take(secret.Keys{both[1]}.Text()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), key); err != nil {
		t.Error(err)
	}
}
