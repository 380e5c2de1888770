package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
)

// VerificationConfig is the settings of OTP sessions. Rates are by GCRA: so many at once, then evenly over the period; 0
// is the default.
type VerificationConfig struct {
	// NumberPerHour and NumberPerDay bound the codes to one number; defaults 5 and 10.
	NumberPerHour int `env:"OTP_NUMBER_PER_HOUR" envDefault:"5"`
	NumberPerDay  int `env:"OTP_NUMBER_PER_DAY" envDefault:"10"`
	// AddressPerHour bounds the codes asked for by one person's address (client_address; IPv6: /48); default 60, because
	// the customers of an operator share addresses.
	AddressPerHour int `env:"OTP_ADDRESS_PER_HOUR" envDefault:"60"`
	// CallerPerHour bounds the codes asked for without client_address, by the caller's own address; default 6000.
	CallerPerHour int `env:"OTP_CALLER_PER_HOUR" envDefault:"6000"`
	// TenantPerMinute bounds the codes of one tenant; default 3000.
	TenantPerMinute int `env:"OTP_TENANT_PER_MINUTE" envDefault:"3000"`
	// PumpingMode says what happens to a range of numbers that verifies too few codes: `record` notes it at the session,
	// `enforce` refuses with OTP_PUMPING_SUSPECTED.
	PumpingMode string `env:"OTP_PUMPING_MODE" envDefault:"record"`
	// PumpingFloor is how many codes of a range may stay unverified in six hours in any case; default 20.
	PumpingFloor int `env:"OTP_PUMPING_FLOOR" envDefault:"20"`
	// PumpingPercent is how many of a range's codes must be verified beyond the floor; default 30.
	PumpingPercent int `env:"OTP_PUMPING_PERCENT" envDefault:"30"`
}

// Validate tells which setting is out of range.
func (c VerificationConfig) Validate() error {
	var all []error
	for name, value := range map[string]int{
		"OTP_NUMBER_PER_HOUR": c.NumberPerHour, "OTP_NUMBER_PER_DAY": c.NumberPerDay, "OTP_ADDRESS_PER_HOUR": c.AddressPerHour,
		"OTP_CALLER_PER_HOUR": c.CallerPerHour, "OTP_TENANT_PER_MINUTE": c.TenantPerMinute, "OTP_PUMPING_FLOOR": c.PumpingFloor,
	} {
		if value < 0 {
			all = append(all, fmt.Errorf("%s must not be negative", name))
		}
	}
	if c.PumpingPercent < 0 || c.PumpingPercent > 100 {
		all = append(all, errors.New("OTP_PUMPING_PERCENT must be 0 to 100"))
	}
	if c.PumpingMode != "" && c.PumpingMode != "record" && c.PumpingMode != "enforce" {
		all = append(all, errors.New("OTP_PUMPING_MODE must be record or enforce"))
	}
	return errors.Join(all...)
}

func (c VerificationConfig) limits() verification.Limits {
	rate := func(burst int, period time.Duration) (l verification.Limit) {
		if burst > 0 {
			l = verification.Limit{Burst: burst, Period: period}
		}
		return l
	}
	return verification.Limits{
		NumberHour: rate(c.NumberPerHour, time.Hour), NumberDay: rate(c.NumberPerDay, 24*time.Hour),
		Address: rate(c.AddressPerHour, time.Hour), Caller: rate(c.CallerPerHour, time.Hour), Tenant: rate(c.TenantPerMinute, time.Minute),
		Budget: verification.Budget{Floor: c.PumpingFloor, Percent: c.PumpingPercent, Enforce: c.PumpingMode == "enforce"},
	}
}

// verifications joins the rooms of OTP sessions.
func (i *ingest) verifications(cfg VerificationConfig, accepter *message.Accepter, vault *content.Vault, peppers verification.Peppers) *api.VerificationServer {
	return api.NewVerificationServer(verification.New(verification.Config{
		Store: store.NewVerifications(i.db), Vault: vault, Accepter: accepter, Templates: accepter.Categories,
		Peppers: peppers, Limits: cfg.limits(), Random: rand.Reader, Now: i.now, Log: i.log,
	}))
}

// purgeVerifications deletes sessions a day after they ended, and limits and counts that say nothing any more.
func (i *ingest) purgeVerifications(ctx context.Context) error {
	sessions := store.NewVerifications(i.db)
	return every(ctx, purgeEvery, func() {
		for n := int64(purgeRows); n == purgeRows && ctx.Err() == nil; {
			var err error
			if n, err = sessions.PurgeVerifications(ctx, i.now(), purgeRows); err != nil {
				i.log.WarnContext(ctx, "ended verifications not purged", slog.String("error", err.Error()))
			}
		}
	})
}
