package app

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

// key makes a key of the demo tenant.
func (w *world) key(t testing.TB, env string, rules tenant.Addresses, scopes ...string) string {
	t.Helper()
	b := tenant.Bootstrap{Directory: w.store, Peppers: w.access.keys.Peppers, Now: time.Now, Random: rand.Reader}
	keys, err := b.Run(t.Context(), tenant.Tenant{ID: demoTenant, Name: "Demo"}, []tenant.Wanted{{Env: env, Scopes: scopes, Addresses: rules}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys[env]
}

func kidOf(t testing.TB, key string) string {
	t.Helper()
	k, err := tenant.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return k.KID
}

// setKey changes a key behind everybody's back and has this replica forget it.
func (w *world) setKey(t testing.TB, key, change string) {
	t.Helper()
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE api_keys SET "+change+" WHERE kid = $1", kidOf(t, key)); err != nil {
		t.Fatal(err)
	}
	w.access.verifier.Forget(demoTenant, kidOf(t, key))
}

func (w *world) keys() ingestv1.ApiKeyServiceClient { return ingestv1.NewApiKeyServiceClient(w.grpc) }

// Item 9 of the acceptance list: every way a key can be wrong has its status and its reason, by JSON and by gRPC.
func TestItem9KeyReasons(t *testing.T) {
	w := newWorld(t)
	unknown, err := tenant.NewKey("live", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := tenant.ParseKey(w.live)
	wrong.Secret = strings.Repeat("0", len(wrong.Secret))
	crossed, _ := tenant.ParseKey(w.live)
	crossed.Env = "test"
	expired, revoked := w.key(t, "live", nil, "messages:read"), w.key(t, "live", nil, "messages:read")
	w.setKey(t, expired, "expire_time = now() - interval '1 second'")
	w.setKey(t, revoked, "status = 'revoked'")
	unscoped := w.key(t, "live", nil, "audit:read")
	mistyped := w.live[:len(w.live)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(w.live, "0")]
	for name, test := range map[string]struct {
		key    string
		status int
		reason string
	}{
		"missing": {"", 401, "KEY_MISSING"}, "malformed": {"osms_live_x", 401, "KEY_MALFORMED"},
		"wrong CRC": {mistyped, 401, "KEY_CHECKSUM"}, "unknown": {unknown.String(), 401, "KEY_INVALID"},
		"wrong secret": {wrong.String(), 401, "KEY_INVALID"}, "wrong environment": {crossed.String(), 403, "KEY_WRONG_ENVIRONMENT"},
		"expired": {expired, 401, "KEY_EXPIRED"}, "revoked": {revoked, 401, "KEY_REVOKED"},
		"without the scope": {unscoped, 403, "SCOPE_MISSING"}, "right": {w.live, 200, ""},
	} {
		var headers []string
		ctx := t.Context()
		if test.key != "" {
			headers, ctx = bearer(test.key), as(t, test.key)
		}
		resp := w.request(t, "GET", "/v1/messages", "", headers...)
		if resp.StatusCode != test.status {
			t.Errorf("%s: status %d, %s", name, resp.StatusCode, resp.body)
		}
		if test.reason != "" && resp.problem(t).Reason != test.reason {
			t.Errorf("%s: %s, want %s", name, resp.body, test.reason)
		}
		if _, err := w.client().ListMessages(ctx, &ingestv1.ListMessagesRequest{}); reasonOf(err) != test.reason {
			t.Errorf("%s by gRPC: %v, want %s", name, err, test.reason)
		}
	}
	// A test key that asks for something live.
	manager := w.key(t, "test", nil, "keys:write", "messages:read")
	_, err = w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "x", Env: typev1.Environment_LIVE, Scopes: []string{"messages:read"}})
	if status.Code(err) != codes.PermissionDenied || reasonOf(err) != "KEY_WRONG_ENVIRONMENT" {
		t.Errorf("a test key makes a live one: %v", err)
	}
}

func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(interface{ GetReason() string }); ok {
			return info.GetReason()
		}
	}
	return ""
}

// Keys are made, listed, rotated with an overlap and revoked; secrets are shown once; nobody gives what he does not hold.
func TestApiKeys(t *testing.T) {
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "keys:read", "messages:read")
	resp := w.request(t, "POST", "/v1/api-keys", `{"name": "shop", "scopes": ["messages:read"], "allowedAddresses": ["127.0.0.0/8"], "lifetime": "86400s"}`, bearer(manager)...)
	if resp.StatusCode != 200 || resp.Header.Get("X-Audit-Event") == "" {
		t.Fatalf("%d %s", resp.StatusCode, resp.body)
	}
	list := w.request(t, "GET", "/v1/api-keys?pageSize=1", "", bearer(manager)...)
	if list.StatusCode != 200 || strings.Contains(string(list.body), "osms_") || !strings.Contains(string(list.body), `"shop"`) || !strings.Contains(string(list.body), "nextPageToken") {
		t.Errorf("%s", list.body)
	}
	if _, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"messages:send"}}); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("a scope the caller lacks: %v", err)
	}
	if _, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: kidOf(t, w.live)}); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("rotating a stronger key: %v", err)
	}
	if _, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{
		Name: "x", Scopes: []string{"nonsense"}, Lifetime: durationpb.New(91 * 24 * time.Hour), AllowedAddresses: []string{"1.2.3.4/40"}}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "first", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	works := func(key string) bool {
		_, err := w.client().ListMessages(as(t, key), &ingestv1.ListMessagesRequest{})
		return err == nil
	}
	rotated, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()})
	if err != nil || !works(made.GetSecret()) || !works(rotated.GetSecret()) || rotated.GetPrevious().GetStatus() != "ROTATED" ||
		rotated.GetPrevious().GetExpireTime().AsTime().Sub(rotated.GetApiKey().GetCreateTime().AsTime()) != tenant.DefaultOverlap {
		t.Errorf("%v, %v", rotated, err)
	}
	again, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: rotated.GetApiKey().GetKeyId(), Overlap: durationpb.New(0)})
	if err != nil || works(rotated.GetSecret()) || !works(again.GetSecret()) || again.GetPrevious().GetStatus() != "EXPIRED" {
		t.Errorf("at once: %v, %v", again, err)
	}
	if _, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: rotated.GetApiKey().GetKeyId()}); reasonOf(err) != "KEY_NOT_ACTIVE" {
		t.Errorf("a key with a successor: %v", err)
	}
	if err := w.access.uses.Flush(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
	got, err := w.keys().GetApiKey(as(t, manager), &ingestv1.GetApiKeyRequest{KeyId: again.GetApiKey().GetKeyId()})
	if err != nil || got.GetApiKey().GetLastUseAddress() != "127.0.0.1" || time.Since(got.GetApiKey().GetLastUseTime().AsTime()) > 2*time.Minute {
		t.Errorf("%v, %v", got, err)
	}
}
