package outbox

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// stream is a Publisher that stores at once, as often as it is asked, or drops while it is away.
type stream struct {
	mu     sync.Mutex
	away   bool
	stored map[uuid.UUID]int
	done   func(context.Context, []eventbus.Parcel)
}

func (s *stream) Publish(parcels ...eventbus.Parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return
	}
	for _, p := range parcels {
		s.stored[p.ID]++
	}
	if s.done != nil {
		s.done(context.Background(), parcels)
	}
}

func (s *stream) times(id uuid.UUID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id]
}

func newRelay(d *postgrestest.Database, now func() time.Time) (*Relay, *stream) {
	s := &stream{stored: map[uuid.UUID]int{}}
	r := NewRelay(d.DB.Worker, s, now)
	r.tick = 5 * time.Millisecond
	s.done = r.Published
	return r, s
}

// later is a clock that stands d after now.
func later(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}

func run(t *testing.T, relays ...*Relay) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, r := range relays {
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func commitParcels(t *testing.T, d *postgrestest.Database, n int) []eventbus.Parcel {
	t.Helper()
	parcels := make([]eventbus.Parcel, n)
	for i := range parcels {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		parcels[i] = eventbus.Parcel{ID: id, Tenant: id, Subject: "a.live.bulk", Entries: 1, Payload: []byte{1}}
	}
	err := postgres.InTx(t.Context(), d.DB.Worker, func(tx pgx.Tx) error { return Append(t.Context(), tx, parcels...) })
	if err != nil {
		t.Fatal(err)
	}
	return parcels
}

// eventually polls until ok, for at most 20 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func rows(t *testing.T, d *postgrestest.Database) (n int64) {
	t.Helper()
	if err := d.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPublishedRowsAreDeleted(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	r, _ := newRelay(d, time.Now)
	parcels := commitParcels(t, d, deleteParcels+10)
	stop := run(t, r)
	r.Published(t.Context(), parcels[:10])
	eventually(t, "10 rows deleted", func() bool { return rows(t, d) == deleteParcels })
	r.Published(t.Context(), parcels[10:])
	stop() // deletes what it still knows
	if n := rows(t, d); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestDeleteDoesNotWaitForTheDisk(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	admin, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(t.Context()) }()
	// The setting as the DELETE's transaction sees it, noted by a trigger.
	_, err = admin.Exec(t.Context(), `CREATE TABLE seen (setting text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
			$$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
		CREATE TRIGGER note AFTER DELETE ON outbox EXECUTE FUNCTION note()`)
	if err != nil {
		t.Fatal(err)
	}
	// The test server has the setting off: a role setting makes the difference visible.
	if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+d.Name+" SET synchronous_commit = 'on'"); err != nil {
		t.Fatal(err)
	}
	d.DB.Worker.Reset() // new connections see it
	r, _ := newRelay(d, time.Now)
	parcels := commitParcels(t, d, 1)
	if err := r.delete(t.Context(), []uuid.UUID{parcels[0].ID}); err != nil {
		t.Fatal(err)
	}
	var inside, outside string
	err = admin.QueryRow(t.Context(), "SELECT setting FROM seen").Scan(&inside)
	if err == nil {
		err = d.DB.Worker.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&outside)
	}
	if err != nil || inside != "off" || outside != "on" {
		t.Errorf("inside %q, outside %q, %v; want off and on", inside, outside, err)
	}
}

func TestYoungRowsAreLeftToTheirProducer(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	commitParcels(t, d, 3)
	r, s := newRelay(d, later(patience-3*time.Second))
	if n, err := r.round(t.Context()); n != 0 || err != nil || len(s.stored) != 0 {
		t.Errorf("claimed %d, %v", n, err)
	}
	if n, oldest, err := r.Lag(t.Context()); n != 3 || err != nil || oldest < 7*time.Second || oldest > time.Minute {
		t.Errorf("lag %d, %v, %v", n, oldest, err)
	}
}

// TestCrashBetweenCommitAndPublish: nobody published; two relays of other replicas see to it, and share the rows.
func TestCrashBetweenCommitAndPublish(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	parcels := commitParcels(t, d, 3*roundParcels+17)
	a, streamA := newRelay(d, later(time.Minute))
	b, streamB := newRelay(d, later(time.Minute))
	stop := run(t, a, b)
	eventually(t, "outbox empty", func() bool { return rows(t, d) == 0 })
	stop()
	for _, p := range parcels {
		if n := streamA.times(p.ID) + streamB.times(p.ID); n != 1 {
			t.Errorf("%s was published %d times", p.ID, n)
		}
	}
	if n, oldest, err := a.Lag(t.Context()); n != 0 || oldest != 0 || err != nil {
		t.Errorf("lag %d, %v, %v", n, oldest, err)
	}
}

