package registry_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

func viewOf(objects []registry.Object) registry.View {
	known := map[registry.Key]*registry.Object{}
	for i := range objects {
		objects[i].Settle()
		known[objects[i].Key()] = &objects[i]
	}
	return func(k registry.Key) *registry.Object { return known[k] }
}

func nothing(registry.Key) *registry.Object { return nil }

// reasons of problems, with their fields.
func reasons(problems []registry.Problem) (all []string) {
	for _, p := range problems {
		all = append(all, p.Field+" "+p.Reason)
	}
	return all
}

// Requirement 1: ids are 19 digits and nothing else (I01, I02, I04, I06), and an id that looks like a template's is
// warned of and taken (I03). I05, a JSON number, is refused where JSON is read.
func TestRequirement1Ids(t *testing.T) {
	for id, want := range map[string]string{"1701158019811140068": "", "170115801981114006": "ENTITY_ID_INVALID",
		"170115801981114006X": "ENTITY_ID_INVALID", " 1701158019811140068": "ENTITY_ID_INVALID", "1107177660181979501": ""} {
		o := registry.Object{Kind: registry.Entities, ID: id}
		wrong := registry.Check(&o)
		if (len(wrong) > 0) != (want != "") || len(wrong) > 0 && wrong[0].Reason != want {
			t.Errorf("%q: %v", id, wrong)
		}
	}
	o := registry.Object{Kind: registry.Entities, ID: "1107177660181979501"}
	if w := registry.Warn(&o); len(w) != 1 || w[0].Reason != "LOOKS_LIKE_TEMPLATE_ID" {
		t.Errorf("%v", w)
	}
}

// Requirement 3: what belongs to an entity belongs to it for good, and to one that is registered.
func TestRequirement3Ownership(t *testing.T) {
	o := base()[2]
	o.Entity = "1701158019811140069"
	_, _, problems := registry.Plan(viewOf(base()), []registry.Object{o})
	if diff := cmp.Diff([]string{"entity_id NOT_REGISTERED", "entity_id OWNER_IMMUTABLE"}, reasons(problems)); diff != "" {
		t.Error(diff)
	}
}

// Requirement 9 and 10: the same id with another text is refused, with the next revision it is taken; the same file
// twice changes nothing.
func TestRequirement10IdempotentAndImmutable(t *testing.T) {
	objects := base()
	changes, unchanged, problems := registry.Plan(viewOf(base()), objects)
	if len(changes) != 0 || unchanged != len(objects) || problems != nil {
		t.Errorf("the same again: %d changes, %v", len(changes), problems)
	}
	other := objects[5]
	other.Body += "."
	_, _, problems = registry.Plan(viewOf(base()), []registry.Object{other})
	if diff := cmp.Diff([]string{"body TEMPLATE_BODY_IMMUTABLE"}, reasons(problems)); diff != "" {
		t.Error(diff)
	}
	other.Revision = 2
	changes, _, problems = registry.Plan(viewOf(base()), []registry.Object{other})
	if len(changes) != 1 || problems != nil {
		t.Errorf("the next revision: %v", problems)
	}
	other.Revision = 4
	if _, _, problems = registry.Plan(viewOf(base()), []registry.Object{other}); len(problems) != 1 || problems[0].Reason != "TEMPLATE_REVISION" {
		t.Errorf("a revision too far: %v", problems)
	}
	approved := append(base()[:5:5], other)
	approved[5].Revision, approved[5].Body = 2, "anew {#numeric#}"
	again := approved[5]
	again.Revision = 0
	if changes, unchanged, problems = registry.Plan(viewOf(approved), []registry.Object{again}); len(changes) != 0 || unchanged != 1 || problems != nil {
		t.Errorf("the text in force without its number: %v %v", changes, problems)
	}
}

// TestCheck: everything that is wrong is told, each with its reason.
func TestCheck(t *testing.T) {
	nine := 9
	for _, c := range []struct {
		o    registry.Object
		want []string
	}{
		{registry.Object{Kind: "x"}, []string{"kind UNKNOWN"}},
		{registry.Object{Kind: registry.Telemarketers, ID: "1", Status: "gone"}, []string{"status FORMAT", "object_id FORMAT", "role UNKNOWN"}},
		{registry.Object{Kind: registry.Headers, ID: "VM-ABCBNK", Entity: pe}, []string{"object_id HEADER_FORMAT"}},
		{registry.Object{Kind: registry.Headers, ID: "512345", Entity: pe}, []string{"type CONFLICT"}},
		{registry.Object{Kind: registry.Headers, ID: "ABCBNK", Entity: "x", Operators: map[string]string{"NOKIA": "active"}},
			[]string{"operator_status UNKNOWN", "entity_id ENTITY_ID_INVALID"}},
		{registry.Object{Kind: registry.CTAs, Entity: pe, Detail: registry.Detail{Type: "dynamic", Value: "https://abc.in/t"}}, []string{"value CTA_INVALID"}},
		{registry.Object{Kind: registry.Entities, ID: pe, Detail: registry.Detail{Chain: []string{"1"}, PortalHash: "AB"}},
			[]string{"portal_chain_hash FORMAT", "chain FORMAT"}},
		{registry.Object{Kind: registry.Templates, ID: "1", Entity: pe, Detail: registry.Detail{Category: "spam", Goods: &nine,
			Headers: []string{"AB"}, Overrides: []string{"all"}, Name: strings.Repeat("x", 201)}},
			[]string{"name TOO_LONG", "object_id TEMPLATE_ID_INVALID", "category FORMAT", "body FORMAT", "goods FORMAT", "headers HEADER_FORMAT", "overrides UNKNOWN"}},
		{registry.Object{Kind: registry.Headers, ID: "ABCBNK", Entity: pe, ValidFrom: time.Unix(2, 0), ValidUntil: time.Unix(1, 0)},
			[]string{"valid_until_time CONFLICT"}},
	} {
		c.o.Settle()
		var got []string
		for _, v := range registry.Check(&c.o) {
			got = append(got, v.Field+" "+v.Reason)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.o.Key(), diff)
		}
	}
}

