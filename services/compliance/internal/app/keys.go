package app

import (
	"context"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
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

// openOpener makes what opens content: deployment keys from the keyring, data keys from ingest. Close the connection
// when done.
func openOpener(ctx context.Context, cfg Config, now func() time.Time) (*seal.Keyring, *seal.Opener, *grpc.ClientConn, error) {
	keyring, err := seal.OpenKeyring(ctx, cfg.KEK, cfg.Keyring, now)
	if err != nil {
		return nil, nil, nil, err
	}
	tls, err := tlsconf.Client(cfg.TLS, "ingest")
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err := rpc.Dial(cfg.IngestAddr, tls)
	if err != nil {
		return nil, nil, nil, err
	}
	return keyring, seal.NewOpener(keyring, contentKeys{ingestv1.NewContentKeyServiceClient(conn)}, now), conn, nil
}

// indexOf answers the keyed hashes of numbers, the same as messages carry.
func indexOf(keyring *seal.Keyring) api.Index {
	return func(at consent.Place, number string) (index [16]byte, err error) {
		x, err := keyring.BlindIndex(at.Env, at.Tenant)
		if err != nil {
			return index, err
		}
		x.Of(index[:0], number)
		return index, nil
	}
}
