package outbox_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

const subject = "onlinesms.test.v1.ThingsHappened.live.bulk"

func newParcel(t testing.TB, tenant uuid.UUID, size int) eventbus.Parcel {
	t.Helper()
	p := eventbus.Parcel{ID: newID(t), Tenant: tenant, Subject: subject, Entries: 100, Payload: make([]byte, size),
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	rand.Read(p.Payload)
	return p
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func commit(ctx context.Context, d *postgrestest.Database, parcels ...eventbus.Parcel) error {
	return postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error { return outbox.Append(ctx, tx, parcels...) })
}

func count(t testing.TB, d *postgrestest.Database, table string) (n int) {
	t.Helper()
	if err := d.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTenancy(t *testing.T) {
	postgrestest.CheckTenancy(t, postgrestest.New(t, "ingest", outbox.Source))
}

func TestAppendAndLoad(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	a, b := newID(t), newID(t)
	want := []eventbus.Parcel{newParcel(t, a, 0), newParcel(t, b, 100), newParcel(t, a, 200_000)}
	if err := commit(ctx, d, want[2], want[0], want[1]); err != nil {
		t.Fatal(err)
	}
	ids := []uuid.UUID{want[2].ID, newID(t), want[0].ID, want[1].ID}
	got, err := outbox.Load(ctx, d.DB.Worker, ids...)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("worker: %v (-want +got)\n%s", err, diff)
	}
	err = d.DB.InTenant(ctx, b, func(tx pgx.Tx) error {
		got, err := outbox.Load(ctx, tx, ids...)
		if diff := cmp.Diff(want[1:2], got); diff != "" {
			t.Errorf("tenant: (-want +got)\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if n := count(t, d, "outbox"); n != 3 {
		t.Errorf("outbox holds %d rows, want 3", n)
	}
	if err := commit(ctx, d, want[0]); errs.KindOf(err) != errs.Exists {
		t.Errorf("the same parcel again: %v", err)
	}
	if err := commit(ctx, d); err != nil {
		t.Errorf("no parcel: %v", err)
	}
}

func TestAppendIsPartOfItsTransaction(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	broken := errors.New("the change failed")
	err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error {
		if err := outbox.Append(ctx, tx, newParcel(t, newID(t), 10)); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) || count(t, d, "parcels")+count(t, d, "outbox") != 0 {
		t.Errorf("%v, or rows are left", err)
	}
}

// TestClaims is the inbox's promise: many transactions claim overlapping sets in random order, some roll back; there is
// no deadlock, and every id is fresh in exactly one transaction that committed.
func TestClaims(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	const claimers, rounds, known, take = 6, 25, 200, 60
	ids := make([]uuid.UUID, known)
	for i := range ids {
		ids[i] = newID(t)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		owner = map[uuid.UUID]int{}
	)
	undo := errors.New("rolled back")
	for range claimers {
		wg.Go(func() {
			for round := range rounds {
				var mine []uuid.UUID
				for range take { // with repeats, unsorted
					mine = append(mine, ids[mathrand.IntN(known)])
				}
				var fresh map[uuid.UUID]bool
				// Not postgres.InTx: it would hide a deadlock by trying again.
				err := pgx.BeginFunc(ctx, d.DB.Worker, func(tx pgx.Tx) (err error) {
					if fresh, err = outbox.Claim(ctx, tx, "compliance", mine); err == nil && round%3 == 2 {
						err = undo
					}
					return err
				})
				if errors.Is(err, undo) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for id := range fresh {
					owner[id]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range owner {
		if n != 1 {
			t.Errorf("%s was fresh %d times", id, n)
		}
	}
	if n := count(t, d, "inbox"); n != len(owner) {
		t.Errorf("inbox holds %d rows, %d ids were fresh", n, len(owner))
	}
}

func TestClaimIsPerConsumerAndAcrossDays(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	yesterday := newID(t)
	ms := time.Now().Add(-24 * time.Hour).UnixMilli()
	for i := range 6 {
		yesterday[i] = byte(ms >> (40 - 8*i))
	}
	ids := []uuid.UUID{newID(t), yesterday}
	claim := func(consumer string) (fresh map[uuid.UUID]bool) {
		err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) (err error) {
			fresh, err = outbox.Claim(ctx, tx, consumer, ids)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	for consumer, want := range map[string]int{"a": 2, "b": 2} {
		if got := claim(consumer); len(got) != want {
			t.Errorf("%s: %v", consumer, got)
		}
		if again := claim(consumer); len(again) != 0 {
			t.Errorf("%s again: %v", consumer, again)
		}
	}
	if got := claim("c"); !got[ids[0]] || !got[ids[1]] {
		t.Errorf("got %v", got)
	}
}

// A service that was down, or is new, gets parcels as old as a stream keeps events: 72 hours, and minted before that.
func TestTheOldestEventOfAStreamIsClaimed(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	old := uuid.Must(uuid.NewV7())
	ms := time.Now().Add(-73 * time.Hour).UnixMilli()
	for i := range 6 {
		old[i] = byte(ms >> (40 - 8*i))
	}
	err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error {
		fresh, err := outbox.Claim(ctx, tx, "audit", []uuid.UUID{old})
		if err == nil && !fresh[old] {
			t.Error("taken for known")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDeadLetters(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", outbox.Source)
	letters := outbox.NewDeadLetters(d.DB.Worker)
	want := eventbus.DeadLetter{ID: newID(t), Durable: "compliance", Stream: "INGEST_BULK", Subject: subject,
		Sequence: 1 << 40, Data: []byte{1, 2, 3}, Headers: map[string][]string{"traceparent": {"x"}}, Reason: "invalid: no",
		Attempts: 20, Time: time.Now().UTC().Truncate(time.Microsecond)}
	for range 2 {
		if err := letters.Save(ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	list, err := letters.List(ctx, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d letters, %v", len(list), err)
	}
	if diff := cmp.Diff(want, list[0].DeadLetter); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	away := errs.E(errs.Unavailable, "", "NATS is away", nil)
	var replayed []uuid.UUID
	for _, result := range []error{away, nil, nil} {
		err := letters.Replay(ctx, want.ID, func(_ context.Context, l outbox.Letter) error {
			replayed = append(replayed, l.ID)
			return result
		})
		switch len(replayed) {
		case 1:
			if !errors.Is(err, away) {
				t.Errorf("failed replay: %v", err)
			}
		case 2:
			if err != nil && errs.KindOf(err) != errs.Exists {
				t.Errorf("replay: %v", err)
			}
		}
	}
	if len(replayed) != 2 {
		t.Errorf("published %d times, want one failure and one success", len(replayed))
	}
	if list, err := letters.List(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("%d letters wait after the replay, %v", len(list), err)
	}
	err = letters.Replay(ctx, newID(t), func(context.Context, outbox.Letter) error { return nil })
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown letter: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	d := postgrestest.New(b, "ingest", outbox.Source)
	tenant := newID(b)
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprintf("parcels=%d/entries=100", n), func(b *testing.B) {
			for b.Loop() {
				parcels := make([]eventbus.Parcel, n)
				for i := range parcels {
					parcels[i] = newParcel(b, tenant, 26_000)
				}
				if err := commit(b.Context(), d, parcels...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n*100)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func BenchmarkClaim(b *testing.B) {
	d := postgrestest.New(b, "ingest", outbox.Source)
	for b.Loop() {
		ids := make([]uuid.UUID, 100)
		for i := range ids {
			ids[i] = newID(b)
		}
		slices.Reverse(ids)
		err := postgres.InTx(b.Context(), d.DB.Worker, func(tx pgx.Tx) error {
			fresh, err := outbox.Claim(b.Context(), tx, "compliance", ids)
			if len(fresh) != len(ids) {
				b.Errorf("%d fresh", len(fresh))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
