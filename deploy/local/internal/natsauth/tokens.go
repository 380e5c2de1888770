package natsauth

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Grant is what one user may publish and subscribe to.
type Grant struct {
	User      string
	Publish   []string
	Subscribe []string
	// Replies lets the user answer requests it received.
	Replies bool
}

// FeedGrant is the whole right of an outside consumer (design.md section 5): it may make and read the one consumer of
// its name, filtered to its tenant's subjects, with inboxes of its own. Both the name and the inbox prefix are its
// tenant's id: a shared one would let a tenant read another's replies.
func FeedGrant(user, tenant string) Grant {
	consumer := FeedConsumer(tenant)
	return Grant{
		User: user,
		Publish: []string{
			"$JS.API.STREAM.INFO.FEED",
			"$JS.API.CONSUMER.CREATE.FEED." + consumer + ".onlinesms.feed.v1.*.*." + tenant,
			"$JS.API.CONSUMER.INFO.FEED." + consumer,
			"$JS.API.CONSUMER.MSG.NEXT.FEED." + consumer,
			"$JS.ACK.FEED." + consumer + ".>",
		},
		Subscribe: []string{FeedInboxPrefix(tenant) + ".>"},
	}
}

// FeedConsumer is the name of the one durable consumer a tenant may have on stream FEED.
func FeedConsumer(tenant string) string { return "tenant-" + tenant }

// FeedInboxPrefix is the prefix a tenant's client must use for its inboxes.
func FeedInboxPrefix(tenant string) string { return "_INBOX_" + tenant }

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
	// The server's max_file_store is the limit; every stream must say how much of it it takes.
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: 0, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxBytesRequired: true,
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
	if len(grant.Publish) == 0 {
		// An empty list would mean everything.
		claims.Permissions.Pub.Deny = jwt.StringList{">"}
	}
	if len(grant.Subscribe) == 0 {
		claims.Permissions.Sub.Deny = jwt.StringList{">"}
	}
	if grant.Replies {
		claims.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1}
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
