package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

func TestBootstrapTwiceKeepsTheKeys(t *testing.T) {
	db := postgrestest.New(t, "ingest", sources...)
	w := &world{db: db, dir: t.TempDir()}
	if err := tenant.CreatePeppers(w.path("pepper")); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Secrets: w.secrets()}
	w.bootstrap(t, cfg)
	first := []string{w.live, w.test}
	w.bootstrap(t, cfg)
	if second := []string{w.live, w.test}; !slices.Equal(first, second) || w.live == "" || w.test == "" || w.count(t, "api_keys") != 2 {
		t.Errorf("%d keys after two runs; the same: %v", w.count(t, "api_keys"), slices.Equal(first, second))
	}
	info, err := os.Stat(w.path("keys.env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A key that no longer works is replaced.
	if _, err := db.DB.Worker.Exec(t.Context(), "UPDATE api_keys SET status = 'revoked' WHERE env = 'live'"); err != nil {
		t.Fatal(err)
	}
	w.bootstrap(t, cfg)
	if w.live == first[0] || w.test != first[1] {
		t.Error("the revoked key must be replaced and the other kept")
	}
	var out bytes.Buffer
	if err := printKeys(&out, demoTenant, map[string]string{"live": w.live}); err != nil {
		t.Fatal(err)
	}
	var printed struct {
		ID   string
		Keys map[string]string
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil || printed.ID != demoTenant.String() || printed.Keys["live"] != w.live {
		t.Errorf("%s, %v", out.String(), err)
	}
}

func TestInitSecretsTwice(t *testing.T) {
	w := &world{dir: t.TempDir()}
	read := func() map[string]string {
		all := map[string]string{}
		for _, file := range []string{"kek", "keyring.json", "pepper"} {
			content, err := os.ReadFile(w.path(file))
			if err != nil {
				t.Fatal(err)
			}
			info, _ := fs.Stat(os.DirFS(w.dir), file)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", file, info.Mode())
			}
			all[file] = string(content)
		}
		return all
	}
	if err := initSecrets(t.Context(), w.secrets()); err != nil {
		t.Fatal(err)
	}
	first := read()
	if err := initSecrets(t.Context(), w.secrets()); err != nil || !maps.Equal(first, read()) {
		t.Errorf("the second run changed something; %v", err)
	}
}

// Data keys go to compliance and dispatch, to nobody else, and each is there as often as it is asked for.
func TestContentKeysForWhomTheyAre(t *testing.T) {
	w := newWorld(t)
	if _, err := w.client().SendMessage(as(t, w.live), send()); err != nil {
		t.Fatal(err)
	}
	var id int64
	var wrapped []byte
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT key_id, wrapped FROM data_keys").Scan(&id, &wrapped); err != nil {
		t.Fatal(err)
	}
	ask := func(caller string, id uint64) ([]byte, error) {
		identity, err := tlsconf.Client(w.identity(caller), "ingest")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := rpc.Dial(w.inner.Addr().String(), identity)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		resp, err := ingestv1.NewContentKeyServiceClient(conn).GetContentKey(t.Context(), &ingestv1.GetContentKeyRequest{KeyId: id})
		return resp.GetWrappedKey(), err
	}
	for caller, want := range map[string]codes.Code{"compliance": codes.OK, "dispatch": codes.OK, "audit": codes.PermissionDenied, "ingest": codes.PermissionDenied} {
		if got, err := ask(caller, uint64(id)); status.Code(err) != want || (want == codes.OK && !bytes.Equal(got, wrapped)) {
			t.Errorf("%s: %v", caller, err)
		}
	}
	if _, err := ask("dispatch", uint64(id)+1); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown key: %v", err)
	}
	// The public door knows no such service.
	if _, err := ingestv1.NewContentKeyServiceClient(w.grpc).GetContentKey(as(t, w.test), &ingestv1.GetContentKeyRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("at the door: %v", err)
	}
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	if err := (Config{}).Validate(); err == nil {
		t.Error("an empty configuration is taken")
	}
}

func TestRegistryWithoutCompliance(t *testing.T) {
	if _, err := (registry{}).Transactional(t.Context(), demoTenant, "x"); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
}

// Expired idempotency keys go by themselves.
func TestPurgeTask(t *testing.T) {
	w := &world{db: postgrestest.New(t, "ingest", sources...)}
	later := func() time.Time { return time.Now().Add(25 * time.Hour) }
	i := &ingest{store: store.NewStore(w.db.DB, nil, later)}
	if _, err := w.db.DB.Worker.Exec(t.Context(), `INSERT INTO idempotency (tenant_id, env, key_hash, request_hash, answer, expire_time)
		SELECT gen_random_uuid(), 'live', decode(md5(n::text), 'hex'), decode(md5('r'), 'hex'), '', now() + interval '24 hours' FROM generate_series(1, 5001) n`); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.purgeKeys(ctx) }()
	eventually(t, "the keys to be gone", func() bool { return w.count(t, "idempotency") == 0 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
