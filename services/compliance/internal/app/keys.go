package app

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// contentKeys is seal.DataKeys from ingest.
type contentKeys struct {
	client ingestv1.ContentKeyServiceClient
}

// Wrapped implements seal.DataKeys.
func (k contentKeys) Wrapped(ctx context.Context, id uint64) ([]byte, error) {
	resp, err := k.client.GetContentKey(ctx, &ingestv1.GetContentKeyRequest{KeyId: id})
	if err != nil {
		return nil, rpc.FromStatus(err)
	}
	return resp.GetWrappedKey(), nil
}

// openOpener makes what opens content: deployment keys from the key file, data keys from ingest. Close the connection
// when done.
func openOpener(ctx context.Context, cfg Config, now func() time.Time) (*seal.Opener, *grpc.ClientConn, error) {
	kek, err := seal.NewFileKEK(cfg.KEKFile)
	if err != nil {
		return nil, nil, fmt.Errorf("KEK_FILE: %w", err)
	}
	keyring, err := seal.OpenKeyring(ctx, kek, cfg.KeyringFile, now)
	if err != nil {
		return nil, nil, fmt.Errorf("KEYRING_FILE: %w", err)
	}
	tls, err := tlsconf.Client(cfg.TLS, "ingest")
	if err != nil {
		return nil, nil, err
	}
	conn, err := rpc.Dial(cfg.IngestAddr, tls)
	if err != nil {
		return nil, nil, err
	}
	return seal.NewOpener(keyring, contentKeys{ingestv1.NewContentKeyServiceClient(conn)}, now), conn, nil
}
