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
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
}

// Server is what a server needs to know: the identities whose tokens it shall trust.
type Server struct {
	OperatorJWT, SystemKey, SystemJWT, AccountKey, AccountJWT string
}

// Issue makes all tokens and writes <user>.creds for each grant into dir (mode 0600).
func (k *Keys) Issue(grants []Grant, dir string) (Server, error) {
	operator, err := nkeys.FromSeed([]byte(k.Operator))
	if err != nil {
		return Server{}, err
	}
	server, err := k.identities(operator)
	if err != nil {
		return Server{}, err
	}
	account, err := nkeys.FromSeed([]byte(k.Account))
	if err != nil {
		return Server{}, err
	}
	for _, grant := range grants {
		if err := k.writeCreds(grant, account, filepath.Join(dir, grant.User+".creds")); err != nil {
			return Server{}, fmt.Errorf("credentials of %s: %w", grant.User, err)
		}
	}
	return server, nil
}

func (k *Keys) identities(operator nkeys.KeyPair) (Server, error) {
	var server Server
	var err error
	if server.SystemKey, err = publicOf(k.System); err != nil {
		return Server{}, err
	}
	if server.AccountKey, err = publicOf(k.Account); err != nil {
		return Server{}, err
	}
	operatorKey, err := operator.PublicKey()
	if err != nil {
		return Server{}, err
	}
	own := jwt.NewOperatorClaims(operatorKey)
	own.Name, own.SystemAccount = "onlinesms", server.SystemKey
	if server.OperatorJWT, err = own.Encode(operator); err != nil {
		return Server{}, err
	}
	system := jwt.NewAccountClaims(server.SystemKey)
	system.Name = "SYS"
	if server.SystemJWT, err = system.Encode(operator); err != nil {
		return Server{}, err
	}
	account := jwt.NewAccountClaims(server.AccountKey)
	account.Name = "ONLINESMS"
	// The server's max_file_store is the limit; every stream must say how much of it it takes. Memory is for ephemeral
	// consumers.
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxBytesRequired: true,
	}
	server.AccountJWT, err = account.Encode(operator)
	return server, err
}

func (k *Keys) writeCreds(grant Grant, account nkeys.KeyPair, file string) error {
	seed := k.Users[grant.User]
	key, err := publicOf(seed)
	if err != nil {
		return err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name = grant.User
	claims.Permissions.Pub.Allow = grant.Publish
	claims.Permissions.Sub.Allow = grant.Subscribe
	if len(grant.Publish) == 0 || len(grant.Subscribe) == 0 {
		return errors.New("an empty list would allow everything")
	}
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
