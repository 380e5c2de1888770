//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// collectTokens takes page tokens of the owner's lists.
func (p *party) collectTokens(t *testing.T, all []method) {
	t.Helper()
	for _, m := range all {
		size, token := m.Input().Fields().ByName("page_size"), m.Output().Fields().ByName("next_page_token")
		if size == nil || token == nil {
			continue
		}
		for _, req := range abouts(t, m, p) {
			if token := p.pageToken(t, m, req, size, token); token != "" {
				p.tokens = append(p.tokens, token)
			}
		}
	}
	if len(p.tokens) < 2 {
		t.Errorf("%d page tokens", len(p.tokens))
	}
}

// pageToken is what comes after a first page of one entry; nothing else narrows the list.
func (p *party) pageToken(t *testing.T, m method, about *dynamicpb.Message, size, token protoreflect.FieldDescriptor) string {
	t.Helper()
	req := dynamicpb.NewMessage(m.Input())
	for _, name := range m.ids() {
		field := m.Input().Fields().ByName(protoreflect.Name(name))
		req.Set(field, about.Get(field))
	}
	req.Set(size, protoreflect.ValueOfInt32(1))
	all, err := p.answers(t.Context(), m, req)
	switch {
	case status.Code(err) == codes.PermissionDenied: // not for keys of this environment
		return ""
	case err != nil:
		t.Fatalf("%s: %v", m.FullName(), err)
	}
	return all[0].Get(token).String()
}

// snapshot is what the owner reads of everything he has, by method and what it was asked.
func (p *party) snapshot(t *testing.T, all []method) map[string]string {
	t.Helper()
	read := map[string]string{}
	for _, m := range all {
		if m.access.GetChanges() || slices.Contains(growing, m.path()) {
			continue
		}
		for i, req := range abouts(t, m, p) {
			call := fmt.Sprintf("%s (%d)", m.path(), i+1)
			answers, err := p.answers(t.Context(), m, req)
			switch code := status.Code(err); {
			case code == codes.OK:
				read[call] = remembered(answers)
			case code == codes.PermissionDenied: // not for keys, or not for those of this environment
			case code == codes.NotFound && !names(m, req): // a tenant has one, or none
				read[call] = err.Error()
			default:
				t.Errorf("%s by its owner: %v", m.FullName(), err)
			}
		}
	}
	return read
}

// remembered is answers as text without what changes by being looked at.
func remembered(answers []*dynamicpb.Message) string {
	var text strings.Builder
	for _, resp := range answers {
		forget(resp)
		text.WriteString(protojson.Format(resp) + "\n")
	}
	return text.String()
}

// forget clears what changes by being looked at.
func forget(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case slices.Contains(volatile, string(field.Name())):
			m.Clear(field)
		case field.Kind() == protoreflect.MessageKind && field.IsList():
			for i := range value.List().Len() {
				forget(value.List().Get(i).Message())
			}
		case field.Kind() == protoreflect.MessageKind && !field.IsMap():
			forget(value.Message())
		}
		return true
	})
}
