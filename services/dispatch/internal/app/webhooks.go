package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/api"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// WebhookConfig is the settings of webhooks.
type WebhookConfig struct {
	// Deny adds networks, CIDR, that no endpoint may be in: pods, services, our own public addresses.
	Deny []netip.Prefix `env:"WEBHOOK_DENY"`
	// Loopback lets endpoints stand on loopback, at any port: for development and tests. Refused unless all the service
	// speaks to stands on loopback too.
	Loopback bool `env:"WEBHOOK_LOOPBACK"`
	// CAFile is PEM certificates that receivers are trusted by instead of the system's.
	CAFile string `env:"WEBHOOK_CA_FILE"`
	// PerEndpoint is how many attempts a replica makes at once to one endpoint, 1 or more.
	PerEndpoint int `env:"WEBHOOK_PER_ENDPOINT" envDefault:"32"`
	// Total is how many a replica makes at once in all, 2 or more.
	Total int `env:"WEBHOOK_TOTAL" envDefault:"512"`
}

// validate tells what is wrong with c beside the addresses the service speaks to.
func (c WebhookConfig) validate(peers ...string) error {
	var problems []error
	if c.PerEndpoint < 1 || c.Total < 2 {
		problems = append(problems, errors.New("WEBHOOK_PER_ENDPOINT must be 1 or more, WEBHOOK_TOTAL 2 or more"))
	}
	for _, peer := range peers {
		if c.Loopback && !onLoopback(peer) {
			problems = append(problems, errors.New("WEBHOOK_LOOPBACK is for a platform on loopback: an address of this one is not"))
			break
		}
	}
	return errors.Join(problems...)
}

