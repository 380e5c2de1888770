package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/google/uuid"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// contentKeys is seal.DataKeyStore by ingest's ContentKeyService.
type contentKeys struct {
	client ingestv1.ContentKeyServiceClient
}

// Wrapped implements seal.DataKeys.
func (k contentKeys) Wrapped(ctx context.Context, id uint64) ([]byte, error) {
	resp, err := k.client.GetContentKey(ctx, &ingestv1.GetContentKeyRequest{KeyId: id})
	if err != nil {
		return nil, rpc.FromStatus(err)
	}
	return resp.WrappedKey, nil
}

// Current implements seal.DataKeyStore: ingest mints, whose keyring is the same.
func (k contentKeys) Current(ctx context.Context, env string, tenant uuid.UUID, day time.Time, class string, _ func(uint64) ([]byte, error)) (uint64, []byte, error) {
	resp, err := k.client.EnsureContentKey(ctx, &ingestv1.EnsureContentKeyRequest{
		Env: env, TenantId: tenant[:], Day: day.Format(time.DateOnly), Class: class,
	})
	if err != nil {
		return 0, nil, rpc.FromStatus(err)
	}
	return resp.KeyId, resp.WrappedKey, nil
}

// routeTLS makes the TLS settings of the routes that encrypt: TLS 1.2 or 1.3, the operator's name verified.
func routeTLS(routes *route.Routes) (map[string]*tls.Config, error) {
	configs := map[string]*tls.Config{}
	for _, r := range routes.All() {
		if !r.TLS.Enabled {
			continue
		}
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.TLS.ServerName}
		if cfg.ServerName == "" {
			host, _, err := net.SplitHostPort(r.Addr)
			if err != nil {
				return nil, fmt.Errorf("route %s: addr: %w", r.Name, err)
			}
			cfg.ServerName = host
		}
		if r.TLS.CAFile != "" {
			pem, err := os.ReadFile(r.TLS.CAFile)
			if err != nil {
				return nil, fmt.Errorf("route %s: ca_file: %w", r.Name, err)
			}
			cfg.RootCAs = x509.NewCertPool()
			if !cfg.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("route %s: ca_file holds no certificate", r.Name)
			}
		}
		configs[r.Name] = cfg
	}
	return configs, nil
}
