//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
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

// attempt is a call about an owner's object and what an intruder got, by gRPC and by JSON.
type attempt struct {
	method
	req *dynamicpb.Message
	got []codes.Code
}

// cross lets an intruder call everything about the owner's objects, then random things, and compares what the owner
// has before and after.
func cross(t *testing.T, owner, intruder *party, want ...codes.Code) {
	t.Helper()
	all := offered(t, owner.conn)
	owner.collectTokens(t, all)
	before := owner.snapshot(t, all)
	var attempts []attempt
	for _, m := range all {
		checkKinds(t, m)
		for _, req := range abouts(t, m, owner) {
			if intruder.tried(m, req, owner) {
				attempts = append(attempts, attempt{m, req, intruder.tries(t, m, req, owner)})
			}
		}
	}
	if len(attempts) < 20 {
		t.Errorf("only %d calls of %d RPCs name an object", len(attempts), len(all))
	}
	intruder.walk(t, all, owner)
	after := owner.snapshot(t, all)
	for path, was := range before {
		if is := after[path]; is != was {
			t.Errorf("%s of the owner was\n%s\nand is now\n%s", path, was, is)
		}
	}
	owner.confirm(t, attempts, intruder, want)
}

// shares tells whether a method is about what both have in common.
func (p *party) shares(m method, owner *party) bool { return m.shared() && p.tenant == owner.tenant }

// owns tells whether a method changes what both have in common and the intruder may change: nothing is shown by that.
func (p *party) owns(m method, owner *party) bool {
	return p.shares(m, owner) && p.env == "live" && m.access.GetChanges()
}

// tried tells whether a call shows something: it names an object, or is a change to what only live keys change.
func (p *party) tried(m method, req *dynamicpb.Message, owner *party) bool {
	if p.owns(m, owner) {
		return false
	}
	return names(m, req) || p.shares(m, owner) && m.access.GetChanges()
}

// checkKinds fails where a request names what nobody here knows how to make.
func checkKinds(t *testing.T, m method) {
	t.Helper()
	fields := m.Input().Fields()
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		inPath := slices.Contains(m.ids(), name) && name != "kind" // objectKinds
		known := slices.ContainsFunc(kinds, func(k kind) bool { return k.field == name })
		if !known && (inPath || strings.HasSuffix(name, "_id") && !slices.Contains(registered, name)) {
			t.Errorf("%s names an object by %s: say in kinds how one is made", m.FullName(), name)
		}
	}
}

// names tells whether a request names an object.
func names(m method, req *dynamicpb.Message) bool {
	_, looksUp := lookups[m.path()]
	return looksUp || slices.ContainsFunc(kinds, func(k kind) bool {
		field := m.Input().Fields().ByName(protoreflect.Name(k.field))
		return field != nil && req.Has(field)
	})
}

// addressed tells whether a method is about one object whose id is nobody else's: then a stranger gets 404.
func addressed(m method) bool {
	return lookups[m.path()] || slices.ContainsFunc(kinds, func(k kind) bool { return !k.counted && slices.Contains(m.ids(), k.field) })
}

// answers calls an RPC. A stream is read to its end, an endless one for a second.
func (p *party) answers(ctx context.Context, m method, req proto.Message) (all []*dynamicpb.Message, err error) {
	if !m.IsStreamingServer() {
		resp := dynamicpb.NewMessage(m.Output())
		return []*dynamicpb.Message{resp}, p.conn.Invoke(ctx, m.path(), req, resp)
	}
	endless := slices.Contains(endless, m.path())
	bound := patience
	if endless {
		bound = time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	stream, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.path())
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // of an end RecvMsg tells more
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		resp := dynamicpb.NewMessage(m.Output())
		err := stream.RecvMsg(resp)
		if errors.Is(err, io.EOF) || endless && status.Code(err) == codes.DeadlineExceeded {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, resp)
	}
}

// invoke calls an RPC and answers its response as text.
func (p *party) invoke(ctx context.Context, m method, req proto.Message) (string, error) {
	all, err := p.answers(ctx, m, req)
	var text strings.Builder
	for _, resp := range all {
		text.WriteString(protojson.MarshalOptions{UseProtoNames: true}.Format(resp) + "\n")
	}
	return text.String(), err
}

