package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/limit"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// AccessConfig is whom the door believes about addresses, and the platform's limits for tenants that have set none.
type AccessConfig struct {
	// TrustedProxies are the ranges (CIDR, separated by commas) of load balancers that speak PROXY protocol version 2:
	// connections from there must begin with its header, and count as coming from the address in it.
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES"`
	// TrustedHops is how many proxies of ours append to X-Forwarded-For; 0: the header is not read.
	TrustedHops int `env:"TRUSTED_HOPS" envDefault:"0"`
	// KeyPerSecond bounds the requests of one key; 0: no limit.
	KeyPerSecond float64 `env:"LIMIT_KEY_PER_SECOND" envDefault:"0"`
	// TenantPerSecond and MessagesPerSecond bound the requests and messages of a tenant in one environment that has set
	// no limit of its own; 0: no limit.
	TenantPerSecond   float64 `env:"LIMIT_TENANT_PER_SECOND" envDefault:"0"`
	MessagesPerSecond float64 `env:"LIMIT_MESSAGES_PER_SECOND" envDefault:"0"`
	// AddressPerSecond bounds the calls of one address (IPv6: /48) at one replica, refused ones included; 0: no limit.
	AddressPerSecond float64 `env:"LIMIT_ADDRESS_PER_SECOND" envDefault:"50000"`
}

// Validate tells which setting is out of range.
func (c AccessConfig) Validate() error {
	var all []error
	for name, rate := range map[string]float64{
		"LIMIT_KEY_PER_SECOND": c.KeyPerSecond, "LIMIT_TENANT_PER_SECOND": c.TenantPerSecond,
		"LIMIT_MESSAGES_PER_SECOND": c.MessagesPerSecond, "LIMIT_ADDRESS_PER_SECOND": c.AddressPerSecond,
	} {
		if rate < 0 || rate > 1e6 {
			all = append(all, fmt.Errorf("%s must be 0 to 1,000,000", name))
		}
	}
	if c.TrustedHops < 0 || c.TrustedHops > 10 {
		all = append(all, errors.New("TRUSTED_HOPS must be 0 to 10"))
	}
	return errors.Join(all...)
}

// access is who may come in, and how much he may do.
type access struct {
	verifier *tenant.Verifier
	uses     tenant.Uses
	limits   *api.Limits
	keys     *tenant.Keys
	tenants  *tenant.Administration
	now      func() time.Time
}

func (i *ingest) newAccess(cfg AccessConfig, vault *content.Vault, peppers *tenant.Peppers) *access {
	a := &access{verifier: tenant.NewVerifier(i.store, peppers, i.now), now: i.now}
	a.limits = api.NewLimits(api.LimitConfig{
		Keys: a.verifier, Limiter: limit.NewLimiter(i.store, i.now),
		Defaults: tenant.Limits{RequestsPerSecond: cfg.TenantPerSecond, MessagesPerSecond: cfg.MessagesPerSecond},
		PerKey:   cfg.KeyPerSecond, Address: limit.PerSecond(cfg.AddressPerSecond, 0, 1), Now: i.now,
		Index: func(env string, tenantID uuid.UUID, number string) ([16]byte, error) {
			return vault.Hash(env, tenantID, number)
		},
	})
	a.keys = &tenant.Keys{
		Store: i.store, Peppers: peppers, Scopes: api.Scopes(), Now: i.now, Random: rand.Reader, Forget: a.verifier.Forget,
	}
	a.tenants = &tenant.Administration{Profiles: i.store, Forget: a.verifier.Forget}
	return a
}

func (a *access) register(r grpc.ServiceRegistrar) {
	ingestv1.RegisterApiKeyServiceServer(r, api.NewApiKeyServer(a.keys))
	ingestv1.RegisterTenantServiceServer(r, api.NewTenantServer(a.tenants))
}

// Verify is the door's question; see door.Verifier. Who shows a key that is refused is counted against his address.
func (a *access) Verify(ctx context.Context, key string) (principal.Principal, error) {
	from := caller.From(ctx)
	p, err := a.verifier.Admit(ctx, key, tenant.Origin{Address: from.Address, Certificate: from.Certificate})
	if err != nil {
		if limited := a.limits.SpendAddress(from.Address); limited != nil && errs.KindOf(err) != errs.Unavailable {
			err = limited
		}
		return p, err
	}
	a.uses.Note(strings.TrimPrefix(p.Actor, "key/"), from.Address, a.now())
	return p, nil
}

// RevokeExposed withdraws a key that was seen in clear; see door.Revoker.
func (a *access) RevokeExposed(ctx context.Context, p principal.Principal) error {
	return a.keys.Expose(ctx, p, strings.TrimPrefix(p.Actor, "key/"))
}

const (
	flushUsesEvery = time.Minute
	remindEvery    = 10 * time.Minute
)

// accessTasks keep memory and database in step.
func (i *ingest) accessTasks() []service.Task {
	return []service.Task{
		{Name: "hear access changes", Run: i.hearAccess()},
		{Name: "flush key uses", Run: i.flushUses},
		{Name: "remind of expiring keys", Run: func(ctx context.Context) error {
			return every(ctx, remindEvery, func() {
				if err := tenant.Remind(ctx, i.store, i.log); err != nil && ctx.Err() == nil {
					i.log.WarnContext(ctx, "tenants not reminded of expiring keys", slog.String("error", err.Error()))
				}
			})
		}},
		{Name: "purge limits", Run: func(ctx context.Context) error {
			return every(ctx, purgeEvery, func() {
				for n := int64(purgeRows); n == purgeRows && ctx.Err() == nil; {
					n, _ = i.store.PurgeLimits(ctx, purgeRows) // again in ten minutes
				}
			})
		}},
	}
}

// hearAccess forgets what another replica changed, and everything when it begins to hear: a change may have been missed
// before. What is not heard is found within half a minute by the verifier.
func (i *ingest) hearAccess() func(context.Context) error {
	subjects := []string{
		eventbus.Subject(store.EventAccessChanged, principal.Live, eventbus.LaneControl),
		eventbus.Subject(store.EventAccessChanged, principal.Test, eventbus.LaneControl),
	}
	return i.bus.Hear(eventbus.Broadcast{
		Stream: eventbus.StreamName(name, eventbus.LaneControl), Subjects: subjects,
		Began:   func(context.Context) { i.access.verifier.ForgetAll() },
		Handler: func(_ context.Context, d eventbus.Delivery) { i.access.changed(d.Data) },
	})
}

// changed takes an AccessChanged event.
func (a *access) changed(data []byte) {
	var event ingestv1.AccessChanged
	if err := proto.Unmarshal(data, &event); err != nil {
		return
	}
	for _, p := range event.GetParcels() {
		owner, err := uuid.FromBytes(p.GetTenantId())
		if err != nil {
			continue
		}
		for _, change := range p.GetChanges() {
			if change.GetUserId() == "" {
				a.verifier.Forget(owner, change.GetKeyId())
			}
		}
	}
}

// flushUses writes once a minute, and at the end.
func (i *ingest) flushUses(ctx context.Context) error {
	flush := func(ctx context.Context) {
		if err := i.access.uses.Flush(ctx, i.store); err != nil {
			i.log.WarnContext(ctx, "uses of keys not written", slog.String("error", err.Error()))
		}
		if err := i.access.verifier.FlushRenewals(ctx, i.store); err != nil {
			i.log.WarnContext(ctx, "hashes under the new pepper not written", slog.String("error", err.Error()))
		}
	}
	err := every(ctx, flushUsesEvery, func() { flush(ctx) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	flush(last)
	return err
}