// TestPlanTogether: objects of one call may refer to one another; without what they refer to they are refused, and one
// that stands there twice is.
func TestPlanTogether(t *testing.T) {
	changes, _, problems := registry.Plan(nothing, base())
	if len(changes) != len(base()) || problems != nil || changes[0].After.Kind != registry.Telemarketers {
		t.Errorf("%d changes, %v", len(changes), problems)
	}
	_, _, problems = registry.Plan(nothing, slices.Concat(base()[1:], base()[4:5]))
	if diff := cmp.Diff([]string{"chain NOT_REGISTERED", "object_id DUPLICATE"}, reasons(problems)); diff != "" {
		t.Error(diff)
	}
}

// Requirement 77: the yearly certification of headers and templates is reminded of, as is what is about to end.
func TestRequirement77Reminders(t *testing.T) {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	h := registry.Object{Kind: registry.Headers, ID: "ABCBNK", Created: now.Add(-10 * day)}
	for name, c := range map[string]struct {
		edit func(*registry.Object)
		want []string
	}{
		"nothing to do":    {func(*registry.Object) {}, nil},
		"unused":           {func(o *registry.Object) { o.Created = now.Add(-25 * day) }, []string{"UNUSED_25_DAYS"}},
		"used since":       {func(o *registry.Object) { o.Created, o.Used = now.Add(-90*day), now.Add(-24*day) }, nil},
		"used long ago":    {func(o *registry.Object) { o.Created, o.Used = now.Add(-90*day), now.Add(-26*day) }, []string{"UNUSED_25_DAYS"}},
		"certified":        {func(o *registry.Object) { o.Certified = now.Add(-300 * day) }, nil},
		"to be certified":  {func(o *registry.Object) { o.Certified = now.Add(-340 * day) }, []string{"CERTIFICATION_DUE"}},
		"ends in 20 days":  {func(o *registry.Object) { o.ValidUntil = now.Add(20 * day) }, []string{"VALIDITY_ENDING_30_DAYS"}},
		"ends in 3 days":   {func(o *registry.Object) { o.ValidUntil = now.Add(3 * day) }, []string{"VALIDITY_ENDING_7_DAYS"}},
		"ended":            {func(o *registry.Object) { o.ValidUntil = now.Add(-day) }, nil},
		"inactive already": {func(o *registry.Object) { o.Status, o.Created = "inactive", now.Add(-90*day) }, nil},
	} {
		o := h
		c.edit(&o)
		var got []string
		for _, r := range registry.Remind(&o, now) {
			got = append(got, r.Reason)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Requirement 78: an export is compared with the registry, every difference told, and what the portal has blacklisted is
// to be blacklisted at once.
func TestRequirement78Drift(t *testing.T) {
	ours := []registry.Object{templateOf("1107160000000000011", "a"), templateOf("1107160000000000012", "b"), templateOf("1107160000000000013", "c"),
		templateOf("1107160000000000015", "e").WithStatus("", "inactive")}
	theirs := []registry.Object{templateOf("1107160000000000011", "a"), templateOf("1107160000000000012", "B").WithStatus("", "blacklisted"),
		templateOf("1107160000000000014", "d")}
	known := map[registry.Key]*registry.Object{}
	for i := range ours {
		ours[i].Settle()
		known[ours[i].Key()] = &ours[i]
	}
	for i := range theirs {
		theirs[i].Settle()
	}
	differences, blacklisted := registry.Compare(known, registry.Templates, theirs)
	var got []string
	for _, d := range differences {
		got = append(got, d.ID[17:]+" "+d.Reason)
	}
	if diff := cmp.Diff([]string{"12 STATUS_DIFFERS", "12 BODY_DIFFERS", "14 NOT_IN_REGISTRY", "13 NOT_IN_EXPORT"}, got); diff != "" {
		t.Error(diff)
	}
	if len(blacklisted) != 1 || blacklisted[0].ID != "1107160000000000012" || blacklisted[0].Status != "blacklisted" || blacklisted[0].Body != "b" {
		t.Errorf("%+v", blacklisted)
	}
}

// TestFileRoundTrip: what is written as a registry file is read back as it was.
func TestFileRoundTrip(t *testing.T) {
	goods := 0
	objects := base()
	objects[1].Name, objects[1].PortalHash = "ABC Bank", "643606c77b50faade9b80953b40dcc2685529e185d8427fde5c3f3fae23284c1"
	objects[2].Operators, objects[2].Certified = map[string]string{"VI": "inactive"}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	objects[4].Goods, objects[4].Headers = &goods, []string{"ABCBNK"}
	objects[5].Body = "प्रिय ग्राहक: {#var#}\n \"quoted\" - ABCBNK"
	objects[5].Overrides, objects[5].MaxLength, objects[5].ValidUntil = []string{"untyped_allowed"}, 2000, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	file := registry.File{Tenant: uuid.New(), Rows: registry.Rows{Objects: objects}}
	raw, err := file.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := registry.ParseFile(raw)
	if err != nil || back.Tenant != file.Tenant || len(back.Rows.Objects) != len(objects) {
		t.Fatalf("%v\n%s", err, raw)
	}
	for i := range objects {
		if !registry.Same(&objects[i], &back.Rows.Objects[i]) {
			t.Errorf("%+v, want %+v", back.Rows.Objects[i], objects[i])
		}
	}
}
