package secret

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openbao/openbao/api/v2"
)

// Vault says how HashiCorp Vault or OpenBao is reached; both speak the same API. One way of authentication is chosen: the
// token where there is one, else AppRole, else Kubernetes. VAULT_SKIP_VERIFY and its like do not exist here.
type Vault struct {
	Addr      string `env:"VAULT_ADDR"`      // https://host:port
	CACert    string `env:"VAULT_CACERT"`    // file of the authorities, PEM; empty: those of the system
	Namespace string `env:"VAULT_NAMESPACE"` // empty: the root
	// Token is renewed while it can be. From a file it is read again when it no longer works.
	Token Ref `env:"VAULT_TOKEN"`
	// RoleID and SecretID log in by AppRole.
	RoleID   string `env:"VAULT_ROLE_ID"`
	SecretID Ref    `env:"VAULT_SECRET_ID"`
	// KubernetesRole logs in by the pod's service account.
	KubernetesRole string `env:"VAULT_KUBERNETES_ROLE"`
	KubernetesJWT  Ref    `env:"VAULT_KUBERNETES_TOKEN"` // empty: where Kubernetes mounts it
	// AuthMount is where the auth method is mounted; empty: approle or kubernetes.
	AuthMount string `env:"VAULT_AUTH_MOUNT"`
	// Poll is how often followed secrets are read, 1 s or more.
	Poll time.Duration `env:"VAULT_POLL_INTERVAL" envDefault:"10s"`
	// Patience is how long the first read of a secret waits for a Vault that is away or sealed.
	Patience time.Duration `env:"VAULT_START_TIMEOUT" envDefault:"30s"`
}

const (
	vaultTimeout = 5 * time.Second // of one request
	podToken     = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// Validate tells what cannot work.
func (v Vault) Validate() error {
	if v.Addr == "" {
		return nil
	}
	if u, err := url.Parse(v.Addr); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("VAULT_ADDR must be https://host:port")
	}
	if v.Token == "" && v.RoleID == "" && v.KubernetesRole == "" {
		return errors.New("VAULT_ADDR is set, and none of VAULT_TOKEN_FILE, VAULT_ROLE_ID and VAULT_KUBERNETES_ROLE")
	}
	if v.Poll < time.Second {
		return errors.New("VAULT_POLL_INTERVAL must be 1s or more")
	}
	return nil
}

// vault is a client with the token it has.
type vault struct {
	cfg      Vault
	client   *api.Client
	answered atomic.Bool // since this process has started

	mu      sync.Mutex // one login at a time
	renewAt time.Time  // zero: there is no token
}

// inUse is the Vault of this process.
var inUse atomic.Pointer[vault]

// UseVault makes cfg the Vault that references point to; an empty address: none. Nothing is asked yet.
func UseVault(cfg Vault) error {
	if cfg.Addr == "" {
		inUse.Store(nil)
		return nil
	}
	settings := api.NewConfig() // reads no environment of its own
	settings.Address, settings.Timeout = cfg.Addr, vaultTimeout
	settings.MaxRetries = 1
	settings.DisableRedirects = true // a token goes to the address that was configured
	if err := settings.ConfigureTLS(&api.TLSConfig{CACert: cfg.CACert}); err != nil {
		return fmt.Errorf("VAULT_CACERT: %w", err)
	}
	client, err := api.NewClient(settings)
	if err != nil {
		return fmt.Errorf("VAULT_ADDR: %w", err)
	}
	if cfg.Namespace != "" {
		client.SetNamespace(cfg.Namespace)
	}
	inUse.Store(&vault{cfg: cfg, client: client})
	return nil
}

func vaultInterval() time.Duration {
	if v := inUse.Load(); v != nil {
		return max(v.cfg.Poll, time.Second)
	}
	return time.Second
}

// fromVault reads a field. A Vault that has not answered yet is waited for: services start in any order.
func fromVault(ctx context.Context, p place) ([]byte, error) {
	v := inUse.Load()
	if v == nil {
		return nil, errors.New("VAULT_ADDR is not set")
	}
	bounded, cancel := context.WithTimeout(ctx, v.cfg.Patience)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		text, err := v.read(ctx, p)
		if !away(err) {
			v.answered.Store(true)
			return text, err
		}
		if v.answered.Load() {
			return nil, err
		}
		select {
		case <-bounded.Done():
			return nil, err
		case <-time.After(wait + rand.N(wait)):
		}
	}
}

