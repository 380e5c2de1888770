package api

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// ContentKeyServer is onlinesms.ingest.v1.ContentKeyService, for the services that may open content.
type ContentKeyServer struct {
	ingestv1.UnimplementedContentKeyServiceServer
	keys KeyStore
}

// KeyStore keeps wrapped data keys.
type KeyStore interface {
	seal.DataKeys
	// Keep keeps a data key of a tenant's day and class unless there is one, and answers the one there is.
	Keep(ctx context.Context, env string, tenant uuid.UUID, day time.Time, class string, id uint64, wrapped []byte) (uint64, []byte, error)
}

// NewContentKeyServer hands out the wrapped keys in keys.
func NewContentKeyServer(keys KeyStore) *ContentKeyServer { return &ContentKeyServer{keys: keys} }

// ContentKeyCallers says who may call what on the inner port.
var ContentKeyCallers = map[string][]string{
	ingestv1.ContentKeyService_GetContentKey_FullMethodName:  {"compliance", "dispatch"},
	ingestv1.ContentKeyService_KeepLastingKey_FullMethodName: {"dispatch"},
}

// GetContentKey answers a wrapped data key; NOT_FOUND for ever once it is destroyed.
func (s *ContentKeyServer) GetContentKey(ctx context.Context, req *ingestv1.GetContentKeyRequest) (*ingestv1.GetContentKeyResponse, error) {
	wrapped, err := s.keys.Wrapped(ctx, req.GetKeyId())
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetContentKeyResponse{WrappedKey: wrapped}, nil
}

// maxWrapped bounds a wrapped key: version, nonce, 32 bytes and tag are 64.
const maxWrapped = 256

// KeepLastingKey answers the lasting data key of a tenant, the caller's where there is none. Keys of days are ingest's own.
func (s *ContentKeyServer) KeepLastingKey(ctx context.Context, req *ingestv1.KeepLastingKeyRequest) (*ingestv1.KeepLastingKeyResponse, error) {
	tenant, err := uuid.FromBytes(req.GetTenantId())
	if err != nil {
		return nil, invalid("tenant_id", "FORMAT", "must be 16 bytes")
	}
	if class, _, _ := strings.Cut(req.GetClass(), "#"); class != seal.ClassLasting {
		return nil, invalid("class", "UNKNOWN", "must be lasting")
	}
	if req.GetEnv() != principal.Live && req.GetEnv() != principal.Test {
		return nil, invalid("env", "UNKNOWN", "must be live or test")
	}
	if n := len(req.GetWrappedKey()); n == 0 || n > maxWrapped {
		return nil, invalid("wrapped_key", "TOO_LONG", "1 to 256 bytes")
	}
	id, wrapped, err := s.keys.Keep(ctx, req.GetEnv(), tenant, seal.LastingDay, req.GetClass(), req.GetKeyId(), req.GetWrappedKey())
	if err != nil {
		return nil, err
	}
	return &ingestv1.KeepLastingKeyResponse{KeyId: id, WrappedKey: wrapped}, nil
}
