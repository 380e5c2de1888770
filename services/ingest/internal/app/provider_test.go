package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const (
	testClient   = "onlinesms"
	testSecret   = "s3cret of the client"
	testRedirect = "https://console.example/federated"
)

// provider is an OpenID provider over TLS with real keys: discovery, JWKS, authorization with PKCE, and a token endpoint
// that gives a code's token once.
type provider struct {
	*httptest.Server
	key, other *ecdsa.PrivateKey // other is in no JWKS
	now        func() time.Time

	mu     sync.Mutex
	claims map[string]any // of who signs in next; what is missing is filled in as it should be
	forged bool           // sign with other
	grants map[string]grant
}

type grant struct{ nonce, challenge string }

func (w *world) provider(t *testing.T) *provider {
	t.Helper()
	if err := devca.Issue(w.dir, "idp", nil, ""); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(w.path("idp.pem"), w.path("idp-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{now: w.now, grants: map[string]grant{}}
	for _, key := range []**ecdsa.PrivateKey{&p.key, &p.other} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewUnstartedServer(mux)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != testClient || q.Get("redirect_uri") != testRedirect || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || !strings.Contains(q.Get("scope"), "openid") {
		http.Error(w, "bad request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.grants[code] = grant{q.Get("nonce"), q.Get("code_challenge")}
	p.mu.Unlock()
	http.Redirect(w, r, testRedirect+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if plain, err := url.QueryUnescape(secret); basic && err == nil {
		secret = plain
	}
	g, ok := p.grants[r.PostFormValue("code")]
	delete(p.grants, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || id != testClient || secret != testSecret || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error": "invalid_grant"}`))
		return
	}
	claims := map[string]any{
		"iss": p.URL, "aud": testClient, "nonce": g.nonce, "iat": p.now().Unix(), "exp": p.now().Add(time.Minute).Unix(), "email_verified": true,
	}
	maps.Copy(claims, p.claims)
	key := p.key
	if p.forged {
		key = p.other
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": signed})
}

// next says who signs in next.
func (p *provider) next(claims map[string]any, forged bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.forged = claims, forged
}
