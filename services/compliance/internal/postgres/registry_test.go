package postgres_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

const (
	entity  = "1701158019811140068"
	otp     = "1107160000000000011"
	shipped = "1107160000000000022"
)

var author = registry.Author{Actor: "key/k1", Action: "registry.import", Reason: "as registered"}

// change makes one object what edit says.
func change(t *testing.T, s *store.Store, tenant uuid.UUID, key registry.Key, edit func(*registry.Object)) (int64, error) {
	t.Helper()
	o, err := s.Object(t.Context(), tenant, key)
	if err != nil {
		t.Fatal(err)
	}
	edit(&o)
	return s.Import(t.Context(), tenant, author, []registry.Object{o})
}

// TestImport: what is imported is read back, twice is like once, and what is new is announced with who did it.
func TestImport(t *testing.T) {
	s, p, d := open(t)
	f := demo(t)
	goods := 5
	for i := range f.Rows.Objects {
		if o := &f.Rows.Objects[i]; o.ID == shipped {
			o.Variables, o.Goods = []string{"name", "order", "link"}, &goods
			o.Operators = map[string]string{"VI": "inactive"}
			o.ValidUntil = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		}
	}
	for range 2 {
		if version, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil || version != 1 {
			t.Fatalf("version %d, %v", version, err)
		}
	}
	got, err := s.Export(t.Context(), f.Tenant)
	if err != nil || got.Version != 1 || len(got.Objects) != len(f.Rows.Objects) {
		t.Fatalf("%d objects of version %d, %v", len(got.Objects), got.Version, err)
	}
	for _, o := range got.Objects {
		i := slices.IndexFunc(f.Rows.Objects, func(w registry.Object) bool { return w.Key() == o.Key() })
		if !registry.Same(&o, &f.Rows.Objects[i]) {
			t.Errorf("%+v, want %+v", o, f.Rows.Objects[i])
		}
	}
	announced := p.all()
	if len(announced) != 1 || announced[0].Subject != "onlinesms.compliance.v1.RegistryChanged.live.control" {
		t.Fatalf("announced: %+v", announced)
	}
	event := unmarshal(t, announced[0].Payload, &compliancev1.RegistryChangeParcel{})
	if event.GetVersion() != 1 || !slices.Contains(event.GetObjects(), "templates/"+otp) || event.GetActor() != "key/k1" || event.GetAction() != "registry.import" {
		t.Errorf("event: %v", event)
	}
	if other, err := s.Rows(t.Context(), uuid.New(), 0, nil); err != nil || other.Version != 0 || len(other.Objects) != 0 {
		t.Errorf("another tenant reads %+v, %v", other, err)
	}
	postgrestest.CheckTenancy(t, d)
}

// TestChangesAreReadAlone: after one change of many objects, what is read since the version before is that one, and the
// event tells it before and after.
func TestChangesAreReadAlone(t *testing.T) {
	s, p, _ := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	key := registry.Key{Kind: registry.Templates, ID: otp}
	if version, err := change(t, s, f.Tenant, key, func(o *registry.Object) { o.Status = "suspended_usage" }); err != nil || version != 2 {
		t.Fatal(version, err)
	}
	rows, err := s.Rows(t.Context(), f.Tenant, 1, nil)
	if err != nil || rows.Version != 2 || len(rows.Objects) != 1 || rows.Objects[0].Key() != key {
		t.Fatalf("%+v %v", rows, err)
	}
	event := unmarshal(t, p.all()[1].Payload, &compliancev1.RegistryChangeParcel{})
	var before, after registry.Object
	if len(event.GetChanges()) != 1 || json.Unmarshal([]byte(event.GetChanges()[0].GetBefore()), &before) != nil ||
		json.Unmarshal([]byte(event.GetChanges()[0].GetAfter()), &after) != nil || before.Status != "active" || after.Status != "suspended_usage" {
		t.Errorf("%v", event)
	}
	if versions, err := s.Versions(t.Context()); err != nil || versions[f.Tenant].Registry != 2 || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
}

// Requirement 9: bodies are immutable and versioned; a changed body needs a new id, or the next revision.
func TestRequirement9BodiesAreImmutable(t *testing.T) {
	s, p, _ := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	key := registry.Key{Kind: registry.Templates, ID: otp}
	_, err := change(t, s, f.Tenant, key, func(o *registry.Object) { o.Body += "!" })
	if errs.KindOf(err) != errs.Exists || !strings.Contains(err.Error(), "TEMPLATE_BODY_IMMUTABLE") || len(p.all()) != 1 {
		t.Errorf("another text: %v", err)
	}
	if _, err := change(t, s, f.Tenant, key, func(o *registry.Object) { o.Body, o.Revision = o.Body+"!", 2 }); err != nil {
		t.Fatal(err)
	}
	all, err := s.Revisions(t.Context(), f.Tenant, otp)
	if err != nil || len(all) != 2 || all[0].Number != 2 || all[0].Body != all[1].Body+"!" {
		t.Errorf("%+v %v", all, err)
	}
}

