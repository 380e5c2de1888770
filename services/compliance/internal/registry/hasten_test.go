package registry_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// TestHastenOvertakesARefresh: a suspension is in place while what was imported before is still being read, it is there
// after it, and no older state comes over it.
func TestHastenOvertakesARefresh(t *testing.T) {
	tenant, id := uuid.New(), "1107160000000000012"
	at := func(version int64, status string) []registry.Object {
		objects := base()
		for i := range objects {
			objects[i].Settle()
			objects[i].Version = 1
			if objects[i].ID == id {
				objects[i].Version, objects[i].Status = version, status
			}
		}
		return objects
	}
	src := &source{rows: map[uuid.UUID]registry.Rows{tenant: {Version: 1, Objects: at(1, "active")}}, stops: map[uuid.UUID]registry.Stops{}}
	r := registry.New(src)
	if _, err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := []registry.Key{{Kind: registry.Templates, ID: id}}
	status := func() policy.Status { return r.Snapshot(tenant).Template(id).Status }
	if err := r.Hasten(t.Context(), tenant, 2, keys); err != nil || r.Snapshot(tenant).Version() != 1 {
		t.Fatalf("with nobody ahead: version %d, %v", r.Snapshot(tenant).Version(), err)
	}
	imported := registry.Rows{Version: 2, Objects: append(at(1, "active"), templateOf("1107160000000000013", "imported {#numeric#}"))}
	imported.Objects[len(imported.Objects)-1].Version = 2
	reading, read := make(chan struct{}), make(chan struct{})
	src.whole = func() {
		close(reading)
		<-read
		src.rows[tenant] = imported // what was read is from before the suspension
	}
	refreshed := make(chan error)
	go func() {
		_, err := r.Refresh(t.Context(), tenant, 2)
		refreshed <- err
	}()
	<-reading
	src.rows[tenant] = registry.Rows{Version: 3, Objects: at(3, "suspended_usage")}
	if err := r.Hasten(t.Context(), tenant, 3, keys); err != nil {
		t.Fatal(err)
	}
	if status() != policy.SuspendedUsage || r.Snapshot(tenant).Version() != 1 {
		t.Errorf("hastened: %v, version %d", status(), r.Snapshot(tenant).Version())
	}
	close(read)
	if err := <-refreshed; err != nil {
		t.Fatal(err)
	}
	if status() != policy.SuspendedUsage || r.Snapshot(tenant).Template("1107160000000000013") == nil || r.Snapshot(tenant).Version() != 2 {
		t.Errorf("refreshed: %v, version %d", status(), r.Snapshot(tenant).Version())
	}
	src.whole = nil
	src.rows[tenant] = registry.Rows{Version: 4, Objects: at(4, "active")}
	if _, err := r.Refresh(t.Context(), tenant, 4); err != nil || status() != policy.Active {
		t.Errorf("its turn came: %v, %v", status(), err)
	}
	if err := r.Hasten(t.Context(), tenant, 3, keys); err != nil || status() != policy.Active {
		t.Errorf("too late: %v, %v", status(), err)
	}
}
