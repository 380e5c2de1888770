package api

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/limit"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// KeyRecords answers what is known of a key; see tenant.Verifier.Record.
type KeyRecords interface {
	Record(ctx context.Context, kid string) (tenant.Record, error)
}

// LimitConfig joins Limits to its surroundings.
type LimitConfig struct {
	Keys     KeyRecords
	Limiter  *limit.Limiter
	Defaults tenant.Limits // for what a tenant has not set; 0: no limit
	PerKey   float64       // requests a second of one key; 0: no limit
	Address  limit.Rate    // calls of one address (IPv6: /48), counted in this replica
	// Index is the blind index of a number; see message.Vault.Hash.
	Index func(env string, tenant uuid.UUID, number string) ([16]byte, error)
	Now   func() time.Time
}

// Limits bounds what callers do, and tells them in every answer how long their key has left and how near they are to a
// limit. It stands behind the door's check of keys.
type Limits struct {
	LimitConfig
	addresses *limit.Local[netip.Prefix]
}

// NewLimits makes the limits.
func NewLimits(cfg LimitConfig) *Limits {
	return &Limits{LimitConfig: cfg, addresses: limit.NewLocal[netip.Prefix](cfg.Address)}
}

// SpendAddress counts a call of an address: RATE_LIMITED when it calls too often. IPv6 is counted by /48, which is what
// one customer gets.
func (l *Limits) SpendAddress(a netip.Addr) error {
	bits := 32
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		p = netip.Prefix{} // no address: all of them together
	}
	r := l.Address
	return limit.Standing{Name: "address", Burst: r.Burst, Wait: l.addresses.Spend(p, l.Now())}.Err()
}

// Unary is the interceptor of unary calls.
func (l *Limits) Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	spent, headers, err := l.spend(ctx, req)
	if len(headers) > 0 {
		_ = grpc.SetHeader(ctx, headers) // fails only after the answer
	}
	if err != nil {
		return nil, err
	}
	resp, err := handle(ctx, req)
	if err != nil {
		spent.refund(context.WithoutCancel(ctx), l.Limiter)
	}
	return resp, err
}

// Stream is the interceptor of streams: a stream counts as one request.
func (l *Limits) Stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	_, headers, err := l.spend(stream.Context(), nil)
	if len(headers) > 0 {
		_ = stream.SetHeader(headers)
	}
	if err != nil {
		return err
	}
	return handle(srv, stream)
}

// spent is what a call may get back: the costs of its messages when none was accepted.
type spent struct{ leased, exact []limit.Want }

func (s *spent) refund(ctx context.Context, l *limit.Limiter) {
	l.Refund(s.leased...)
	if len(s.exact) > 0 {
		l.ReturnExactly(ctx, s.exact)
	}
}

// spend takes what the call costs.
func (l *Limits) spend(ctx context.Context, req any) (s spent, headers metadata.MD, err error) {
	if err := l.SpendAddress(caller.From(ctx).Address); err != nil {
		return s, nil, err
	}
	p, _ := principal.FromContext(ctx)
	kid, isKey := strings.CutPrefix(p.Actor, "key/")
	if !isKey {
		return s, nil, nil
	}
	r, err := l.Keys.Record(ctx, kid)
	if err != nil {
		return s, nil, err
	}
	if days, soon := tenant.DaysLeft(r.Expire, l.Now()); soon {
		headers = metadata.Pairs("key-expires-in", strconv.Itoa(days))
	}
	c := l.costs(&r, kid)
	if c.free() { // nothing is limited, and nothing is made for it
		return s, headers, nil
	}
	if headers == nil {
		headers = metadata.MD{}
	}
	sent, err := c.messages(req)
	if err != nil {
		return s, headers, err
	}
	standing, limited := l.Limiter.Spend(ctx, append(c.requests(), sent...)...)
	if limited {
		describe(headers, standing)
	}
	if err := standing.Err(); err != nil {
		return s, headers, err
	}
	s.leased = sent
	exact, err := c.recipients(req, l.Index)
	if err != nil || len(exact) == 0 {
		return s, headers, err
	}
	if standing, at := l.Limiter.SpendExactly(ctx, exact); at >= 0 {
		describe(headers, standing)
		l.Limiter.Refund(sent...)
		return spent{}, headers, standing.Err()
	}
	s.exact = exact
	return s, headers, nil
}

// costs are the limits of a key's tenant in its environment.
type costs struct {
	key    limit.Key // without name
	kid    string
	limits tenant.Limits
	perKey float64
}

