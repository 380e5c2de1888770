package webhook_test

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// patience bounds every wait: the machine may be loaded.
const patience = 2 * time.Minute

// keyStore is where data keys are kept in a test.
type keyStore struct {
	mu   sync.Mutex
	keys map[uint64][]byte
}

func (k *keyStore) Wrapped(_ context.Context, id uint64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.keys[id]; ok {
		return w, nil
	}
	return nil, errs.E(errs.NotFound, "NOT_FOUND", "no such key", nil)
}

func (k *keyStore) Current(_ context.Context, env string, tenant uuid.UUID, _ time.Time, _ string, mint func(uint64) ([]byte, error)) (uint64, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := binary.BigEndian.Uint64(tenant[8:]) ^ uint64(len(env))<<32 ^ uint64(env[0])
	if w, ok := k.keys[id]; ok {
		return id, w, nil
	}
	w, err := mint(id)
	k.keys[id] = w
	return id, w, err
}

// vault is webhook.Sealer.
type vault struct{ *seal.Sealer }

func (v vault) Open(ctx context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error) {
	return v.Opener().Open(ctx, dst, sealed, b)
}

// world is webhooks on a real database, without a bus.
type world struct {
	t      testing.TB
	db     *postgrestest.Database
	store  *store.Webhooks
	sealer vault
	guard  *webhook.Guard
	roots  *x509.CertPool
	clock  *clock
	tenant uuid.UUID
	keys   *keyStore
	kek    string // files
	ring   string

	mu   sync.Mutex
	told []eventbus.Parcel
}

// clock is the time, moved by the test.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, db: postgrestest.New(t, "dispatch", outbox.Source, store.Source), clock: &clock{}, tenant: newID(),
		guard: webhook.NewGuard(nil, true), roots: x509.NewCertPool(),
	}
	dir := t.TempDir()
	w.kek, w.ring = filepath.Join(dir, "kek"), filepath.Join(dir, "ring")
	w.must(seal.GenerateFileKEK(w.kek))
	kek, err := seal.ReadKEK(t.Context(), secret.File(w.kek), time.Now)
	w.must(err)
	w.must(seal.CreateKeyring(t.Context(), kek, w.ring, "live", "test"))
	ring, err := seal.OpenKeyring(t.Context(), secret.File(w.kek), secret.File(w.ring), time.Now)
	w.must(err)
	w.keys = &keyStore{keys: map[uint64][]byte{}}
	w.sealer = vault{seal.NewSealer(ring, w.keys, time.Now)}
	w.store = store.NewWebhooks(w.db.DB, func(p ...eventbus.Parcel) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, p...)
	}, newID, w.clock.now)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// until polls until what holds.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// another is the same world as another tenant sees it.
func (w *world) another(t testing.TB) *world {
	return &world{t: t, db: w.db, store: w.store, sealer: w.sealer, guard: w.guard, roots: w.roots, clock: w.clock, tenant: newID()}
}

func (w *world) client() *webhook.Client { return webhook.NewClient(w.guard, w.roots, 32, w.clock.now) }

func (w *world) service() *webhook.Service {
	return webhook.NewService(webhook.ServiceConfig{
		Store: w.store, Sealer: w.sealer, Guard: w.guard, Client: w.client(), NewID: newID, Now: w.clock.now,
	})
}

// sender is an engine with its intake, running.
type sender struct {
	*webhook.Engine
	intake *webhook.Intake
	stop   func()
}

