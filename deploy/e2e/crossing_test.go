//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// walks is how many random requests of each RPC an intruder tries.
const walks = 25

// Item 11 of the acceptance list, for every RPC the running door offers: a key of one environment neither sees nor
// changes what the same tenant has in the other.
func TestItem11EnvironmentsDoNotMeet(t *testing.T) {
	live, test := newParty(t, otherSender(3), "live"), newParty(t, otherSender(3), "test")
	cross(t, live, test, codes.NotFound, codes.PermissionDenied)
	cross(t, test, live, codes.NotFound, codes.PermissionDenied)
}

// Item 24: no tenant sees or changes what another has: always 404, and nothing leaks.
func TestItem24TenantsDoNotMeet(t *testing.T) {
	for _, env := range []string{"live", "test"} {
		a, b := newParty(t, otherSender(3), env), newParty(t, otherSender(4), env)
		cross(t, a, b, codes.NotFound)
		cross(t, b, a, codes.NotFound)
	}
}

// newParty makes an object of each kind.
func newParty(t *testing.T, s sender, env string) *party {
	t.Helper()
	p := &party{sender: s, env: env, key: keyOf(t, s.tenant, env), ids: map[string]string{}}
	p.conn = dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), p.key)
	for _, k := range kinds {
		p.ids[k.field] = k.make(t, p)
	}
	return p
}

// cross lets an intruder call everything about the owner's objects, then random things, and compares what the owner
// has before and after.
func cross(t *testing.T, owner, intruder *party, want ...codes.Code) {
	t.Helper()
	all := offered(t, owner.conn)
	owner.collectTokens(t, all)
	before := owner.snapshot(t, all)
	named := 0
	refusals := map[string][]codes.Code{}
	for _, m := range all {
		checkKinds(t, m)
		req := about(m, owner)
		if !names(m, req) {
			continue
		}
		named++
		refusals[m.path()] = intruder.tries(t, m, req, owner)
	}
	if named < 9 {
		t.Errorf("only %d of %d RPCs name an object", named, len(all))
	}
	intruder.walk(t, all, owner)
	after := owner.snapshot(t, all)
	for path, was := range before {
		if is := after[path]; is != was {
			t.Errorf("%s of the owner was\n%s\nand is now\n%s", path, was, is)
		}
	}
	owner.confirm(t, all, refusals, want)
}

// checkKinds fails where a request names what nobody here knows how to make.
func checkKinds(t *testing.T, m method) {
	t.Helper()
	fields := m.Input().Fields()
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		inPath := slices.Contains(m.ids(), name)
		known := slices.ContainsFunc(kinds, func(k kind) bool { return k.field == name })
		if !known && (inPath || strings.HasSuffix(name, "_id") && !slices.Contains(registered, name)) {
			t.Errorf("%s names an object by %s: say in kinds how one is made", m.FullName(), name)
		}
	}
}

// names tells whether a request names an object.
func names(m method, req *dynamicpb.Message) bool {
	return slices.ContainsFunc(kinds, func(k kind) bool {
		field := m.Input().Fields().ByName(protoreflect.Name(k.field))
		return field != nil && req.Has(field)
	})
}

// addressed tells whether a method is about one object whose id is nobody else's: then a stranger gets 404.
func addressed(m method) bool {
	return slices.ContainsFunc(kinds, func(k kind) bool { return !k.counted && slices.Contains(m.ids(), k.field) })
}

// invoke calls an RPC and answers its response as text.
func (p *party) invoke(ctx context.Context, m method, req proto.Message) (string, error) {
	resp := dynamicpb.NewMessage(m.Output())
	if err := p.conn.Invoke(ctx, m.path(), req, resp); err != nil {
		return "", err
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Format(resp), nil
}

// tries calls m by gRPC and by JSON and answers the codes; what comes back must hold nothing of the owner's.
func (p *party) tries(t *testing.T, m method, req proto.Message, owner *party) (got []codes.Code) {
	t.Helper()
	text, err := p.invoke(t.Context(), m, req)
	owner.mustNotBeIn(t, m, text)
	got = append(got, status.Code(err))
	if m.rule == nil {
		return got
	}
	verb, path, body := m.request(t, req)
	answer := call(t, verb, path, p.key, body)
	switch answer.status {
	case http.StatusOK:
		owner.mustNotBeIn(t, m, string(answer.body))
		return append(got, codes.OK)
	case http.StatusNotFound:
		return append(got, codes.NotFound)
	case http.StatusForbidden:
		return append(got, codes.PermissionDenied)
	}
	t.Errorf("%s %s of another: %d %s", verb, path, answer.status, answer.body)
	return got
}

// mustNotBeIn looks for the owner's ids in an answer to somebody else.
func (p *party) mustNotBeIn(t *testing.T, m method, text string) {
	t.Helper()
	marks := []string{"of " + p.tenant + " " + p.env}
	for _, k := range kinds {
		if !k.counted {
			marks = append(marks, p.ids[k.field])
		}
	}
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			t.Errorf("%s shows another what is not his (%s): %.500s", m.FullName(), mark, text)
		}
	}
}

