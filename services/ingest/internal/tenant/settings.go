package tenant

import (
	"context"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Bounds of what a tenant may set.
const (
	maxName  = 100 // characters
	maxRate  = 1e6 // a second
	maxBurst = 1 << 24
)

// Limits are a tenant's rates in one environment; 0 is the platform's default, or none where the platform has none.
type Limits struct {
	RequestsPerSecond float64
	RequestBurst      int32
	MessagesPerSecond float64
	MessageBurst      int32
	RecipientPerHour  int32   // messages to one recipient
	TemplatePerSecond float64 // messages of one template
}

// Settings are what a tenant may change of itself, for one environment.
type Settings struct {
	Name      string // of the tenant, in both environments
	Addresses Addresses
	Limits    Limits
}

// Profile is a tenant with its settings.
type Profile struct {
	ID uuid.UUID
	Settings
	Create time.Time
}

// Profiles keeps tenants' settings.
type Profiles interface {
	// Profile answers a tenant with its settings in env.
	Profile(ctx context.Context, tenant uuid.UUID, env string) (Profile, error)
	// ChangeSettings lets change work on the settings and stores them, in one transaction with the call's record and the
	// news of the change. An error of change stores nothing and comes back as it is.
	ChangeSettings(ctx context.Context, tenant uuid.UUID, env string, change func(*Settings) error) (Profile, error)
}

// Wish is a change of settings. A nil Limits and an empty Name leave what there is.
type Wish struct {
	Name      string
	Addresses []string // CIDR; replaces the rules there are
	Limits    *Limits
}

// Administration changes tenants' settings.
type Administration struct {
	Profiles Profiles
	Forget   func(tenant uuid.UUID, kid string) // see Verifier.Forget
}

// Update gives p's tenant, in p's environment, the settings of w. from is the caller's address: rules that would shut it
// out are refused (Invalid). The name is the same in both environments: only a live caller may change it (Denied,
// KEY_WRONG_ENVIRONMENT).
func (a *Administration) Update(ctx context.Context, p principal.Principal, from netip.Addr, w Wish) (Profile, error) {
	rules, err := ParseAddresses(w.Addresses)
	if err != nil {
		return Profile{}, err
	}
	if err := invalid(w.check(rules, from)); err != nil {
		return Profile{}, err
	}
	profile, err := a.Profiles.ChangeSettings(ctx, p.TenantID, p.Env, func(s *Settings) error {
		if w.Name != "" && w.Name != s.Name && p.Env != principal.Live {
			return errs.E(errs.Denied, "KEY_WRONG_ENVIRONMENT", "the tenant's name is changed with a live key", nil)
		}
		if w.Name != "" {
			s.Name = w.Name
		}
		if w.Limits != nil {
			s.Limits = *w.Limits
		}
		s.Addresses = rules
		return nil
	})
	if err == nil {
		a.Forget(p.TenantID, "")
	}
	return profile, err
}

func (w *Wish) check(rules Addresses, from netip.Addr) (found []errs.Violation) {
	if !rules.Allow(from) {
		found = append(found, errs.Violation{Field: "allowed_addresses", Reason: "SHUTS_OUT_CALLER", Detail: "the rules must allow the address this call comes from"})
	}
	if utf8.RuneCountInString(w.Name) > maxName {
		found = append(found, errs.Violation{Field: "name", Reason: "OUT_OF_RANGE", Detail: "at most 100 characters"})
	}
	if w.Limits == nil {
		return found
	}
	for _, rate := range []struct {
		field string
		value float64
		max   float64
	}{
		{"requests_per_second", w.Limits.RequestsPerSecond, maxRate}, {"request_burst", float64(w.Limits.RequestBurst), maxBurst},
		{"messages_per_second", w.Limits.MessagesPerSecond, maxRate}, {"message_burst", float64(w.Limits.MessageBurst), maxBurst},
		{"messages_per_recipient_hour", float64(w.Limits.RecipientPerHour), maxBurst},
		{"messages_per_template_second", w.Limits.TemplatePerSecond, maxRate},
	} {
		if math.IsNaN(rate.value) || rate.value < 0 || rate.value > rate.max || rate.value > 0 && rate.value < 1e-3 {
			found = append(found, errs.Violation{Field: "limits." + rate.field, Reason: "OUT_OF_RANGE", Detail: "0, or from 0.001 to 1,000,000 a second"})
		}
	}
	return found
}
