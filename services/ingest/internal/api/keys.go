package api

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// ContentKeyServer is onlinesms.ingest.v1.ContentKeyService, for the services that may open content.
type ContentKeyServer struct {
	ingestv1.UnimplementedContentKeyServiceServer
	keys    seal.DataKeyStore
	keyring *seal.Keyring
	now     func() time.Time
}

// NewContentKeyServer hands out the wrapped keys in keys, and mints by keyring.
func NewContentKeyServer(keys seal.DataKeyStore, keyring *seal.Keyring, now func() time.Time) *ContentKeyServer {
	return &ContentKeyServer{keys: keys, keyring: keyring, now: now}
}

// ContentKeyCallers says who may call what on the inner port.
var ContentKeyCallers = map[string][]string{
	ingestv1.ContentKeyService_GetContentKey_FullMethodName:    {"compliance", "dispatch"},
	ingestv1.ContentKeyService_EnsureContentKey_FullMethodName: {"dispatch"},
}

// GetContentKey answers a wrapped data key; NOT_FOUND for ever once it is destroyed.
func (s *ContentKeyServer) GetContentKey(ctx context.Context, req *ingestv1.GetContentKeyRequest) (*ingestv1.GetContentKeyResponse, error) {
	wrapped, err := s.keys.Wrapped(ctx, req.GetKeyId())
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetContentKeyResponse{WrappedKey: wrapped}, nil
}

// mintedFor is how far a day may be from now: the caller's clock, and a call around midnight.
const mintedFor = 48 * time.Hour

// mints tells whether a key of the class may be made for the day.
func (s *ContentKeyServer) mints(class string, day time.Time) bool {
	if class == seal.ClassLasting {
		return day.Equal(seal.LastingDay)
	}
	now := s.now()
	return !day.Before(now.Add(-mintedFor)) && !day.After(now.Add(mintedFor))
}

// EnsureContentKey answers the data key of a tenant, minted when there is none: of a day about now for class inbound, of
// none for class lasting; dispatch seals nothing else.
func (s *ContentKeyServer) EnsureContentKey(ctx context.Context, req *ingestv1.EnsureContentKeyRequest) (*ingestv1.EnsureContentKeyResponse, error) {
	tenant, err := uuid.FromBytes(req.GetTenantId())
	if err != nil {
		return nil, malformed(errs.Violation{Field: "tenant_id", Reason: "FORMAT", Detail: "not 16 bytes"})
	}
	class, _, _ := strings.Cut(req.GetClass(), "#")
	if class != seal.ClassInbound && class != seal.ClassLasting {
		return nil, malformed(errs.Violation{Field: "class", Reason: "UNKNOWN", Detail: "neither inbound nor lasting"})
	}
	day, err := time.Parse(time.DateOnly, req.GetDay())
	if err != nil || !s.mints(class, day) {
		return nil, malformed(errs.Violation{Field: "day", Reason: "OUT_OF_RANGE", Detail: "not a day about now"})
	}
	if env := req.GetEnv(); env != principal.Live && env != principal.Test {
		return nil, malformed(errs.Violation{Field: "env", Reason: "UNKNOWN", Detail: "not live or test"})
	}
	b := seal.Binding{Env: req.GetEnv(), Tenant: tenant, Class: class}
	id, wrapped, err := seal.Ensure(ctx, s.keyring, s.keys, b, day, req.GetClass())
	if err != nil {
		return nil, err
	}
	return &ingestv1.EnsureContentKeyResponse{KeyId: id, WrappedKey: wrapped}, nil
}