// read reads a field, once more with a fresh token when the one it has is refused.
func (v *vault) read(ctx context.Context, p place) ([]byte, error) {
	found, err := v.get(ctx, p)
	if statusOf(err) == http.StatusForbidden {
		v.forget()
		found, err = v.get(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	value, ok := found.Data[p.field].(string)
	if !ok || value == "" {
		return nil, fmt.Errorf("version %d has no text in field %q", found.VersionMetadata.Version, p.field)
	}
	return []byte(strings.TrimRight(value, "\r\n")), nil
}

func (v *vault) get(ctx context.Context, p place) (*api.KVSecret, error) {
	if err := v.authenticate(ctx); err != nil {
		return nil, fmt.Errorf("login at Vault: %w", err)
	}
	found, err := v.client.KVv2(p.mount).Get(ctx, p.path)
	if err == nil && (found == nil || found.VersionMetadata == nil) {
		err = errors.New("the answer is not a secret of a KV version 2 engine")
	}
	return found, brief(err)
}

func (v *vault) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.renewAt = time.Time{}
}

// authenticate sees to it that there is a token with at least a third of its life before it.
func (v *vault) authenticate(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.renewAt) {
		return nil
	}
	if !v.renewAt.IsZero() {
		if renewed, err := v.client.Auth().Token().RenewSelfWithContext(ctx, 0); err == nil && renewed != nil && v.keep(renewed) {
			return nil
		}
	}
	got, err := v.login(ctx)
	if err != nil {
		return brief(err)
	}
	v.keep(got)
	return nil
}

// keep takes the token of an answer; false when a renewal gave it too little to go on with.
func (v *vault) keep(got *api.Secret) bool {
	if token, err := got.TokenID(); err == nil && token != "" {
		v.client.SetToken(token)
	}
	life, err := got.TokenTTL()
	if err != nil || life <= 0 { // never expires, or will not say
		life = time.Hour
	}
	v.renewAt = time.Now().Add(life * 2 / 3)
	return life > 2*v.cfg.Poll
}

// login gets a token by the configured method.
func (v *vault) login(ctx context.Context) (*api.Secret, error) {
	if v.cfg.Token != "" {
		token, err := read(ctx, v.cfg.Token)
		if err != nil {
			return nil, err
		}
		v.client.SetToken(string(token))
		return v.client.Auth().Token().LookupSelfWithContext(ctx)
	}
	mount, credentials, err := v.credentials(ctx)
	if err != nil {
		return nil, err
	}
	v.client.ClearToken()
	got, err := v.client.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", credentials)
	if err == nil && (got == nil || got.Auth == nil) {
		err = errors.New("the answer holds no token")
	}
	return got, err
}

func (v *vault) credentials(ctx context.Context) (mount string, body map[string]any, err error) {
	if v.cfg.RoleID != "" {
		id, err := read(ctx, v.cfg.SecretID)
		return cmp.Or(v.cfg.AuthMount, "approle"), map[string]any{"role_id": v.cfg.RoleID, "secret_id": string(id)}, err
	}
	jwt, err := os.ReadFile(podToken) // 0644 by Kubernetes' choice
	if v.cfg.KubernetesJWT != "" {
		jwt, err = read(ctx, v.cfg.KubernetesJWT)
	}
	return cmp.Or(v.cfg.AuthMount, "kubernetes"), map[string]any{"role": v.cfg.KubernetesRole, "jwt": string(jwt)}, err
}

// problem is what Vault answered, in one line.
type problem struct {
	status int
	text   string
}

// Error implements error.
func (p *problem) Error() string { return fmt.Sprintf("Vault answered %d: %s", p.status, p.text) }

func brief(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	text := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	if answer.RawError { // of whatever stands between
		text = "not Vault's manner of answer"
	}
	return &problem{answer.StatusCode, text}
}

func statusOf(err error) int {
	var p *problem
	if errors.As(err, &p) {
		return p.status
	}
	return 0
}

// away tells whether asking again may help: nobody answered, or Vault is sealed, starting or overloaded.
func away(err error) bool {
	var untrusted *tls.CertificateVerificationError
	var network *url.Error
	if errors.As(err, &untrusted) {
		return false
	}
	status := statusOf(err)
	return errors.As(err, &network) || status == http.StatusTooManyRequests || status >= 500
}
