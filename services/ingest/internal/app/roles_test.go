package app

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
)

// Every scope of every RPC is held by a role, the owner's at least; auditors only read; nobody but owners may do what
// lets in somebody else or shows what is sent; nobody below holds what the one above does not.
func TestRolesHoldEveryScope(t *testing.T) {
	all, held := api.Scopes(), map[person.Role][]string{}
	for _, r := range []person.Role{person.Owner, person.Admin, person.Developer, person.ComplianceOfficer, person.Auditor} {
		held[r] = r.Scopes(all)
		if !r.Known() || len(held[r]) == 0 {
			t.Errorf("%s holds nothing", r)
		}
	}
	walked := 0
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				access, _ := proto.GetExtension(methods.Get(j).Options(), typev1.E_Access).(*typev1.Access)
				scope := access.GetScope()
				if scope == "" {
					continue
				}
				walked++
				personal := strings.HasPrefix(scope, person.PersonalPrefix)
				if personal && !slices.Contains([]string{person.ScopeUse, person.ScopeEnrol, person.ScopeManage}, scope) {
					t.Errorf("%s: no session holds %s", methods.Get(j).FullName(), scope)
				}
				if !personal && !slices.Contains(held[person.Owner], scope) {
					t.Errorf("%s: no role holds %s", methods.Get(j).FullName(), scope)
				}
				if access.GetChanges() && !personal && slices.Contains(held[person.Auditor], scope) {
					t.Errorf("%s changes something and is open to auditors", methods.Get(j).FullName())
				}
			}
		}
		return true
	})
	if walked < 30 {
		t.Fatalf("only %d RPCs were walked", walked)
	}
	for _, scope := range held[person.Auditor] {
		if !strings.HasSuffix(scope, ":read") {
			t.Errorf("an auditor holds %s", scope)
		}
	}
	for _, scope := range []string{"identity:write", "content:read"} {
		for r, scopes := range held {
			if slices.Contains(scopes, scope) != (r == person.Owner) {
				t.Errorf("%s and %s", r, scope)
			}
		}
	}
	for _, r := range []person.Role{person.Developer, person.ComplianceOfficer, person.Auditor} {
		if slices.Contains(held[r], "users:write") || slices.Contains(held[r], "tenant:write") {
			t.Errorf("%s runs the account", r)
		}
		for _, scope := range held[r] {
			if !slices.Contains(held[person.Admin], scope) {
				t.Errorf("%s holds %s, which an admin does not", r, scope)
			}
		}
	}
	if slices.Contains(held[person.ComplianceOfficer], "messages:send") || !slices.Contains(held[person.Developer], "messages:send") {
		t.Error("developers send, compliance officers do not")
	}
	if person.Role("king").Known() || len(person.Role("king").Scopes(all)) != 0 {
		t.Error("a role that is none holds something")
	}
}
