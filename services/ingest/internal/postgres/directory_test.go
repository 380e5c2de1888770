package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestTenantsSeeTheirOwnRowsOnly(t *testing.T) {
	w := newWorld(t)
	for _, id := range []uuid.UUID{tenantA, tenantB} {
		if err := w.EnsureTenant(t.Context(), tenant.Tenant{ID: id, Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := w.InsertKey(t.Context(), tenant.Record{KID: id.String(), Tenant: id, Env: "live", MAC: make([]byte, 32), Scopes: []string{}, Status: "active", Expire: w.now}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Current(t.Context(), "live", id, w.now, "content", func(uint64) ([]byte, error) { return []byte("w"), nil }); err != nil {
			t.Fatal(err)
		}
		key := message.KeyRow{Key: message.Key{Tenant: id, Env: "live"}, Expire: w.now.Add(time.Hour), Taken: message.Taken{Answer: []byte{0, 0}}}
		w.flushes++
		if err := w.Accept(t.Context(), messagetest.NewFlush(w.now, w.flushes, id, key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"tenants", "api_keys", "data_keys", "accepted_parcels", "message_references", "message_events", "idempotency"} {
		err := w.db.DB.InTenant(t.Context(), tenantA, func(tx pgx.Tx) error {
			var mine, others int
			err := tx.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE tenant_id = $1), count(*) FILTER (WHERE tenant_id <> $1) FROM `+table, tenantA).Scan(&mine, &others)
			if mine == 0 || others != 0 {
				t.Errorf("%s: a tenant sees %d rows of his and %d of others", table, mine, others)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	want := tenant.Record{
		KID: "abc", Tenant: tenantA, TenantStatus: "active", Env: "test", PepperVersion: 3, MAC: make([]byte, 32),
		Scopes: []string{"messages:send"}, Status: "active", Expire: w.now.Truncate(time.Microsecond),
	}
	if err := w.EnsureTenant(t.Context(), tenant.Tenant{ID: tenantA, Name: "A"}); err != nil {
		t.Fatal(err)
	}
	if err := w.InsertKey(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := w.InsertKey(t.Context(), want); errs.KindOf(err) != errs.Exists {
		t.Errorf("the same kid again: %v", err)
	}
	got, err := w.Key(t.Context(), "abc")
	if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal), cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := w.Key(t.Context(), "xyz"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an unknown kid: %v", err)
	}
}

// Many at once get the same data key, whoever mints it; once deleted it is gone.
func TestDataKeys(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	ids := make([]uint64, 8)
	for i := range ids {
		wg.Go(func() {
			id, wrapped, err := w.Current(t.Context(), "live", tenantA, w.now, "content", func(id uint64) ([]byte, error) {
				return []byte(fmt.Sprint(id)), nil
			})
			if err != nil || string(wrapped) != fmt.Sprint(id) {
				t.Errorf("key %d is %q: %v", id, wrapped, err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	if len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Fatalf("ids %v", ids)
	}
	if wrapped, err := w.Wrapped(t.Context(), ids[0]); err != nil || string(wrapped) != fmt.Sprint(ids[0]) {
		t.Errorf("%q, %v", wrapped, err)
	}
	if other, _, err := w.Current(t.Context(), "live", tenantA, w.now.AddDate(0, 0, 1), "content", func(uint64) ([]byte, error) { return []byte("w"), nil }); err != nil || other == ids[0] {
		t.Errorf("the next day has key %d, %v", other, err)
	}
	if _, err := w.db.DB.Worker.Exec(t.Context(), "DELETE FROM data_keys"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wrapped(t.Context(), ids[0]); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a destroyed key: %v", err)
	}
}