// onLoopback tells whether host:port, or a URL, is on loopback.
func onLoopback(addr string) bool {
	if u, err := url.Parse(addr); err == nil && u.Host != "" {
		addr = u.Host
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

var _ seal.DataKeyStore = contentKeys{}

// Current implements seal.DataKeyStore for what lasts: ingest keeps the key, or answers the one that it has.
func (k contentKeys) Current(ctx context.Context, env string, tenant uuid.UUID, _ time.Time, class string,
	mint func(id uint64) ([]byte, error)) (uint64, []byte, error) {
	var fresh [8]byte
	_, _ = rand.Read(fresh[:]) // never fails
	id := binary.BigEndian.Uint64(fresh[:])
	wrapped, err := mint(id)
	if err != nil {
		return 0, nil, err
	}
	resp, err := k.client.KeepLastingKey(ctx, &ingestv1.KeepLastingKeyRequest{
		TenantId: tenant[:], Env: env, Class: class, KeyId: id, WrappedKey: wrapped,
	})
	if err != nil {
		return 0, nil, rpc.FromStatus(err)
	}
	return resp.GetKeyId(), resp.GetWrappedKey(), nil
}

// vault seals and opens endpoints' secrets.
type vault struct{ *seal.Sealer }

// Open implements webhook.Sealer.
func (v vault) Open(ctx context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error) {
	return v.Opener().Open(ctx, dst, sealed, b)
}

// webhooks is the rooms of webhooks, joined.
type webhooks struct {
	store     *store.Webhooks
	endpoints *webhook.Service
	engine    *webhook.Engine
	intake    *webhook.Intake
	streams   *webhook.Streams
}

func (d *dispatch) openWebhooks(sealer *seal.Sealer, log *slog.Logger) error {
	cfg := d.cfg.Webhooks
	roots, err := rootsOf(cfg.CAFile)
	if err != nil {
		return err
	}
	s := store.NewWebhooks(d.db, d.publisher.Publish, newID, time.Now)
	guard := webhook.NewGuard(cfg.Deny, cfg.Loopback)
	client := webhook.NewClient(guard, roots, cfg.PerEndpoint, time.Now)
	directory := webhook.NewDirectory(s, vault{sealer}, time.Now)
	engine := webhook.NewEngine(webhook.EngineConfig{
		Directory: directory, Queue: s, Health: s, Client: client, Log: log, Now: time.Now, PerEndpoint: cfg.PerEndpoint, Total: cfg.Total,
	})
	d.webhooks = &webhooks{
		store: s, engine: engine, intake: webhook.NewIntake(directory, s, engine, time.Now),
		endpoints: webhook.NewService(webhook.ServiceConfig{
			Store: s, Sealer: vault{sealer}, Guard: guard, Client: client, NewID: newID, Now: time.Now,
		}),
		streams: webhook.NewStreams(d.bus, time.Now),
	}
	return nil
}

// rootsOf reads certificates; nil, the system's, without a file.
func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("WEBHOOK_CA_FILE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("WEBHOOK_CA_FILE holds no certificate")
	}
	return roots, nil
}

// register registers the services of webhooks.
func (w *webhooks) register(r grpc.ServiceRegistrar) {
	dispatchv1.RegisterWebhookEndpointServiceServer(r, api.NewEndpointServer(w.endpoints, w.store, time.Now))
	dispatchv1.RegisterWebhookDeliveryServiceServer(r, api.NewDeliveryServer(w.store, time.Now))
	dispatchv1.RegisterMessageEventServiceServer(r, api.NewEventServer(w.streams))
}

// tasks of webhooks, which stop behind the consumers.
func (w *webhooks) tasks() []service.Task {
	return []service.Task{
		{Name: "webhooks", Run: w.engine.Run},
		{Name: "webhook log", Run: func(ctx context.Context) error { return webhook.RunPrune(ctx, w.store) }},
	}
}

// subscriptions are the core events webhooks are made of: those of FEED.
func (w *webhooks) subscriptions(letters eventbus.DeadLetters) (list []eventbus.Subscription) {
	for _, producer := range []string{"ingest", "compliance", "dispatch"} {
		for _, lane := range lanes {
			list = append(list, eventbus.Subscription{
				Stream: eventbus.StreamName(producer, lane), Durable: webhookDurable, MaxEvents: 32, Linger: feedLinger,
				Handler: w.intake.Handle, DeadLetters: letters,
			})
		}
	}
	return list
}

// callers: only the door asks.
func callers() map[string][]string {
	only := map[string][]string{}
	for _, d := range []grpc.ServiceDesc{
		dispatchv1.DispatchService_ServiceDesc, dispatchv1.WebhookEndpointService_ServiceDesc,
		dispatchv1.WebhookDeliveryService_ServiceDesc, dispatchv1.MessageEventService_ServiceDesc,
	} {
		for _, m := range d.Methods {
			only["/"+d.ServiceName+"/"+m.MethodName] = []string{"ingest"}
		}
		for _, s := range d.Streams {
			only["/"+d.ServiceName+"/"+s.StreamName] = []string{"ingest"}
		}
	}
	return only
}

// observe registers the counters of webhooks as metrics.
func (w *webhooks) observe() error {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/dispatch")
	attempts, err := meter.Int64ObservableCounter("dispatch.webhook.attempts", metric.WithDescription("Attempts to deliver an event, by outcome; given_up is the last of its event."))
	if err != nil {
		return err
	}
	disabled, err := meter.Int64ObservableCounter("dispatch.webhook.disabled", metric.WithDescription("Endpoints that were disabled: they answered 410, or failed for five days."))
	if err != nil {
		return err
	}
	flight, err := meter.Int64ObservableGauge("dispatch.webhook.in_flight", metric.WithDescription("Attempts being made."))
	if err != nil {
		return err
	}
	s := w.engine.Stats()
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(attempts, s.Delivered.Load(), metric.WithAttributes(attribute.String("outcome", "delivered")))
		o.ObserveInt64(attempts, s.Failed.Load(), metric.WithAttributes(attribute.String("outcome", "failed")))
		o.ObserveInt64(attempts, s.GivenUp.Load(), metric.WithAttributes(attribute.String("outcome", "given_up")))
		o.ObserveInt64(disabled, s.Disabled.Load())
		o.ObserveInt64(flight, s.InFlight.Load())
		return nil
	}, attempts, disabled, flight)
	return err
}