// walk tries random requests with things of the owner's in any field.
func (p *party) walk(t *testing.T, all []method, owner *party) {
	t.Helper()
	things := append([]string{"", "x", "1", "500", "LIVE", "+919810000001"}, owner.tokens...)
	for _, id := range owner.ids {
		things = append(things, id)
	}
	r := rand.New(rand.NewPCG(11, 24))
	limited := 0
	for _, m := range all {
		for range walks {
			req := dynamicpb.NewMessage(m.Input())
			random(r, req, things)
			text, err := p.invoke(t.Context(), m, req)
			owner.mustNotBeIn(t, m, text)
			switch status.Code(err) {
			case codes.ResourceExhausted:
				limited++
			case codes.Internal, codes.Unknown:
				t.Errorf("%s with %v: %v", m.FullName(), req, err)
			}
		}
	}
	if limited > len(all)*walks/4 {
		t.Errorf("%d of %d calls met a limit: the walk proves little", limited, len(all)*walks)
	}
}

// collectTokens takes page tokens of the owner's lists.
func (p *party) collectTokens(t *testing.T, all []method) {
	t.Helper()
	for _, m := range all {
		size, token := m.Input().Fields().ByName("page_size"), m.Output().Fields().ByName("next_page_token")
		if size == nil || token == nil {
			continue
		}
		req, resp := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
		req.Set(size, protoreflect.ValueOfInt32(1))
		for _, name := range m.ids() { // a list within an object
			set(req, m.Input().Fields().ByName(protoreflect.Name(name)), cmp.Or(p.ids[name], words[name]))
		}
		if err := p.conn.Invoke(t.Context(), m.path(), req, resp); status.Code(err) == codes.PermissionDenied {
			continue // not for keys of this environment
		} else if err != nil {
			t.Fatalf("%s: %v", m.FullName(), err)
		}
		if next := resp.Get(token).String(); next != "" {
			p.tokens = append(p.tokens, next)
		}
	}
	if len(p.tokens) < 2 {
		t.Errorf("%d page tokens", len(p.tokens))
	}
}

// snapshot is what the owner reads of everything he has, by method.
func (p *party) snapshot(t *testing.T, all []method) map[string]string {
	t.Helper()
	read := map[string]string{}
	for _, m := range all {
		if m.access.GetChanges() || slices.Contains(growing, m.path()) {
			continue
		}
		req, resp := about(m, p), dynamicpb.NewMessage(m.Output())
		err := p.conn.Invoke(t.Context(), m.path(), req, resp)
		switch code := status.Code(err); {
		case code == codes.OK:
			forget(resp)
			read[m.path()] = protojson.Format(resp)
		case code == codes.PermissionDenied: // not for keys, or not for those of this environment
		case code == codes.NotFound && !names(m, req): // a tenant has one, or none
			read[m.path()] = err.Error()
		default:
			t.Errorf("%s by its owner: %v", m.FullName(), err)
		}
	}
	return read
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

// confirm lets the owner make the same calls, reads first: his objects are there, so a stranger's 404 was for being a
// stranger. What a key may not do at all is refused to both; what only keys of the other environment may do finds nothing
// there.
func (p *party) confirm(t *testing.T, all []method, refusals map[string][]codes.Code, want []codes.Code) {
	t.Helper()
	slices.SortStableFunc(all, func(a, b method) int { return order(a) - order(b) })
	for _, m := range all {
		got, named := refusals[m.path()]
		if !named {
			continue
		}
		_, err := p.invoke(t.Context(), m, about(m, p))
		own, allowed := status.Code(err), want
		switch own {
		case codes.NotFound, codes.InvalidArgument:
			t.Errorf("%s by its owner: %v", m.FullName(), err)
		case codes.PermissionDenied:
			allowed = append([]codes.Code{codes.PermissionDenied}, want...)
		}
		if !addressed(m) { // a filter or a number: whatever came back was looked through
			allowed = append([]codes.Code{codes.OK}, allowed...)
		}
		for _, code := range got {
			if !slices.Contains(allowed, code) {
				t.Errorf("%s of another answers %v, want %v", m.FullName(), code, allowed)
			}
		}
	}
}

func order(m method) int {
	if strings.HasPrefix(string(m.Name()), "Delete") { // what is gone answers nobody
		return 2
	}
	if m.access.GetChanges() {
		return 1
	}
	return 0
}
