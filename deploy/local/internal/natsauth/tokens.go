package natsauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Grant is what one user may publish and subscribe to; services/internal/eventbus/grants decides it.
type Grant struct {
	User      string   `json:"-"`
	Outside   bool     `json:"-"` // lives in the account of outside consumers
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
}

// Export is a service of the services' account that the outside account imports under the same subject.
type Export struct {
	Subject string `json:"subject"`
	Stream  bool   `json:"stream"` // one request may have several answers
}

// Account is an account's public key and token.
type Account struct{ Key, JWT string }

// Identities are what a server must know to trust the users.
type Identities struct {
	OperatorJWT               string
	System, Services, Outside Account
}

// Issue makes all tokens and writes <user>.creds for each grant into dir (mode 0600).
func (k *Keys) Issue(grants []Grant, exports []Export, dir string) (Identities, error) {
	identities, err := k.identities(exports)
	if err != nil {
		return Identities{}, err
	}
	for _, grant := range grants {
		account := k.Services
		if grant.Outside {
			account = k.Outside
		}
		if err := k.writeCreds(grant, account, filepath.Join(dir, grant.User+".creds")); err != nil {
			return Identities{}, fmt.Errorf("credentials of %s: %w", grant.User, err)
		}
	}
	return identities, nil
}

func (k *Keys) identities(exports []Export) (Identities, error) {
	operator, err := nkeys.FromSeed([]byte(k.Operator))
	if err != nil {
		return Identities{}, err
	}
	var made Identities
	if made.System, err = issueAccount(operator, k.System, func(c *jwt.AccountClaims) { c.Name = "SYS" }); err != nil {
		return Identities{}, err
	}
	if made.Services, err = issueAccount(operator, k.Services, servicesAccount(exports)); err != nil {
		return Identities{}, err
	}
	if made.Outside, err = issueAccount(operator, k.Outside, outsideAccount(exports, made.Services.Key)); err != nil {
		return Identities{}, err
	}
	key, err := operator.PublicKey()
	if err != nil {
		return Identities{}, err
	}
	own := jwt.NewOperatorClaims(key)
	own.Name, own.SystemAccount = "onlinesms", made.System.Key
	made.OperatorJWT, err = own.Encode(operator)
	return made, err
}

func servicesAccount(exports []Export) func(*jwt.AccountClaims) {
	return func(c *jwt.AccountClaims) {
		c.Name = "SERVICES"
		// The server's max_file_store is the limit; every stream must say how much of it it takes. Memory is for
		// ephemeral consumers.
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{
			MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxBytesRequired: true,
		}
		for _, e := range exports {
			response := jwt.ResponseType(jwt.ResponseTypeSingleton)
			if e.Stream {
				response = jwt.ResponseTypeStream
			}
			c.Exports.Add(&jwt.Export{Name: e.Subject, Subject: jwt.Subject(e.Subject), Type: jwt.Service, ResponseType: response})
		}
	}
}

func outsideAccount(exports []Export, services string) func(*jwt.AccountClaims) {
	return func(c *jwt.AccountClaims) {
		c.Name = "OUTSIDE"
		for _, e := range exports {
			c.Imports.Add(&jwt.Import{Name: e.Subject, Subject: jwt.Subject(e.Subject), Account: services, Type: jwt.Service})
		}
	}
}

// issueAccount makes an account's token, signed by the operator.
func issueAccount(operator nkeys.KeyPair, seed string, fill func(*jwt.AccountClaims)) (Account, error) {
	key, err := publicOf(seed)
	if err != nil {
		return Account{}, err
	}
	claims := jwt.NewAccountClaims(key)
	fill(claims)
	token, err := claims.Encode(operator)
	return Account{key, token}, err
}

func (k *Keys) writeCreds(grant Grant, accountSeed, file string) error {
	if len(grant.Publish) == 0 || len(grant.Subscribe) == 0 {
		return errors.New("an empty list would allow everything")
	}
	seed := k.Users[grant.User]
	key, err := publicOf(seed)
	if err != nil {
		return err
	}
	account, err := nkeys.FromSeed([]byte(accountSeed))
	if err != nil {
		return err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name = grant.User
	claims.Pub.Allow = grant.Publish
	claims.Sub.Allow = grant.Subscribe
	token, err := claims.Encode(account)
	if err != nil {
		return err
	}
	creds, err := jwt.FormatUserConfig(token, []byte(seed))
	if err != nil {
		return err
	}
	return os.WriteFile(file, creds, 0o600)
}

func publicOf(seed string) (string, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}
