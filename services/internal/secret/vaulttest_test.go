package secret_test

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// kv answers as the HTTP API of Vault and OpenBao does for a KV version 2 engine, tokens, AppRole and Kubernetes login:
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, …/auth/approle, …/auth/kubernetes, …/auth/token.
type kv struct {
	*httptest.Server
	t  *testing.T
	ca string

	mu      sync.Mutex
	data    map[string]map[string]string // by mount/path
	version int
	tokens  map[string]time.Duration // life of each token that works
	renewed int
	logins  int
	sealed  bool
}

const (
	roleID   = "3f1e5f0a-role"
	secretID = "9c6d2b1c-secret"
	podJWT   = "ey.pod.jwt"
)

func newKV(t *testing.T) *kv {
	t.Helper()
	k := &kv{t: t, data: map[string]map[string]string{}, tokens: map[string]time.Duration{"root": time.Hour}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/auth/token/lookup-self", k.lookup)
	mux.HandleFunc("PUT /v1/auth/token/renew-self", k.renew)
	mux.HandleFunc("PUT /v1/auth/{mount}/login", k.login)
	mux.HandleFunc("GET /v1/{mount}/data/{path...}", k.read)
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.sealed {
			refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(k.Close)
	k.ca = filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	if err := os.WriteFile(k.ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// use makes k the process's Vault.
func (k *kv) use(change func(*secret.Vault)) {
	k.t.Helper()
	cfg := secret.Vault{Addr: k.URL, CACert: k.ca, Poll: time.Second, Patience: 20 * time.Second}
	change(&cfg)
	if err := cfg.Validate(); err != nil {
		k.t.Fatal(err)
	}
	if err := secret.UseVault(cfg); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = secret.UseVault(secret.Vault{}) })
}

func (k *kv) put(place, field, value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fields := maps.Clone(k.data[place])
	if fields == nil {
		fields = map[string]string{}
	}
	fields[field] = value
	k.data[place] = fields
	k.version++
}

func refuse(w http.ResponseWriter, status int, text ...string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": text})
}

func answer(w http.ResponseWriter, body map[string]any) { _ = json.NewEncoder(w).Encode(body) }

// allowed tells whether the request shows a token that works.
func (k *kv) allowed(w http.ResponseWriter, r *http.Request) (token string, ok bool) {
	token = r.Header.Get("X-Vault-Token")
	if _, ok = k.tokens[token]; !ok {
		refuse(w, http.StatusForbidden, "permission denied")
	}
	return token, ok
}

func (k *kv) lookup(w http.ResponseWriter, r *http.Request) {
	if token, ok := k.allowed(w, r); ok {
		answer(w, map[string]any{"data": map[string]any{"id": token, "ttl": int(k.tokens[token].Seconds()), "renewable": true}})
	}
}

func (k *kv) renew(w http.ResponseWriter, r *http.Request) {
	if token, ok := k.allowed(w, r); ok {
		k.renewed++
		k.grant(w, token)
	}
}

func (k *kv) grant(w http.ResponseWriter, token string) {
	answer(w, map[string]any{"auth": map[string]any{
		"client_token": token, "lease_duration": int(k.tokens[token].Seconds()), "renewable": true,
	}})
}

func (k *kv) login(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	mount := r.PathValue("mount")
	asRole := mount == "approle" && body["role_id"] == roleID && body["secret_id"] == secretID
	asPod := mount == "pods" && body["role"] == "ingest" && body["jwt"] == podJWT
	if !asRole && !asPod {
		refuse(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	k.logins++
	token := "s." + mount + strings.Repeat("i", k.logins)
	k.tokens[token] = 3 * time.Second
	k.grant(w, token)
}

func (k *kv) read(w http.ResponseWriter, r *http.Request) {
	if _, ok := k.allowed(w, r); !ok {
		return
	}
	if ns := r.Header.Get("X-Vault-Namespace"); ns != "" && ns != "sms" {
		refuse(w, http.StatusNotFound)
		return
	}
	found, ok := k.data[r.PathValue("mount")+"/"+r.PathValue("path")]
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	answer(w, map[string]any{"data": map[string]any{
		"data":     found,
		"metadata": map[string]any{"version": k.version, "created_time": "2026-01-02T03:04:05.000000006Z", "deletion_time": "", "destroyed": false},
	}})
}