// TestPages: filtered by owner, status and status at an operator, in the order of ids.
func TestPages(t *testing.T) {
	s, _, _ := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	if _, err := change(t, s, f.Tenant, registry.Key{Kind: registry.Templates, ID: shipped}, func(o *registry.Object) {
		o.Operators = map[string]string{"VI": "inactive"}
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		q    registry.Query
		want []string
	}{
		"first two":           {registry.Query{Kind: registry.Templates, Limit: 2}, []string{otp, shipped}},
		"after":               {registry.Query{Kind: registry.Templates, After: shipped, Limit: 1}, []string{"1107160000000000033"}},
		"inactive at VI":      {registry.Query{Kind: registry.Templates, Status: "inactive", Operator: "VI", Limit: 9}, []string{shipped}},
		"portal-wide":         {registry.Query{Kind: registry.Templates, Status: "inactive", Limit: 9}, nil},
		"of another entity":   {registry.Query{Kind: registry.Headers, Entity: "1701158019811140069", Limit: 9}, nil},
		"of the entity":       {registry.Query{Kind: registry.Headers, Entity: entity, Limit: 9}, []string{"512345", "ABCBNK"}},
		"telemarketers, all ": {registry.Query{Kind: registry.Telemarketers, Limit: 9}, []string{"1302157243747322354"}},
	} {
		found, err := s.Objects(t.Context(), f.Tenant, c.q)
		var ids []string
		for _, o := range found {
			ids = append(ids, o.ID)
		}
		if diff := cmp.Diff(c.want, ids); diff != "" || err != nil {
			t.Errorf("%s: %s %v", name, diff, err)
		}
	}
	if _, err := s.Object(t.Context(), uuid.New(), registry.Key{Kind: registry.Templates, ID: otp}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("another tenant: %v", err)
	}
}

// TestStops: once on however often, once off, announced each time it changes.
func TestStops(t *testing.T) {
	s, p, d := open(t)
	tenant := uuid.New()
	stop := registry.Stop{Scope: registry.StopHeader, Object: "ABCBNK", Reason: "phishing", Actor: "key/k1"}
	for range 2 {
		got, err := s.Stop(t.Context(), tenant, stop)
		if err != nil || got.Reason != "phishing" {
			t.Fatal(got, err)
		}
	}
	all, err := s.Stops(t.Context(), tenant)
	if err != nil || len(all.Stops) != 1 || all.Stops[0].Object != "ABCBNK" || all.Version < 1 {
		t.Fatalf("%+v %v", all, err)
	}
	if err := s.Resume(t.Context(), uuid.New(), stop); errs.KindOf(err) != errs.NotFound {
		t.Errorf("another tenant: %v", err)
	}
	if err := s.Resume(t.Context(), tenant, stop); err != nil {
		t.Fatal(err)
	}
	after, err := s.Stops(t.Context(), tenant)
	if err != nil || len(after.Stops) != 0 || after.Version <= all.Version || len(p.all()) != 2 {
		t.Errorf("%+v %v, %d announced", after, err, len(p.all()))
	}
	postgrestest.CheckTenancy(t, d)
}

// Requirement 8, the part of reminders: each is raised once; a use moves the one for what is unused.
func TestRequirement8RemindersAreRaisedOnce(t *testing.T) {
	s, p, _ := open(t)
	f := demo(t)
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	snapshot, _ := registry.NewSnapshot(f.Rows)
	now := time.Now()
	snapshot.Template(otp).Touch(registry.Day(now.AddDate(0, 0, 10)))
	if used := snapshot.Used(); len(used) != 1 || s.MarkUsed(t.Context(), f.Tenant, used) != nil {
		t.Fatalf("%+v", used)
	}
	later := now.AddDate(0, 0, 26)
	remind := func() []registry.Reminder {
		rows, err := s.Export(t.Context(), f.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		var all []registry.Reminder
		for i := range rows.Objects {
			all = append(all, registry.Remind(&rows.Objects[i], later)...)
		}
		return all
	}
	if all := remind(); len(all) != 6 { // two headers, five templates, one of them used
		t.Errorf("%d reminders: %+v", len(all), all)
	}
	for i, want := range []int{6, 0} {
		if n, err := s.Remind(t.Context(), f.Tenant, remind()); err != nil || n != want {
			t.Errorf("run %d raised %d, %v", i, n, err)
		}
	}
	parcels := p.all()
	event := unmarshal(t, parcels[len(parcels)-1].Payload, &compliancev1.RegistryReminderParcel{})
	if len(event.GetReminders()) != 6 || event.GetReminders()[0].GetReason() != "UNUSED_25_DAYS" {
		t.Errorf("%v", event)
	}
}

// Requirement 43: a chain whose hash is not the portal's raises the alarm with the change.
func TestRequirement43ChainHashAlarm(t *testing.T) {
	s, p, _ := open(t)
	f := demo(t)
	for i := range f.Rows.Objects {
		if o := &f.Rows.Objects[i]; o.Kind == registry.Entities {
			o.PortalHash = strings.Repeat("0", 64)
		}
	}
	if _, err := s.Import(t.Context(), f.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.NewSnapshot(f.Rows); err == nil {
		t.Error("a snapshot takes the chain")
	}
	waiting := 0
	for _, parcel := range p.all() {
		if strings.HasPrefix(parcel.Subject, "onlinesms.compliance.v1.RegistryRemindersRaised.") {
			waiting++
		}
	}
	if waiting != 1 {
		t.Errorf("%d alarms", waiting)
	}
}

// TestImportsAreTidied: an upload that was left for a day ends, with its parts; what ended long ago is forgotten.
func TestImportsAreTidied(t *testing.T) {
	now := time.Now()
	d := postgrestest.New(t, "compliance", store.Sources...)
	s := store.NewStore(d.DB, (&published{}).publish, newID, func() time.Time { return now })
	tenant := uuid.New()
	i, err := s.CreateImport(t.Context(), portal.Import{Tenant: tenant, Mode: portal.ModeImport, Actor: "key/k1"}, []byte("a"), true)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.TidyImports(t.Context()); n != 0 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	now = now.Add(25 * time.Hour)
	if n, err := s.TidyImports(t.Context()); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	var parts int
	if err := d.DB.Worker.QueryRow(t.Context(), `SELECT count(*) FROM registry_import_parts`).Scan(&parts); err != nil || parts != 0 {
		t.Errorf("%d parts, %v", parts, err)
	}
	if got, err := s.GetImport(t.Context(), tenant, i.ID); err != nil || got.State != portal.Failed || got.Reason != "IMPORT_ABANDONED" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := s.AppendImport(t.Context(), tenant, i.ID, 1, []byte("b"), false); errs.KindOf(err) != errs.Exists {
		t.Errorf("added to: %v", err)
	}
	now = now.AddDate(0, 0, 91)
	if _, err := s.TidyImports(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetImport(t.Context(), tenant, i.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("kept: %v", err)
	}
}

// TestUploadsInParts: parts must follow one another; the bounds of size and number hold; another tenant has no part in it.
func TestUploadsInParts(t *testing.T) {
	s, _, _ := open(t)
	tenant := uuid.New()
	begin := func() (portal.Import, error) {
		return s.CreateImport(t.Context(), portal.Import{Tenant: tenant, Mode: portal.ModeImport, Actor: "key/k1"}, []byte("abc"), true)
	}
	i, err := begin()
	if err != nil || i.State != portal.Uploading || i.Size != 3 {
		t.Fatal(i, err)
	}
	for _, c := range []struct {
		name   string
		tenant uuid.UUID
		offset int64
		want   errs.Kind
	}{{"another tenant", uuid.New(), 3, errs.NotFound}, {"a gap", tenant, 4, errs.Invalid}, {"an overlap", tenant, 1, errs.Invalid}} {
		if _, err := s.AppendImport(t.Context(), c.tenant, i.ID, c.offset, []byte("defg"), true); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for range 2 { // the second is a repetition
		if i, err = s.AppendImport(t.Context(), tenant, i.ID, 3, []byte("def"), false); err != nil || i.Size != 6 || i.State != portal.Queued {
			t.Fatal(i, err)
		}
	}
	job, err := s.ClaimImport(t.Context())
	if err != nil || string(job.Content) != "abcdef" || job.Attempts != 1 {
		t.Fatal(job, err)
	}
	for range 9 {
		if _, err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := begin(); errs.KindOf(err) != errs.Exhausted {
		t.Errorf("an eleventh: %v", err)
	}
}
