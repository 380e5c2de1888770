//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// words are what fields hold in a well-formed request.
var words = map[string]string{"name": "x", "code": "123456", "to": "+919810000001", "scopes": "messages:read", "role": "auditor",
	"content": "template_id,category,headers,body\n", "reason": "x", "text": "x", "body": "x", "value": "x", "brands": "x", "scope": "entity",
	"client_reference": "x", "rule_pack": "2026-01-17", "recipient": "+919810000001", "recipients": "+919810000001", "date": "2026-01-31",
	"state": "UPHELD", "policy": "pref_or_consent", "reference": "x", "contract": "x", "url": "https://127.0.0.1:9/", "event_types": "message.delivered"}

// wellFormed are requests that words do not make, as JSON without the ids of kinds; $entity and $template are those
// the owner sends with.
var wellFormed = map[protoreflect.FullName]string{
	"onlinesms.compliance.v1.ListObjectsRequest":        `{}`,
	"onlinesms.compliance.v1.UpdateObjectStatusRequest": `{"status": "suspended_customer", "reason": "x"}`,
	"onlinesms.compliance.v1.ValidateRequest":           `{"template": {"body": "Code {#numeric#} of a shop"}}`,
	"onlinesms.compliance.v1.MatchRequest":              `{"template_id": "$template", "text": "x"}`,
	"onlinesms.compliance.v1.FindRequest":               `{"text": "$text"}`,
	"onlinesms.compliance.v1.SimulateRequest":           `{"rule_pack": "2026-01-17"}`,
	"onlinesms.compliance.v1.LintRequest":               `{"template_id": "$template"}`,
}

// repeated are fields of reads that an answer may repeat: there an owner's id would be the intruder's own word.
var repeated = []string{"text", "body", "value", "brands", "entity_id", "header", "template_id"}

// abouts are well-formed requests of m that name the owner's objects: one or, where the path has a choice, one for each.
func abouts(t *testing.T, m method, owner *party) (all []*dynamicpb.Message) {
	t.Helper()
	if !slices.Contains(m.ids(), "kind") {
		return []*dynamicpb.Message{about(t, m, owner)}
	}
	fields := m.Input().Fields()
	for _, object := range owner.objects {
		req := about(t, m, owner)
		set(req, fields.ByName("kind"), object.GetKind())
		if id := fields.ByName("object_id"); id != nil {
			set(req, id, object.GetObjectId())
		}
		if field := fields.ByName("object"); field != nil {
			proto.Merge(req.Mutable(field).Message().Interface(), object)
		}
		all = append(all, req)
	}
	return all
}

// about is a well-formed request of m that names the owner's objects.
func about(t *testing.T, m method, owner *party) *dynamicpb.Message {
	t.Helper()
	req := dynamicpb.NewMessage(m.Input())
	form, whole := wellFormed[m.Input().FullName()]
	if whole {
		form = strings.NewReplacer("$entity", owner.entity, "$template", owner.template, "$text", owner.text()).Replace(form)
		if err := protojson.Unmarshal([]byte(form), req); err != nil {
			t.Fatalf("%s: %v", m.Input().FullName(), err)
		}
	}
	for i := range m.Input().Fields().Len() {
		field := m.Input().Fields().Get(i)
		name := string(field.Name())
		if id, isID := owner.ids[name]; isID {
			set(req, field, id)
		} else if word := cmp.Or(owner.registered()[name], words[name]); word != "" && !whole {
			set(req, field, word)
		}
	}
	return req
}

// set gives a field a value from its text; what the text does not fit is left out.
func set(m protoreflect.Message, field protoreflect.FieldDescriptor, text string) {
	var value protoreflect.Value
	number, err := strconv.ParseInt(text, 10, 64)
	switch field.Kind() {
	case protoreflect.StringKind:
		value = protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		value = protoreflect.ValueOfBytes([]byte(text))
	case protoreflect.Int64Kind:
		value = protoreflect.ValueOfInt64(number)
	case protoreflect.Int32Kind:
		value = protoreflect.ValueOfInt32(int32(number))
	default:
		return
	}
	switch {
	case err != nil && (field.Kind() == protoreflect.Int64Kind || field.Kind() == protoreflect.Int32Kind):
	case field.IsList():
		m.Mutable(field).List().Append(value)
	default:
		m.Set(field, value)
	}
}

// fitting are the words and the owner's ids that are well-formed in a field.
func (p *party) fitting(field string) (all []string) {
	for _, o := range p.objects {
		switch field {
		case "kind":
			all = append(all, o.GetKind())
		case "object_id":
			all = append(all, o.GetObjectId())
		}
	}
	for _, word := range []string{words[field], p.ids[field], p.registered()[field]} {
		if word != "" {
			all = append(all, word)
		}
	}
	return all
}

// registered is what the party sends with.
func (p *party) registered() map[string]string {
	return map[string]string{"entity_id": p.entity, "header": p.header, "template_id": p.template}
}

// text is one of the party's template.
func (p *party) text() string { return fmt.Sprintf(p.format, "271828") }

// random fills a request, its parts too, with things of the owner, in whatever field they fit.
func random(r *rand.Rand, m protoreflect.Message, owner *party, things []string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := string(field.Name())
		fitting := owner.fitting(name)
		if slices.Contains(ownSettings, field.FullName()) || r.IntN(3) == 0 {
			continue
		}
		switch {
		case field.Kind() == protoreflect.MessageKind && field.IsList():
			random(r, m.Mutable(field).List().AppendMutable().Message(), owner, things)
		case field.Kind() == protoreflect.MessageKind && !field.IsMap() && field.Message().ParentFile().Package() != "google.protobuf":
			random(r, m.Mutable(field).Message(), owner, things)
		case len(fitting) > 0 && (slices.Contains(repeated, name) || r.IntN(2) == 0):
			set(m, field, fitting[r.IntN(len(fitting))])
		case slices.Contains(repeated, name): // no word fits
		default:
			set(m, field, things[r.IntN(len(things))])
		}
	}
}
