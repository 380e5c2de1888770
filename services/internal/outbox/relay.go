package outbox

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	// patience is the age from which a row is taken for forgotten: the Publisher gives its own up after 10 s.
	patience = 10 * time.Second
	// claimFor is how long a claimed row is left to its relay; three times what the Publisher needs.
	claimFor = 30 * time.Second
	// roundParcels bounds a round's memory: 200 parcels of at most 256 KiB.
	roundParcels = 200
	// tick is the pause between rounds; longestPause that while nothing gets through to NATS.
	tick         = time.Second
	longestPause = 10 * time.Second
)

// Publisher takes committed parcels to the stream; it never blocks, and may drop what does not fit its memory.
type Publisher interface {
	Publish(parcels ...eventbus.Parcel)
}

// Relay sees to it that every outbox row is published in the end and then deleted. Any number of replicas may run.
// Publisher and Relay know one another; join them like this:
//
//	var relay *outbox.Relay
//	publisher := bus.NewPublisher(service, func(ctx context.Context, done []eventbus.Parcel) { relay.Published(ctx, done) })
//	relay = outbox.NewRelay(db.Worker, publisher, time.Now)
type Relay struct {
	pool     *pgxpool.Pool
	producer Publisher
	now      func() time.Time
	tick     time.Duration // 1 s; tests are shorter

	mu        sync.Mutex
	published []uuid.UUID        // to be deleted
	awaited   map[uuid.UUID]bool // of the last round, not yet published
	settled   chan struct{}      // closed when awaited is empty
	wake      chan struct{}      // something is in published
}

// NewRelay makes a relay of the worker pool; run it with Run.
func NewRelay(pool *pgxpool.Pool, producer Publisher, now func() time.Time) *Relay {
	return &Relay{pool: pool, producer: producer, now: now, tick: tick, wake: make(chan struct{}, 1)}
}

// Run deletes what was published and publishes again what was forgotten, until ctx ends; then it deletes what it still
// knows, for at most five seconds, and returns nil. Stop it after the Publisher. Failures are logged and tried again.
func (r *Relay) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { r.runDelete(ctx) })
	loops.Go(func() { r.runRepublish(ctx) })
	loops.Wait()
	return nil
}

// Lag tells how many parcels are committed and not known to be published, and the age of the oldest.
func (r *Relay) Lag(ctx context.Context) (rows int64, oldest time.Duration, err error) {
	var first *uuid.UUID
	err = r.pool.QueryRow(ctx, `SELECT count(*), (SELECT parcel_id FROM outbox ORDER BY parcel_id LIMIT 1) FROM outbox`).Scan(&rows, &first)
	if err != nil || first == nil {
		return rows, 0, postgres.Map(err)
	}
	return rows, max(0, r.now().Sub(postgres.Minted(*first))), nil
}

// runRepublish makes a round every tick: full rounds follow one another as soon as they get through to NATS, and seldom
// while nothing does.
func (r *Relay) runRepublish(ctx context.Context) {
	for pause := r.tick; service.Pause(ctx, pause); {
		n, err := r.round(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "outbox not read", slog.String("error", err.Error()))
		}
		switch {
		case n < roundParcels:
			pause = r.tick
		case r.awaitRound(ctx):
			pause = 0
		default:
			pause = min(max(2*pause, r.tick), longestPause)
		}
	}
}

// awaitRound waits until all parcels of the last round were published; false after a tick.
func (r *Relay) awaitRound(ctx context.Context) bool {
	r.mu.Lock()
	settled := r.settled
	r.mu.Unlock()
	select {
	case <-settled:
		return true
	case <-ctx.Done():
		return false
	case <-time.After(r.tick):
		return false
	}
}

// round claims forgotten rows, oldest first, and publishes their parcels. It answers how many it claimed.
func (r *Relay) round(ctx context.Context) (int, error) {
	ids, err := r.claim(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	parcels, err := Load(ctx, r.pool, ids...)
	if err != nil {
		return 0, err // the claims run out
	}
	r.expect(parcels)
	r.producer.Publish(parcels...)
	slog.InfoContext(ctx, "parcels published again", slog.Int("parcels", len(parcels)))
	if len(parcels) < len(ids) {
		r.forget(ctx, ids, parcels)
	}
	return len(ids), nil
}

func (r *Relay) claim(ctx context.Context) ([]uuid.UUID, error) {
	now := r.now()
	rows, err := r.pool.Query(ctx, `
		WITH forgotten AS MATERIALIZED (
			SELECT parcel_id FROM outbox
			WHERE parcel_id < $1 AND (claimed_until IS NULL OR claimed_until <= $2)
			ORDER BY parcel_id LIMIT $3 FOR UPDATE SKIP LOCKED)
		UPDATE outbox o SET claimed_until = $4 FROM forgotten f WHERE o.parcel_id = f.parcel_id RETURNING o.parcel_id`,
		firstAt(now.Add(-patience)), now, roundParcels, now.Add(claimFor))
	if err != nil {
		return nil, postgres.Map(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, postgres.Map(err)
}

// firstAt is the smallest UUIDv7 of a time: ids below were minted before.
func firstAt(t time.Time) (id uuid.UUID) {
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// forget deletes rows whose parcels are gone: retention dropped their day, nothing is left to publish.
func (r *Relay) forget(ctx context.Context, ids []uuid.UUID, found []eventbus.Parcel) {
	var gone []eventbus.Parcel
	for _, id := range ids {
		if _, ok := slices.BinarySearchFunc(found, id, func(p eventbus.Parcel, id uuid.UUID) int { return compare(p.ID, id) }); !ok {
			gone = append(gone, eventbus.Parcel{ID: id})
		}
	}
	slog.ErrorContext(ctx, "outbox rows without parcels deleted", slog.Int("parcels", len(gone)))
	r.Published(ctx, gone)
}

// expect starts to watch for the publication of a round.
func (r *Relay) expect(parcels []eventbus.Parcel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaited = make(map[uuid.UUID]bool, len(parcels))
	for _, p := range parcels {
		r.awaited[p.ID] = true
	}
	r.settled = make(chan struct{})
	if len(parcels) == 0 {
		close(r.settled)
	}
}
