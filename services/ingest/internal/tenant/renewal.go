package tenant

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Renewal is the hash of a key's secret under the current pepper, made when the key was shown.
type Renewal struct {
	KID     string
	Version int16
	MAC     []byte
}

// RenewalStore keeps hashes.
type RenewalStore interface {
	// RenewHashes stores hashes, sorted by kid; one of a newer pepper that is there stays.
	RenewHashes(ctx context.Context, all []Renewal) error
}

// renew notes a key whose hash was made under an older pepper: only now its secret is at hand. So a pepper is not needed
// any more once each key has been used, or has expired, after the next came into force.
func (v *Verifier) renew(k Key, r *Record) {
	if r.PepperVersion >= v.peppers.Current() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, noted := v.renewals[k.KID]; noted || len(v.renewals) >= maxKnown {
		return
	}
	mac, version := v.peppers.Hash(k.Secret)
	v.renewals[k.KID] = Renewal{KID: k.KID, Version: version, MAC: mac}
}

// FlushRenewals writes the hashes noted since the last time. What cannot be written is noted again with the key's next
// use.
func (v *Verifier) FlushRenewals(ctx context.Context, s RenewalStore) error {
	v.mu.Lock()
	noted := v.renewals
	v.renewals = map[string]Renewal{}
	v.mu.Unlock()
	if len(noted) == 0 {
		return nil
	}
	sorted := slices.SortedFunc(maps.Values(noted), func(a, b Renewal) int { return strings.Compare(a.KID, b.KID) })
	if err := s.RenewHashes(ctx, sorted); err != nil {
		return err
	}
	for _, r := range sorted {
		v.Forget(uuid.Nil, r.KID)
	}
	return nil
}
