package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Pages of keys, users and login attempts.
const (
	defaultKeys = 50
	maxKeys     = 500
)

// ApiKeyServer is onlinesms.ingest.v1.ApiKeyService.
type ApiKeyServer struct { //nolint:revive // the service's name
	ingestv1.UnimplementedApiKeyServiceServer
	keys *tenant.Keys
}

// NewApiKeyServer joins the service to its room.
func NewApiKeyServer(keys *tenant.Keys) *ApiKeyServer { return &ApiKeyServer{keys: keys} }

// Scopes are all a key may have: those that an RPC of the platform asks for, but for those of people alone, and
// content:read. The RPCs of every service whose contract is linked into the program count.
func Scopes() []string {
	scopes := []string{ScopeContent}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				access, _ := proto.GetExtension(methods.Get(j).Options(), typev1.E_Access).(*typev1.Access)
				if access.GetScope() != "" && !strings.HasPrefix(access.GetScope(), person.PersonalPrefix) {
					scopes = append(scopes, access.GetScope())
				}
			}
		}
		return true
	})
	return scopes
}

// CreateApiKey makes a key.
func (s *ApiKeyServer) CreateApiKey(ctx context.Context, req *ingestv1.CreateApiKeyRequest) (*ingestv1.CreateApiKeyResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	env, err := envOf(req.GetEnv())
	if err != nil {
		return nil, err
	}
	d, secret, err := s.keys.Create(ctx, p, tenant.KeyWish{
		Name: req.GetName(), Env: env, Scopes: req.GetScopes(), Addresses: req.GetAllowedAddresses(),
		Lifetime: durationOf(req.GetLifetime(), 0), Certificate: strings.ToLower(req.GetCertificateSha256()),
	})
	if err != nil {
		return nil, err
	}
	return &ingestv1.CreateApiKeyResponse{ApiKey: s.toKey(&d), Secret: secret}, nil
}

func envOf(env typev1.Environment) (string, error) {
	switch env {
	case typev1.Environment_ENVIRONMENT_UNSPECIFIED:
		return "", nil
	case typev1.Environment_LIVE:
		return principal.Live, nil
	case typev1.Environment_TEST:
		return principal.Test, nil
	}
	return "", invalid("env", "UNKNOWN", "must be LIVE or TEST")
}

// durationOf is d, or absent where there is none. What is given as 0 s is told from absent by -1 ns where 0 means absent.
func durationOf(d *durationpb.Duration, absent time.Duration) time.Duration {
	if d == nil {
		return absent
	}
	if v := d.AsDuration(); v != 0 || absent != 0 {
		return v
	}
	return -1
}

// GetApiKey answers one key.
func (s *ApiKeyServer) GetApiKey(ctx context.Context, req *ingestv1.GetApiKeyRequest) (*ingestv1.GetApiKeyResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	d, err := s.keys.Store.KeyDetail(ctx, p.TenantID, p.Env, req.GetKeyId())
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetApiKeyResponse{ApiKey: s.toKey(&d)}, nil
}

// ListApiKeys answers a page, newest first.
func (s *ApiKeyServer) ListApiKeys(ctx context.Context, req *ingestv1.ListApiKeysRequest) (*ingestv1.ListApiKeysResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	page := tenant.Page{Tenant: p.TenantID, Env: p.Env, Limit: int(req.GetPageSize())}
	if page.Limit == 0 {
		page.Limit = defaultKeys
	}
	if page.Limit < 1 || page.Limit > maxKeys {
		return nil, invalid("page_size", "OUT_OF_RANGE", "1 to 500")
	}
	var err error
	if page.Before, page.KID, err = parseKeyToken(req.GetPageToken()); err != nil {
		return nil, err
	}
	page.Limit++ // one more tells whether there is a next page
	keys, err := s.keys.Store.Keys(ctx, page)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.ListApiKeysResponse{}
	if len(keys) == page.Limit {
		keys = keys[:len(keys)-1]
		resp.NextPageToken = keyToken(&keys[len(keys)-1])
	}
	for i := range keys {
		resp.ApiKeys = append(resp.ApiKeys, s.toKey(&keys[i]))
	}
	return resp, nil
}

// keyToken names the place behind d in the list. It holds nothing secret: a list is of the caller's tenant whatever the
// token says.
func keyToken(d *tenant.Detail) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(d.Create.UnixMicro(), 10) + " " + d.KID))
}

func parseKeyToken(token string) (before time.Time, kid string, err error) {
	if token == "" {
		return before, "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	micros, kid, ok := strings.Cut(string(text), " ")
	us, numberErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || numberErr != nil || !ok || kid == "" {
		return before, "", invalid("page_token", "FORMAT", "must be the next_page_token of the page before")
	}
	return time.UnixMicro(us), kid, nil
}

// UpdateApiKey replaces name, scopes and address rules.
func (s *ApiKeyServer) UpdateApiKey(ctx context.Context, req *ingestv1.UpdateApiKeyRequest) (*ingestv1.UpdateApiKeyResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	d, err := s.keys.Update(ctx, p, req.GetKeyId(), tenant.KeyWish{
		Name: req.GetName(), Scopes: req.GetScopes(), Addresses: req.GetAllowedAddresses(),
	})
	if err != nil {
		return nil, err
	}
	return &ingestv1.UpdateApiKeyResponse{ApiKey: s.toKey(&d)}, nil
}

// RotateApiKey makes a successor.
func (s *ApiKeyServer) RotateApiKey(ctx context.Context, req *ingestv1.RotateApiKeyRequest) (*ingestv1.RotateApiKeyResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	successor, secret, old, err := s.keys.Rotate(ctx, p, req.GetKeyId(), durationOf(req.GetOverlap(), tenant.DefaultOverlap))
	if err != nil {
		return nil, err
	}
	return &ingestv1.RotateApiKeyResponse{ApiKey: s.toKey(&successor), Secret: secret, Previous: s.toKey(&old)}, nil
}

// RevokeApiKey ends a key.
func (s *ApiKeyServer) RevokeApiKey(ctx context.Context, req *ingestv1.RevokeApiKeyRequest) (*ingestv1.RevokeApiKeyResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	d, err := s.keys.Revoke(ctx, p, req.GetKeyId(), req.GetReason())
	if err != nil {
		return nil, err
	}
	return &ingestv1.RevokeApiKeyResponse{ApiKey: s.toKey(&d)}, nil
}

// toKey shows a key without its secret.
func (s *ApiKeyServer) toKey(d *tenant.Detail) *ingestv1.ApiKey {
	k := &ingestv1.ApiKey{
		KeyId: d.KID, Name: d.Name, Env: typev1.Environment_TEST, Scopes: d.Scopes, AllowedAddresses: d.Addresses.Strings(),
		Status: d.Standing(s.keys.Now()), CreateTime: toTime(d.Create), ExpireTime: toTime(d.Expire), LastUseTime: toTime(d.LastUse),
		SuccessorKeyId: d.Successor, CertificateSha256: hex.EncodeToString(d.Certificate),
	}
	if d.Env == principal.Live {
		k.Env = typev1.Environment_LIVE
	}
	if d.LastAddress.IsValid() {
		k.LastUseAddress = d.LastAddress.String()
	}
	return k
}
