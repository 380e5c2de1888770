package api_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const pe = "1701158019811140068"

// TestExportRoundTrip: what is written is read back, as the command writes it and as the door does.
func TestExportRoundTrip(t *testing.T) {
	goods := 0
	objects := []registry.Object{
		{Kind: registry.Telemarketers, ID: "1302157243747322354", Detail: registry.Detail{Role: "TM-DF", Name: "TM"}},
		{Kind: registry.Entities, ID: pe, Detail: registry.Detail{Chain: []string{"1302157243747322354"}, ChainStatus: "inactive"}},
		{Kind: registry.Headers, ID: "ABCBNK", Entity: pe, Operators: map[string]string{"VI": "inactive"}, ValidUntil: time.Unix(1800000000, 0).UTC()},
		{Kind: registry.CTAs, Entity: pe, Detail: registry.Detail{Type: "dynamic", Value: "https://abc.in/t?"}},
		{Kind: registry.Templates, ID: "1107160000000000011", Entity: pe, Detail: registry.Detail{Body: "a\n{#var#}", Revision: 3, Category: "government",
			Headers: []string{"ABCBNK"}, Goods: &goods, Overrides: []string{"untyped_allowed"}, MaxLength: 9, Variables: []string{"x"}}},
	}
	for i := range objects {
		objects[i].Settle()
	}
	var plain bytes.Buffer
	if err := api.WriteExport(&plain, objects); err != nil {
		t.Fatal(err)
	}
	var door strings.Builder
	for line := range strings.Lines(plain.String()) {
		door.WriteString(`{"result":{"object":` + strings.TrimSuffix(line, "\n") + "}}\n")
	}
	for name, text := range map[string]string{"command": plain.String(), "door": door.String()} {
		back, err := api.ReadExport(strings.NewReader(text))
		if err != nil || len(back) != len(objects) {
			t.Fatalf("%s: %d objects, %v", name, len(back), err)
		}
		for i := range objects {
			if !registry.Same(&objects[i], &back[i]) {
				t.Errorf("%s: %+v, want %+v", name, back[i], objects[i])
			}
		}
	}
	for _, broken := range []string{plain.String() + `{"error":{"code":14}}`, `{"kind":"templates"`, `{"kind":"x"}`, `[]`} {
		if _, err := api.ReadExport(strings.NewReader(broken)); err == nil {
			t.Errorf("taken: %.40q", broken)
		}
	}
}

// TestObjectsThatContradict: what does not fit together is refused with the field's name.
func TestObjectsThatContradict(t *testing.T) {
	header := &compliancev1.RegistryObject_Header{Header: &compliancev1.HeaderDetail{}}
	for name, c := range map[string]struct {
		kind string
		in   *compliancev1.RegistryObject
	}{
		"no kind":           {"x", &compliancev1.RegistryObject{}},
		"another kind":      {"headers", &compliancev1.RegistryObject{Kind: "templates", Detail: header}},
		"another detail":    {"templates", &compliancev1.RegistryObject{Detail: header}},
		"no detail":         {"templates", &compliancev1.RegistryObject{}},
		"no time":           {"headers", &compliancev1.RegistryObject{Detail: header, ValidFromTime: &timestamppb.Timestamp{Nanos: -1}}},
		"owner of an owner": {"entities", &compliancev1.RegistryObject{ObjectId: pe, EntityId: pe}},
	} {
		if _, err := api.DecodeObject(c.kind, c.in); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
