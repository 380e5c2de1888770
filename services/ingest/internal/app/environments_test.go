package app

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
)

// Item 11: no RPC with an id finds what belongs to the other environment of the same tenant.
func TestItem11OtherEnvironment(t *testing.T) {
	w := newWorld(t)
	all := api.Scopes()
	envs := map[string]string{"live": w.key(t, "live", nil, all...), "test": w.key(t, "test", nil, all...)}
	for env, key := range envs {
		other := envs[map[string]string{"live": "test", "test": "live"}[env]]
		sent, err := w.client().SendMessage(as(t, key), send())
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{"message_id": sent.GetMessageId(), "key_id": kidOf(t, key), "verification_id": sent.GetMessageId()}
		called := 0
		eachMethod(func(m protoreflect.MethodDescriptor, id string) {
			value, known := ids[id]
			if !known {
				t.Errorf("%s: no resource for {%s}", m.FullName(), id)
				return
			}
			called++
			err := w.call(as(t, other), m, id, value)
			if c := status.Code(err); c != codes.NotFound && c != codes.PermissionDenied {
				t.Errorf("%s of %s with the other environment's key: %v", m.FullName(), env, err)
			}
		})
		if called < 5 {
			t.Fatalf("only %d methods with an id were found", called)
		}
		list, err := w.keys().ListApiKeys(as(t, other), &ingestv1.ListApiKeysRequest{})
		if err != nil || slices.ContainsFunc(list.GetApiKeys(), func(k *ingestv1.ApiKey) bool { return k.GetKeyId() == kidOf(t, key) }) {
			t.Errorf("a key of %s is listed in the other environment, %v", env, err)
		}
	}
}

// eachMethod visits ingest's public RPCs with an id in their path.
func eachMethod(visit func(m protoreflect.MethodDescriptor, id string)) {
	protoregistry.GlobalFiles.RangeFilesByPackage("onlinesms.ingest.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				path := rule.GetGet() + rule.GetPost() + rule.GetPut() + rule.GetDelete()
				if _, rest, found := strings.Cut(path, "{"); found {
					id, _, _ := strings.Cut(rest, "}")
					visit(methods.Get(j), id)
				}
			}
		}
		return true
	})
}

// call makes a well-formed call of any RPC about one resource.
func (w *world) call(ctx context.Context, m protoreflect.MethodDescriptor, id, value string) error {
	req := dynamicpb.NewMessage(m.Input())
	text := map[string]string{id: value, "name": "x", "code": "123456", "to": "9876543210"}
	for i := range m.Input().Fields().Len() {
		f := m.Input().Fields().Get(i)
		switch {
		case f.Name() == "scopes":
			req.Mutable(f).List().Append(protoreflect.ValueOfString("messages:read"))
		case f.Kind() == protoreflect.StringKind && !f.IsList() && text[string(f.Name())] != "":
			req.Set(f, protoreflect.ValueOfString(text[string(f.Name())]))
		}
	}
	return w.grpc.Invoke(ctx, "/"+string(m.Parent().FullName())+"/"+string(m.Name()), req, dynamicpb.NewMessage(m.Output()))
}
