package api

import (
	"context"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// ContentKeyServer is onlinesms.ingest.v1.ContentKeyService, for the services that may open content.
type ContentKeyServer struct {
	ingestv1.UnimplementedContentKeyServiceServer
	keys seal.DataKeys
}

// NewContentKeyServer hands out the wrapped keys in keys.
func NewContentKeyServer(keys seal.DataKeys) *ContentKeyServer { return &ContentKeyServer{keys: keys} }

// ContentKeyCallers says who may call what on the inner port.
var ContentKeyCallers = map[string][]string{
	ingestv1.ContentKeyService_GetContentKey_FullMethodName: {"compliance", "dispatch"},
}

// GetContentKey answers a wrapped data key; NOT_FOUND for ever once it is destroyed.
func (s *ContentKeyServer) GetContentKey(ctx context.Context, req *ingestv1.GetContentKeyRequest) (*ingestv1.GetContentKeyResponse, error) {
	wrapped, err := s.keys.Wrapped(ctx, req.GetKeyId())
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetContentKeyResponse{WrappedKey: wrapped}, nil
}
