// Package secrettest answers as a secrets manager in the test process.
package secrettest

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

// Vault answers over TLS as the HTTP API of Vault and OpenBao does for a KV version 2 engine, tokens, AppRole and Kubernetes login:
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, …/auth/approle, …/auth/kubernetes, …/auth/token.
type Vault struct {
	*httptest.Server
	CA string // file of its certificate's authority

	t testing.TB

	mu      sync.Mutex
	data    map[string]map[string]string // by mount/path
	version int
	tokens  map[string]time.Duration // life of each token that works
	renewed int
	logins  int
	sealed  bool
}

// What logs in: by AppRole, and by Kubernetes at mount "pods" as role "ingest". Such tokens live for 3 s.
const (
	RoleID   = "3f1e5f0a-role"
	SecretID = "9c6d2b1c-secret"
	PodJWT   = "ey.pod.jwt"
)

// Start runs it for the length of the test. The token "root" reads everything.
func Start(t testing.TB) *Vault {
	t.Helper()
	k := &Vault{t: t, data: map[string]map[string]string{}, tokens: map[string]time.Duration{"root": time.Hour}}
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
	k.CA = filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	if err := os.WriteFile(k.CA, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// Use makes k the process's Vault until the test ends; change says how it is logged in to.
func (k *Vault) Use(change func(*secret.Vault)) {
	k.t.Helper()
	cfg := secret.Vault{Addr: k.URL, CACert: k.CA, Poll: time.Second, Patience: 20 * time.Second}
	change(&cfg)
	if err := cfg.Validate(); err != nil {
		k.t.Fatal(err)
	}
	if err := secret.UseVault(cfg); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = secret.UseVault(secret.Vault{}) })
}

// Put stores a field of the secret at <mount>/<path>.
func (k *Vault) Put(place, field, value string) {
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

// Seal makes every request fail until it is undone.
func (k *Vault) Seal(sealed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealed = sealed
}

// Revoke ends every token.
func (k *Vault) Revoke() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.tokens)
}

// Counts answers how often a token was renewed and how often somebody has logged in.
func (k *Vault) Counts() (renewals, logins int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.renewed, k.logins
}

func refuse(w http.ResponseWriter, status int, text ...string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": text})
}

func answer(w http.ResponseWriter, body map[string]any) { _ = json.NewEncoder(w).Encode(body) }

// allowed tells whether the request shows a token that works.
func (k *Vault) allowed(w http.ResponseWriter, r *http.Request) (token string, ok bool) {
	token = r.Header.Get("X-Vault-Token")
	if _, ok = k.tokens[token]; !ok {
		refuse(w, http.StatusForbidden, "permission denied")
	}
	return token, ok
}

func (k *Vault) lookup(w http.ResponseWriter, r *http.Request) {
	if token, ok := k.allowed(w, r); ok {
		answer(w, map[string]any{"data": map[string]any{"id": token, "ttl": int(k.tokens[token].Seconds()), "renewable": true}})
	}
}

func (k *Vault) renew(w http.ResponseWriter, r *http.Request) {
	if token, ok := k.allowed(w, r); ok {
		k.renewed++
		k.grant(w, token)
	}
}

func (k *Vault) grant(w http.ResponseWriter, token string) {
	answer(w, map[string]any{"auth": map[string]any{
		"client_token": token, "lease_duration": int(k.tokens[token].Seconds()), "renewable": true,
	}})
}

func (k *Vault) login(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	mount := r.PathValue("mount")
	asRole := mount == "approle" && body["role_id"] == RoleID && body["secret_id"] == SecretID
	asPod := mount == "pods" && body["role"] == "ingest" && body["jwt"] == PodJWT
	if !asRole && !asPod {
		refuse(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	k.logins++
	token := "s." + mount + strings.Repeat("i", k.logins)
	k.tokens[token] = 3 * time.Second
	k.grant(w, token)
}

func (k *Vault) read(w http.ResponseWriter, r *http.Request) {
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
