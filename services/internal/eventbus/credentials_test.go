package eventbus_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// account is one of an operator, which makes users.
type account struct {
	key nkeys.KeyPair
	jwt string
}

func newAccount(t *testing.T, operator nkeys.KeyPair) account {
	t.Helper()
	key, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.NewAccountClaims(public(t, key)).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	return account{key, text}
}

// user makes credentials and answers the public key in them.
func (a account) user(t *testing.T) (creds []byte, id string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.NewUserClaims(public(t, key)).Encode(a.key)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if creds, err = jwt.FormatUserConfig(text, seed); err != nil {
		t.Fatal(err)
	}
	return creds, public(t, key)
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	id, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// startWithOperator runs a server that knows the users of one account.
func startWithOperator(t *testing.T) (*eventbustest.Server, account, account) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	known, stranger := newAccount(t, operator), newAccount(t, operator)
	server := eventbustest.Start(t, func(o *natsserver.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(public(t, operator))}
		system := newAccount(t, operator) // JetStream is not started without
		resolver := &natsserver.MemAccResolver{}
		for _, a := range []account{known, system} {
			if err := resolver.Store(public(t, a.key), a.jwt); err != nil {
				t.Fatal(err)
			}
		}
		o.AccountResolver, o.SystemAccount = resolver, public(t, system.key)
	})
	return server, known, stranger
}

func TestCredentialsAreFollowed(t *testing.T) {
	server, known, stranger := startWithOperator(t)
	first, _ := known.user(t)
	second, id := known.user(t)
	wrong, _ := stranger.user(t)
	file := filepath.Join(t.TempDir(), "ingest.creds")
	replace := func(creds []byte) {
		t.Helper()
		if err := secret.Replace(file, creds); err != nil {
			t.Fatal(err)
		}
	}
	replace(first)
	cfg := server.Config
	cfg.Creds = secret.File(file)
	connect(t, cfg, "ingest")
	users := func() string { return get(t, server.Config, "/connz?auth=true") }
	eventually(t, "the connection", func() bool { return strings.Contains(users(), `"num_connections": 1`) })
	problems := func() string { return strings.Join(secret.Problems(), "\n") }

	replace(wrong)
	eventually(t, "the wrong credentials to be reported", func() bool { return strings.Contains(problems(), "NATS_CREDS keeps its earlier value") })
	replace([]byte("not credentials"))
	eventually(t, "the malformed ones to be reported", func() bool { return strings.Contains(problems(), "no user JWT") })
	if strings.Contains(problems(), "not credentials") {
		t.Error("the credentials are told")
	}
	server.Restart()
	eventually(t, "the connection under the first credentials", func() bool { return strings.Contains(users(), `"num_connections": 1`) })
	replace(second)
	eventually(t, "the second to be taken", func() bool { return problems() == "" })
	server.Restart()
	eventually(t, "the connection under the second credentials", func() bool { return strings.Contains(users(), id) })
}

func TestCredentialsMustBeReadable(t *testing.T) {
	good := eventbustest.Run(t)
	for _, text := range []secret.Ref{"none", "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------"} {
		cfg := good
		cfg.Creds = text
		if _, err := eventbus.Connect(t.Context(), cfg, "ingest"); err == nil {
			t.Errorf("%q is taken", string(text))
		}
	}
}

// get asks the server's monitoring.
func get(t *testing.T, cfg eventbus.Config, path string) string {
	t.Helper()
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cfg.MonitorURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}