// tries calls m by gRPC and by JSON and answers the codes; what comes back must hold nothing of the owner's.
func (p *party) tries(t *testing.T, m method, req proto.Message, owner *party) (got []codes.Code) {
	t.Helper()
	text, err := p.invoke(t.Context(), m, req)
	owner.mustNotBeIn(t, m, text, p)
	got = append(got, status.Code(err))
	if m.rule == nil || slices.Contains(endless, m.path()) {
		return got
	}
	verb, path, body := m.request(t, req)
	answer := call(t, verb, path, p.key, body)
	switch answer.status {
	case http.StatusOK:
		owner.mustNotBeIn(t, m, string(answer.body), p)
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
func (p *party) mustNotBeIn(t *testing.T, m method, text string, reader *party) {
	t.Helper()
	marks := []string{"of " + p.tenant + " " + p.env}
	ofAnother := p.tenant != reader.tenant
	if _, looksUp := lookups[m.path()]; ofAnother && looksUp {
		marks = append(marks, p.template)
	}
	if ofAnother {
		marks = append(marks, p.sharedMark())
	}
	for _, k := range kinds {
		if !k.counted && (ofAnother || !k.shared) {
			marks = append(marks, p.ids[k.field])
		}
	}
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			t.Errorf("%s shows another what is not his (%s): %.500s", m.FullName(), mark, text)
		}
	}
}

// walksOf is fewer where each takes a second.
func walksOf(m method) int {
	if slices.Contains(endless, m.path()) {
		return walks / 5
	}
	return walks
}

// walk tries random requests. Where nothing is changed the owner's things are in any field; elsewhere only where they fit:
// what an intruder writes down is his own, and he reads it again.
func (p *party) walk(t *testing.T, all []method, owner *party) {
	t.Helper()
	plain := []string{"", "x", "1", "500", "LIVE", "+919810000001"}
	things := slices.Concat(plain, owner.tokens)
	for _, k := range kinds {
		things = append(things, owner.ids[k.field])
	}
	r := rand.New(rand.NewPCG(11, 24))
	limited := 0
	for _, m := range all {
		if p.owns(m, owner) {
			continue
		}
		for range walksOf(m) {
			req := dynamicpb.NewMessage(m.Input())
			if m.access.GetChanges() {
				random(r, req, owner, plain)
			} else {
				random(r, req, owner, things)
			}
			text, err := p.invoke(t.Context(), m, req)
			owner.mustNotBeIn(t, m, text, p)
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

// confirm lets the owner make the same calls, reads first: his objects are there, so a stranger's 404 was for being a
// stranger. What a key may not do at all is refused to both; what only keys of the other environment may do finds nothing
// there.
func (p *party) confirm(t *testing.T, attempts []attempt, intruder *party, want []codes.Code) {
	t.Helper()
	slices.SortStableFunc(attempts, func(a, b attempt) int { return order(a.method) - order(b.method) })
	for _, a := range attempts {
		_, err := p.invoke(t.Context(), a.method, a.req)
		own, allowed := status.Code(err), want
		switch own {
		case codes.NotFound, codes.InvalidArgument:
			t.Errorf("%s with %v by its owner: %v", a.FullName(), a.req, err)
		case codes.PermissionDenied:
			allowed = append([]codes.Code{codes.PermissionDenied}, want...)
		}
		switch {
		case intruder.shares(a.method, p) && a.access.GetChanges():
			allowed = []codes.Code{codes.PermissionDenied}
		case intruder.shares(a.method, p):
			allowed = []codes.Code{codes.OK}
		case !addressed(a.method): // a filter or a number: whatever came back was looked through
			allowed = append([]codes.Code{codes.OK}, allowed...)
		}
		for _, code := range a.got {
			if !slices.Contains(allowed, code) {
				t.Errorf("%s with %v of another answers %v, want %v", a.FullName(), a.req, code, allowed)
			}
		}
	}
}

// order: what has ended answers nobody.
func order(m method) int {
	if name := string(m.Name()); strings.HasPrefix(name, "Delete") || strings.HasPrefix(name, "Deactivate") {
		return 2
	}
	if m.access.GetChanges() {
		return 1
	}
	return 0
}
