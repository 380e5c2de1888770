package oidc

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Whoever sets an issuer cannot have us fetch what stands inside our network, what another redirects to, or plain http.
func TestProvidersAreReachedOutsideOnly(t *testing.T) {
	hits := 0
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer inside.Close()
	redirecting := httptest.NewTLSServer(http.RedirectHandler(inside.URL, http.StatusFound))
	defer redirecting.Close()
	roots := x509.NewCertPool()
	roots.AddCert(inside.Certificate())
	for name, test := range map[string]struct {
		issuer  string
		private bool
	}{
		"loopback": {inside.URL, false}, "loopback by name": {"https://localhost:1", false}, "metadata service": {"https://169.254.169.254", false},
		"private": {"https://10.0.0.1", false}, "mapped": {"https://[::ffff:127.0.0.1]:1", false}, "unspecified": {"https://0.0.0.0:1", false},
		"unique local": {"https://[fd00::1]", false}, "redirect": {redirecting.URL, true}, "plain http": {"http://example.com", true},
	} {
		r := NewRelying(Config{RedirectURL: "https://console.example/", Roots: roots, AllowPrivate: test.private, Now: time.Now})
		began := time.Now()
		_, err := r.AuthorizationURL(t.Context(), &person.Provider{Issuer: test.issuer}, "s", "n", "v")
		if errs.KindOf(err) != errs.Unavailable || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	if hits != 0 {
		t.Errorf("%d requests came through", hits)
	}
}

func TestPublicOnly(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2a00:1450::1]:443": true, "127.0.0.1:443": false, "10.1.2.3:443": false, "172.16.0.1:443": false,
		"192.168.0.1:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false, "[::1]:443": false, "[fe80::1]:443": false,
		"[fd00::1]:443": false, "[64:ff9b::7f00:1]:443": false, "[2002:7f00:1::]:443": false, "224.0.0.1:443": false, "255.255.255.255:443": false,
		"[::ffff:10.0.0.1]:443": false, "nonsense": false,
	} {
		if err := publicOnly("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}
