package postgres_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	ingestpostgres "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

var manager = principal.Principal{TenantID: tenantA, Env: "live", Actor: "key/manager", Scopes: []string{"messages:read"}}

// keysOf are the use cases of keys over w, on w's clock, and a verifier beside them.
func keysOf(t *testing.T, w *world) (*tenant.Keys, *tenant.Verifier) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pepper")
	if err := tenant.CreatePeppers(path); err != nil {
		t.Fatal(err)
	}
	peppers, err := tenant.OpenPeppers(t.Context(), secret.File(path), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.EnsureTenant(t.Context(), tenant.Tenant{ID: tenantA, Name: "A"}); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return w.now }
	v := tenant.NewVerifier(w.Store, peppers, now)
	return &tenant.Keys{Store: w.Store, Peppers: peppers, Scopes: []string{"messages:read"}, Now: now, Random: rand.Reader, Forget: v.Forget}, v
}

// recorded is the context of a call that is on record.
func recorded(t *testing.T, action string) context.Context {
	return record.ByOperator(t.Context(), "test", action, manager, time.Now())
}

func refusal(v *tenant.Verifier, key string) string {
	_, err := v.Verify(context.Background(), key)
	if e, ok := err.(*errs.Error); ok { //nolint:errorlint // of the verifier itself
		return e.Reason
	}
	return ""
}

// Item 13 of the acceptance list, with the clock put forward: 89 days work, 90 days and a second do not, though no job
// ran; a reminder at each threshold, once; with a rotation both keys work, and then only the new one.
func TestItem13KeyExpiry(t *testing.T) {
	w := newWorld(t)
	keys, v := keysOf(t, w)
	born := w.now
	_, old, err := keys.Create(recorded(t, "api_key.create"), manager, tenant.KeyWish{Name: "shop", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, whole, err := keys.Create(recorded(t, "api_key.create"), manager, tenant.KeyWish{Name: "rotated", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	other := ingestpostgres.NewStore(w.db.DB, w.published, func() time.Time { return w.now }) // another replica
	warned := map[int]int{}
	remind := func(day int) {
		w.now = born.AddDate(0, 0, day)
		for _, s := range []*ingestpostgres.Store{w.Store, other, w.Store} {
			found, err := s.WarnKeys(t.Context(), tenant.Thresholds)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range found {
				warned[k.Days]++
			}
		}
	}
	for day := range 80 {
		remind(day)
	}
	if warned[30] != 2 || warned[14] != 2 || len(warned) != 2 { // two keys
		t.Errorf("by day 79: %v", warned)
	}
	successor, fresh, after, err := keys.Rotate(recorded(t, "api_key.rotate"), manager, rotated.KID, tenant.DefaultOverlap)
	if err != nil || after.Successor != successor.KID {
		t.Fatal(after, err)
	}
	for day := 80; day < 90; day++ {
		remind(day)
		for name, key := range map[string]string{"never rotated": old, "successor": fresh} {
			if r := refusal(v, key); r != "" {
				t.Errorf("day %d, %s: %s", day, name, r)
			}
		}
		if r := refusal(v, whole); (r == "KEY_EXPIRED") != (day >= 79+7) {
			t.Errorf("day %d, rotated: %q", day, r)
		}
	}
	if warned[7] != 1 || warned[1] != 1 || warned[30] != 2 { // the rotated one is nobody's business any more
		t.Errorf("at the end: %v", warned)
	}
	w.now = born.Add(tenant.KeyLifetime + time.Second)
	if r := refusal(v, old); r != "KEY_EXPIRED" {
		t.Errorf("a second after 90 days: %q", r)
	}
}

// A change is one transaction with its news and its record; a change that fails leaves none of them.
func TestChangeAccess(t *testing.T) {
	w := newWorld(t)
	keys, _ := keysOf(t, w)
	d, _, err := keys.Create(recorded(t, "api_key.create"), manager, tenant.KeyWish{Name: "k", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	w.published.parcels = nil
	if _, err := keys.Revoke(recorded(t, "api_key.revoke"), manager, d.KID, "lost"); err != nil {
		t.Fatal(err)
	}
	if len(w.published.parcels) != 1 {
		t.Fatalf("%d parcels", len(w.published.parcels))
	}
	var news ingestv1.AccessParcel
	p := w.published.parcels[0]
	if err := proto.Unmarshal(p.Payload, &news); err != nil || news.GetChanges()[0].GetKeyId() != d.KID || p.Subject != "onlinesms.ingest.v1.AccessChanged.live.control" {
		t.Errorf("%s %v, %v", p.Subject, &news, err)
	}
	before := w.count(t, "outbox")
	if _, err := keys.Revoke(t.Context(), manager, d.KID, "again"); err == nil || w.count(t, "outbox") != before {
		t.Errorf("a change without a record: %v", err)
	}
	stranger := manager
	stranger.TenantID = tenantB
	if _, err := keys.Revoke(recorded(t, "api_key.revoke"), stranger, d.KID, ""); errs.KindOf(err) != errs.NotFound || w.count(t, "outbox") != before {
		t.Errorf("somebody else's key: %v", err)
	}
	if got, err := w.KeyDetail(t.Context(), tenantA, "live", d.KID); err != nil || got.Reason != "lost" || got.Standing(w.now) != tenant.KeyRevoked {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	keysOf(t, w)
	want := tenant.Settings{Name: "New", Addresses: tenant.Addresses{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Limits: tenant.Limits{RequestsPerSecond: 2.5, RequestBurst: 3, MessagesPerSecond: 4, MessageBurst: 5, RecipientPerHour: 6, TemplatePerSecond: 7}}
	for range 2 {
		if _, err := w.ChangeSettings(recorded(t, "tenant.update"), tenantA, "live", func(s *tenant.Settings) error { *s = want; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.Profile(t.Context(), tenantA, "live")
	if err != nil || got.Name != "New" || got.Limits != want.Limits || len(got.Addresses) != 2 || got.Addresses[1] != want.Addresses[1] {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := w.Profile(t.Context(), tenantA, "test"); err != nil || got.Name != "New" || len(got.Addresses) != 0 || got.Limits != (tenant.Limits{}) {
		t.Errorf("the other environment: %+v, %v", got, err)
	}
}

// Item 25: without a tenant the tenant's role sees no row of any table that has tenants, and writes none.
func TestItem25RowLevelSecurity(t *testing.T) {
	w := newWorld(t)
	keys, _ := keysOf(t, w)
	if _, _, err := keys.Create(recorded(t, "api_key.create"), manager, tenant.KeyWish{Name: "k", Scopes: []string{"messages:read"}}); err != nil {
		t.Fatal(err)
	}
	w.accept(t, tenantA)
	postgrestest.CheckTenancy(t, w.db)
	rows, err := w.db.DB.Worker.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 8 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		for _, as := range []uuid.UUID{uuid.Nil, tenantB} {
			var n int
			count := func(tx pgx.Tx) error { return tx.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n) }
			var err error
			if as == uuid.Nil {
				err = pgx.BeginFunc(t.Context(), w.db.DB.Tenant, count)
			} else {
				err = w.db.DB.InTenant(t.Context(), as, count)
			}
			if err != nil || n != 0 {
				t.Errorf("%s as %s: %d rows, %v", table, as, n, err)
			}
		}
		if _, err := w.db.DB.Tenant.Exec(t.Context(), "DELETE FROM "+table); err == nil {
			t.Errorf("%s: the tenant's role may write", table)
		}
	}
}