func (l *Limits) costs(r *tenant.Record, kid string) costs {
	set, otherwise := r.Limits, l.Defaults
	if set.RequestsPerSecond == 0 {
		set.RequestsPerSecond, set.RequestBurst = otherwise.RequestsPerSecond, max(set.RequestBurst, otherwise.RequestBurst)
	}
	if set.MessagesPerSecond == 0 {
		set.MessagesPerSecond, set.MessageBurst = otherwise.MessagesPerSecond, max(set.MessageBurst, otherwise.MessageBurst)
	}
	return costs{key: limit.Key{Tenant: r.Tenant, Env: r.Env}, kid: kid, limits: set, perKey: l.PerKey}
}

// free tells whether nothing is limited.
func (c *costs) free() bool {
	return c.perKey <= 0 && c.limits.RequestsPerSecond <= 0 && c.limits.MessagesPerSecond <= 0 && c.limits.RecipientPerHour <= 0 &&
		c.limits.TemplatePerSecond <= 0
}

func (c *costs) want(name, subject string, rate limit.Rate, cost int) limit.Want {
	key := c.key
	key.Name, key.Subject = name, subject
	return limit.Want{Key: key, Rate: rate, Cost: int64(cost)}
}

func (c *costs) requests() []limit.Want {
	return []limit.Want{
		c.want("key", c.kid, limit.PerSecond(c.perKey, 0, 1), 1),
		c.want("requests", "", limit.PerSecond(c.limits.RequestsPerSecond, int64(c.limits.RequestBurst), 1), 1),
	}
}

// messages are the costs of a send's messages, of all and of each template. More than a burst can never be had and is
// refused as malformed.
func (c *costs) messages(req any) (wants []limit.Want, err error) {
	perTemplate := map[string]int{}
	n := 0
	each(req, func(_, template string) {
		n++
		if c.limits.TemplatePerSecond > 0 {
			perTemplate[template]++
		}
	})
	if n == 0 {
		return nil, nil
	}
	if rate := limit.PerSecond(c.limits.MessagesPerSecond, int64(c.limits.MessageBurst), message.MaxBatch); rate.Limited() {
		wants = append(wants, c.want("messages", "", rate, n))
	}
	rate := limit.PerSecond(c.limits.TemplatePerSecond, 0, message.MaxBatch)
	for template, n := range perTemplate {
		wants = append(wants, c.want("template", template, rate, n))
	}
	for _, w := range wants {
		if w.Cost > w.Rate.Burst {
			return nil, invalid("messages", "OUT_OF_RANGE", fmt.Sprintf("at most %d at once: the tenant's limit on %s", w.Rate.Burst, w.Key.Name))
		}
	}
	return wants, nil
}

// recipients are the costs of a send's recipients, where they are limited; numbers that are none are refused later.
func (c *costs) recipients(req any, index func(string, uuid.UUID, string) ([16]byte, error)) (wants []limit.Want, err error) {
	rate := limit.PerHour(int64(c.limits.RecipientPerHour))
	if !rate.Limited() {
		return nil, nil
	}
	perNumber := map[string]int{}
	each(req, func(to, _ string) {
		if number, ok := message.NormalizeNumber(to); ok {
			perNumber[number]++
		}
	})
	for number, n := range perNumber {
		if int64(n) > rate.Burst {
			return nil, invalid("messages", "OUT_OF_RANGE", fmt.Sprintf("at most %d to one recipient: the tenant's limit", rate.Burst))
		}
		hash, err := index(c.key.Env, c.key.Tenant, number)
		if err != nil {
			return nil, err
		}
		wants = append(wants, c.want("recipient", string(hash[:]), rate, n))
	}
	slices.SortFunc(wants, func(a, b limit.Want) int { return strings.Compare(a.Key.Subject, b.Key.Subject) })
	return wants, nil
}

// each calls f with recipient and template of every message of a send.
func each(req any, f func(to, template string)) {
	switch req := req.(type) {
	case *ingestv1.SendMessageRequest:
		f(req.GetTo(), req.GetTemplateId())
	case *ingestv1.BatchSendMessagesRequest:
		for _, m := range req.GetMessages() {
			f(m.GetTo(), m.GetTemplateId())
		}
	}
}

// describe writes how a limit stands: RateLimit-Policy and RateLimit as draft-ietf-httpapi-ratelimit-headers-10 has them
// (structured fields: q quota, w window, r remaining, t seconds until it is regained), and the three plain headers of
// the draft's form until -06, which most clients still read.
func describe(h metadata.MD, s limit.Standing) {
	seconds := func(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
	h.Set("ratelimit-policy", fmt.Sprintf("%q;q=%d;w=%d", s.Name, s.Burst, max(1, seconds(s.Window))))
	h.Set("ratelimit", fmt.Sprintf("%q;r=%d;t=%d", s.Name, s.Remaining, seconds(s.Reset)))
	h.Set("ratelimit-limit", strconv.FormatInt(s.Burst, 10))
	h.Set("ratelimit-remaining", strconv.FormatInt(s.Remaining, 10))
	h.Set("ratelimit-reset", strconv.FormatInt(seconds(s.Reset), 10))
}