func (w *world) start() *sender {
	w.t.Helper()
	d := webhook.NewDirectory(w.store, w.sealer, w.clock.now)
	e := webhook.NewEngine(webhook.EngineConfig{
		Directory: d, Queue: w.store, Health: w.store, Client: w.client(), Log: slog.New(slog.DiscardHandler), Now: w.clock.now,
		PerEndpoint: 32, Total: 128,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	s := &sender{Engine: e, intake: webhook.NewIntake(d, w.store, e, w.clock.now)}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(s.stop)
	return s
}

// receiver is a tenant's server.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string][]attempt // by event id
	all  int
}

// attempt is a request as the receiver got it.
type attempt struct {
	header http.Header
	body   []byte
}

// receive answers challenges, remembers the rest and lets answer have a word; nil: 204.
func (w *world) receive(answer http.HandlerFunc) *receiver {
	w.t.Helper()
	r := &receiver{seen: map[string][]attempt{}}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		content, _ := io.ReadAll(req.Body)
		var event struct{ Type, Challenge string }
		if json.Unmarshal(content, &event) == nil && event.Type == "endpoint.verify" {
			_ = json.NewEncoder(rw).Encode(map[string]string{"challenge": event.Challenge})
			return
		}
		id := req.Header.Get("X-SMS-Event-Id")
		r.mu.Lock()
		r.seen[id] = append(r.seen[id], attempt{req.Header.Clone(), content})
		r.all++
		r.mu.Unlock()
		if answer != nil {
			answer(rw, req)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	}))
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	r.StartTLS()
	w.t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	w.roots.AddCert(r.Certificate())
	return r
}

func (r *receiver) events() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *receiver) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (r *receiver) last() (a attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tries := range r.seen {
		a = tries[len(tries)-1]
	}
	return a
}

// endpoint makes and verifies an endpoint of the world's tenant.
func (w *world) endpoint(url string, types ...string) (webhook.Place, string) {
	w.t.Helper()
	e, secret, err := w.service().Create(w.t.Context(), w.tenant, "live", webhook.Wish{URL: url, Types: types, Ed25519: true})
	w.must(err)
	at := webhook.Place{Tenant: w.tenant, Env: "live", Endpoint: e.ID}
	_, err = w.service().Verify(w.t.Context(), at)
	w.must(err)
	return at, secret
}

// delivered is an event that n messages of a tenant are delivered, as it comes from the bus.
func delivered(t testing.TB, tenant uuid.UUID, n int) eventbus.Delivery {
	t.Helper()
	id := newID()
	parcel := &dispatchv1.OutcomeParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:]}
	for range n {
		message := newID()
		parcel.Outcomes = append(parcel.Outcomes, &dispatchv1.Outcome{
			MessageId: message[:], TimeUs: time.Now().UnixMicro(), Route: "sim", Encoding: "GSM7", Segments: 1, OperatorCode: "000",
		})
	}
	event := "onlinesms.dispatch.v1.MessagesDelivered"
	data, err := proto.Marshal(&dispatchv1.MessagesDelivered{
		Metadata: &eventv1.Metadata{EventId: id[:], Time: timestamppb.Now(), Env: typev1.Environment_LIVE, Lane: typev1.Lane_BULK},
		Parcels:  []*dispatchv1.OutcomeParcel{parcel},
	})
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{Event: event, Env: "live", Lane: "bulk", Subject: eventbus.Subject(event, "live", "bulk"), Data: data}
}

// send takes events of n messages in.
func (w *world) send(s *sender, tenant uuid.UUID, n int) {
	w.t.Helper()
	for ; n > 0; n -= 500 {
		w.must(s.intake.Handle(w.t.Context(), []eventbus.Delivery{delivered(w.t, tenant, min(n, 500))}))
	}
}

// states counts the deliveries of an endpoint by state.
func (w *world) states(at webhook.Place) map[webhook.State]int {
	w.t.Helper()
	rows, err := w.db.DB.Worker.Query(w.t.Context(), `SELECT state, count(*) FROM webhook_deliveries WHERE endpoint_id = $1 GROUP BY 1`, at.Endpoint)
	w.must(err)
	defer rows.Close()
	found := map[webhook.State]int{}
	for rows.Next() {
		var s webhook.State
		var n int
		w.must(rows.Scan(&s, &n))
		found[s] = n
	}
	w.must(rows.Err())
	return found
}