// TestCrashOfARelay: one that claimed and died keeps nobody off for longer than its claim.
func TestCrashOfARelay(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	parcels := commitParcels(t, d, 5)
	dead, _ := newRelay(d, later(time.Minute))
	if ids, err := dead.claim(t.Context()); len(ids) != 5 || err != nil {
		t.Fatalf("claimed %d, %v", len(ids), err)
	}
	soon, s := newRelay(d, later(time.Minute+claimFor-time.Second))
	if n, err := soon.round(t.Context()); n != 0 || err != nil {
		t.Errorf("claimed %d of a claim that holds, %v", n, err)
	}
	after, s2 := newRelay(d, later(time.Minute+claimFor+time.Second))
	if n, err := after.round(t.Context()); n != 5 || err != nil {
		t.Errorf("claimed %d, %v", n, err)
	}
	for _, p := range parcels {
		if s.times(p.ID) != 0 || s2.times(p.ID) != 1 {
			t.Errorf("%s: %d, %d", p.ID, s.times(p.ID), s2.times(p.ID))
		}
	}
}

// TestDuplicatesAreHarmless: published by its producer, which dies before the row is deleted, and again by a relay; the
// consumer's inbox lets it through once.
func TestDuplicatesAreHarmless(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", Source)
	parcels := commitParcels(t, d, 20)
	consumer := postgrestest.New(t, "compliance", Source)
	r, s := newRelay(d, later(time.Minute))
	s.stored = map[uuid.UUID]int{}
	s.mu.Lock()
	for _, p := range parcels {
		s.stored[p.ID]++ // by the producer
	}
	s.mu.Unlock()
	if n, err := r.round(ctx); n != 20 || err != nil {
		t.Fatalf("claimed %d, %v", n, err)
	}
	effects := 0
	for delivery := range 2 {
		err := postgres.InTx(ctx, consumer.DB.Worker, func(tx pgx.Tx) error {
			var ids []uuid.UUID
			for _, p := range parcels {
				if s.times(p.ID) == 2 {
					ids = append(ids, p.ID)
				}
			}
			fresh, err := Claim(ctx, tx, "compliance", ids)
			effects += len(fresh)
			return err
		})
		if err != nil || effects != 20 {
			t.Errorf("delivery %d: %d effects, %v", delivery, effects, err)
		}
	}
}

// TestWhileNATSIsAway: rows stay, are tried again when their claim ends, and go when it is back.
func TestWhileNATSIsAway(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	commitParcels(t, d, roundParcels+1)
	var clock sync.Mutex
	offset := time.Minute
	r, s := newRelay(d, func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		offset += claimFor // every look is later than the last claim
		return time.Now().Add(offset)
	})
	s.away = true
	stop := run(t, r)
	defer stop()
	eventually(t, "a claim", func() bool {
		var n int
		err := d.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM outbox WHERE claimed_until IS NOT NULL").Scan(&n)
		return err == nil && n > 0
	})
	if n := rows(t, d); n != roundParcels+1 {
		t.Errorf("%d rows, want all", n)
	}
	s.mu.Lock()
	s.away = false
	s.mu.Unlock()
	eventually(t, "outbox empty", func() bool { return rows(t, d) == 0 })
}

func TestRowsWithoutAParcelGo(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	parcels := commitParcels(t, d, 3)
	if _, err := d.DB.Worker.Exec(t.Context(), "DELETE FROM parcels WHERE parcel_id = $1", parcels[1].ID); err != nil {
		t.Fatal(err)
	}
	r, s := newRelay(d, later(time.Minute))
	stop := run(t, r)
	eventually(t, "outbox empty", func() bool { return rows(t, d) == 0 })
	stop()
	if s.times(parcels[0].ID) != 1 || s.times(parcels[1].ID) != 0 || s.times(parcels[2].ID) != 1 {
		t.Errorf("published %v", s.stored)
	}
}

// TestDeleteSurvivesADatabaseThatIsAway: what could not be deleted is kept and deleted later.
func TestDeleteSurvivesADatabaseThatIsAway(t *testing.T) {
	d := postgrestest.New(t, "ingest", Source)
	parcels := commitParcels(t, d, 4)
	r, _ := newRelay(d, time.Now)
	r.Published(t.Context(), parcels)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if more, err := r.deleteSome(gone); err == nil || !more {
		t.Errorf("more %v, %v", more, err)
	}
	if more, err := r.deleteSome(t.Context()); err != nil || more || rows(t, d) != 0 {
		t.Errorf("more %v, %v, %d rows", more, err, rows(t, d))
	}
}
