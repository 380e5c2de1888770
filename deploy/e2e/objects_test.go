//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
)

// objectKinds are the choices of a {kind} in a path, each with an object a party registers; what one refers to comes
// before it. $digits is eleven random ones, $letters five random letters, $mark what only answers to its tenant may hold.
var objectKinds = []struct{ kind, object string }{
	{"telemarketers", `{"object_id": "13022015$digits", "name": "$mark", "telemarketer": {"role": "TM-AF"}}`},
	{"entities", `{"object_id": "17011580$digits", "name": "$mark"}`},
	{"headers", `{"object_id": "X$letters", "name": "$mark", "entity_id": "$entity", "header": {"type": "other"}}`},
	{"templates", `{"object_id": "11071600$digits", "name": "$mark", "entity_id": "$entity",
		"template": {"body": "Dear {#alphanumeric#}, your parcel is here - X$letters", "category": "SERVICE", "headers": ["X$letters"]}}`},
	{"ctas", `{"name": "$mark", "entity_id": "$entity", "cta": {"type": "static", "value": "https://x$letters.example/"}}`},
}

// shared are the services about what both environments of a tenant have in common: keys of both read it, live ones alone
// change it, and a test key is told LIVE_KEY_REQUIRED.
var shared = []string{"onlinesms.compliance.v1.RegistryService", "onlinesms.compliance.v1.TemplateService",
	"onlinesms.compliance.v1.ContentService"}

// lookups are methods whose path names nothing: the body names what is registered by its id (true), so that a stranger gets
// 404, or they look through all there is.
var lookups = map[string]bool{
	"/onlinesms.compliance.v1.TemplateService/Match":                 true,
	"/onlinesms.compliance.v1.TemplateService/Lint":                  true,
	"/onlinesms.compliance.v1.TemplateService/Find":                  false,
	"/onlinesms.compliance.v1.ScrubService/Simulate":                 false,
	"/onlinesms.dispatch.v1.MessageEventService/StreamMessageEvents": false,
}

func (m method) shared() bool { return slices.Contains(shared, string(m.Parent().FullName())) }

// sharedMark stands in what both environments of a tenant have in common.
func (p *party) sharedMark() string { return "registered by " + p.tenant }

// liveRegistry is the registry by a live key of the party's tenant: it changes with no other.
func liveRegistry(t *testing.T, p *party) compliancev1.RegistryServiceClient {
	t.Helper()
	return compliancev1.NewRegistryServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, p.tenant, "live")))
}

// madeObject registers one object of each kind, and answers the entity's id.
func madeObject(t *testing.T, p *party) string {
	client := liveRegistry(t, p)
	words := []string{"$digits", fmt.Sprintf("%011d", rand.Int64N(1e11)), "$letters", randomWord(5), "$mark", p.sharedMark(), "$entity", ""}
	for _, k := range objectKinds {
		object := &compliancev1.RegistryObject{}
		words[len(words)-1] = p.object("entities").GetObjectId()
		if err := protojson.Unmarshal([]byte(strings.NewReplacer(words...).Replace(k.object)), object); err != nil {
			t.Fatal(err)
		}
		made, err := client.CreateObject(t.Context(), &compliancev1.CreateObjectRequest{Kind: k.kind, Object: object})
		if err != nil {
			t.Fatalf("%s: %v", k.kind, err)
		}
		object = made.GetObject()
		object.Version, object.CreateTime, object.UpdateTime = 0, nil, nil // in requests: whatever they are
		p.objects = append(p.objects, object)
	}
	return p.object("entities").GetObjectId()
}

// object is the party's one of a kind; none has no id.
func (p *party) object(kind string) *compliancev1.RegistryObject {
	for _, o := range p.objects {
		if o.GetKind() == kind {
			return o
		}
	}
	return nil
}

// madeImport is a file that is refused, so that nothing comes of it, with its problems.
func madeImport(t *testing.T, p *party) string {
	client := liveRegistry(t, p)
	made, err := client.CreateImport(t.Context(), &compliancev1.CreateImportRequest{EntityId: p.entity,
		Content: []byte("template_id,category,headers,body\n1,service," + p.header + ",x\n2,service," + p.header + ",x\n")})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetImport().GetImportId()
	eventually(t, patience, "the import has failed", func() bool {
		got, err := client.GetImport(t.Context(), &compliancev1.GetImportRequest{ImportId: id})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetImport().GetState() == "SUCCEEDED" {
			t.Fatalf("%v", got)
		}
		return got.GetImport().GetState() == "FAILED" && got.GetImport().GetProblems() > 0
	})
	return id
}
