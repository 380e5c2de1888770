package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// claimed is an import in hand, and so many templates it brings.
func claimed(t *testing.T, s *store.Store, tenant uuid.UUID, n int) (*portal.Job, []registry.Change) {
	t.Helper()
	_, err := s.CreateImport(t.Context(), portal.Import{Tenant: tenant, Mode: portal.ModeImport, Actor: "key/k1"}, []byte("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.ClaimImport(t.Context())
	if err != nil || j == nil {
		t.Fatal(j, err)
	}
	changes := make([]registry.Change, n)
	for i := range changes {
		changes[i].After = registry.Object{Kind: registry.Templates, ID: fmt.Sprintf("11071700001%08d", i), Entity: entity, Detail: registry.Detail{
			Category: "service", Body: "Dear {#alphanumeric#}, it is here - ABCBNK"}}
		changes[i].After.Settle()
	}
	j.State = portal.Succeeded
	return j, changes
}

// awaitAnnounced waits until somebody has announced a change of a registry.
func awaitAnnounced(t *testing.T, d *postgrestest.Database) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // poll with a deadline: a lock has no signal
		var n int
		err := d.DB.Worker.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody announces a change")
		}
	}
}

// TestAChangeGoesBeforeAnImport: a change made while an import is written is committed first; the import loses nothing, is
// whole, and follows it. Somebody who changes again and again does not keep it out.
func TestAChangeGoesBeforeAnImport(t *testing.T) {
	s, _, d := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	const n = 4100 // three statements
	j, changes := claimed(t, s, f.Tenant, n)
	versions := make(chan int64, 10)
	var told []int
	err := s.Complete(t.Context(), j, 1, changes, nil, func(written int) {
		told = append(told, written)
		if len(told) > 4 { // more often than an import gives way is not needed to see it come through
			return
		}
		status := []string{"active", "suspended_usage"}[len(told)%2]
		go func() {
			version, err := change(t, s, f.Tenant, registry.Key{Kind: registry.Templates, ID: otp}, func(o *registry.Object) {
				o.Status = status
			})
			if err != nil {
				t.Error(err)
			}
			versions <- version
		}()
		awaitAnnounced(t, d)
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Rows(t.Context(), f.Tenant, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	imported := int64(0)
	count := 0
	for _, o := range rows.Objects {
		if o.ID != otp {
			imported, count = o.Version, count+1
		}
	}
	for range 4 {
		if v := <-versions; v >= imported {
			t.Errorf("a change of version %d waited for the import, version %d", v, imported)
		}
	}
	if count != n || told[len(told)-1] != n {
		t.Errorf("%d of %d are there; told %v", count, n, told)
	}
}

// TestAnImportSeesWhatOthersChanged: what else was changed since it was planned does not matter, an object of its own does.
func TestAnImportSeesWhatOthersChanged(t *testing.T) {
	s, _, _ := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	j, changes := claimed(t, s, f.Tenant, 3)
	suspend := func(o *registry.Object) { o.Status = "suspended_usage" }
	if _, err := change(t, s, f.Tenant, registry.Key{Kind: registry.Templates, ID: otp}, suspend); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), j, 1, changes, nil, func(int) {}); err != nil {
		t.Errorf("another object was changed: %v", err)
	}
	j, changes = claimed(t, s, f.Tenant, 3)
	if _, err := change(t, s, f.Tenant, changes[1].After.Key(), suspend); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), j, 3, changes, nil, func(int) {}); errs.KindOf(err) != errs.Exists {
		t.Errorf("an object of its own was changed: %v", err)
	}
}
