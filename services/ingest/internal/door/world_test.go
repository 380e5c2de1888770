package door

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// recorder keeps the records of calls in memory.
type recorder struct {
	mu      sync.Mutex
	written []record.Call // before the answer
	later   []record.Call
	fail    error // of Write
}

func (r *recorder) Begin(action string, from caller.Caller) *record.Call {
	return record.New(action, from, func(...eventbus.Parcel) {}, time.Now())
}

func (r *recorder) Write(_ context.Context, c *record.Call) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ID = uuid.Must(uuid.NewV7())
	if r.fail == nil {
		r.written = append(r.written, *c)
	}
	return r.fail
}

func (r *recorder) Later(_ context.Context, c *record.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ID = uuid.Must(uuid.NewV7())
	r.later = append(r.later, *c)
}

// take gives all records so far and forgets them.
func (r *recorder) take() (written, later []record.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	written, later = r.written, r.later
	r.written, r.later = nil, nil
	return written, later
}

// register offers every service of ours; but for messages they answer that they are not implemented.
func (w *world) register(r grpc.ServiceRegistrar) {
	ingestv1.RegisterMessageServiceServer(r, w.slow)
	ingestv1.RegisterApiKeyServiceServer(r, ingestv1.UnimplementedApiKeyServiceServer{})
	ingestv1.RegisterTenantServiceServer(r, tenants{})
	ingestv1.RegisterVerificationServiceServer(r, ingestv1.UnimplementedVerificationServiceServer{})
}

// tenants can be read and changed.
type tenants struct {
	ingestv1.UnimplementedTenantServiceServer
}

func (tenants) GetTenant(context.Context, *ingestv1.GetTenantRequest) (*ingestv1.GetTenantResponse, error) {
	return &ingestv1.GetTenantResponse{}, nil
}

func (tenants) UpdateTenant(context.Context, *ingestv1.UpdateTenantRequest) (*ingestv1.UpdateTenantResponse, error) {
	return &ingestv1.UpdateTenantResponse{}, nil
}

// RevokeExposed remembers whose key was withdrawn.
func (w *world) RevokeExposed(_ context.Context, p principal.Principal) error {
	w.records.mu.Lock()
	defer w.records.mu.Unlock()
	w.revoked = append(w.revoked, p.Actor)
	return nil
}

func (w *world) revocations() []string {
	w.records.mu.Lock()
	defer w.records.mu.Unlock()
	return w.revoked
}

// pinsKey makes a signing key for the pin set, the same in every test.
func (w *world) pinsKey(t testing.TB) string {
	t.Helper()
	encoded, err := x509.MarshalPKCS8PrivateKey(pinsTestKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "pins-key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var pinsTestKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

// eachMethod visits every RPC of every service of ours.
func eachMethod(visit func(protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(f.Path(), "onlinesms/") {
			return true
		}
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				visit(f.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
}
