package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/onlinesms/onlinesms/deploy/local/internal/natsauth"
	"github.com/onlinesms/onlinesms/deploy/local/internal/provision"
	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// SecretsOptions say what to make for containers.
type SecretsOptions struct {
	// Out is the directory, a volume: <out>/<service>/… as the manifests mount it, <out>/nats/nats.conf, <out>/feed/….
	Out string
	// Programs is the directory of devca, natsgrants and ingest.
	Programs string
	// Owner is the user id everything is given to, PostgresOwner that of PostgreSQL's folder; negative for nobody else.
	Owner, PostgresOwner int
	// StoreBytes is what NATS may store.
	StoreBytes int64
	// NATS is the host name of NATS as the services reach it.
	NATS string
	// Postgres is host:port as the services reach it.
	Postgres string
	// SMSC is host:port of the simulator.
	SMSC string
	// Demo is the file of the demo tenant; it is copied to <out>/demo.yaml.
	Demo string
	// Preferences is the root of a volume for preference registers: a fresh one belongs to root. Empty for none.
	Preferences string
	// Hosts are the public door's names beside localhost.
	Hosts []string
}

// Secrets makes for containers what `make up` makes for processes: authority and certificates, NATS identities, keys,
// database passwords. It may be run again: what is there is kept.
func Secrets(ctx context.Context, o SecretsOptions) error {
	dir, err := rundir.Open(filepath.Join(o.Out, "state"))
	if err != nil {
		return err
	}
	if err := os.Chmod(string(dir), 0o700); err != nil {
		return err
	}
	if err := o.openPreferences(); err != nil {
		return err
	}
	p := &Platform{dir: dir, programs: o.Programs, options: Options{Demo: []string{o.Demo}}, storeSize: o.StoreBytes}
	postgres, _, err := net.SplitHostPort(o.Postgres)
	if err != nil {
		return err
	}
	if err := errors.Join(p.makeCertificates(ctx, o.Hosts, o.NATS, postgres), p.makeSecretFiles(ctx)); err != nil {
		return err
	}
	err = p.makeNATS(ctx, natsauth.Config{
		Host: "0.0.0.0", Port: 4222, MonitorPort: 8222, StoreDir: "/data", MaxFileStore: o.StoreBytes,
		Cert: "/secrets/nats/tls.pem", Key: "/secrets/nats/tls-key.pem",
	})
	if err != nil {
		return err
	}
	if err := writeRoutes(dir, simulatorRoutes(o.SMSC, "/secrets/dispatch/smsc-password")); err != nil {
		return err
	}
	if err := layOut(dir, o); err != nil {
		return err
	}
	if err := give(o.Out, o.Owner); err != nil {
		return err
	}
	return give(filepath.Join(o.Out, "postgres"), o.PostgresOwner)
}

// copied is a file of the state directory and its place in a container's folder.
type copied struct{ from, to string }

// layOut copies to each container's folder what that container needs and no more.
func layOut(dir rundir.Dir, o SecretsOptions) error {
	files := []copied{
		{dir.Path("nats.conf"), "nats/nats.conf"},
		{dir.Path("tls", "nats.pem"), "nats/tls.pem"},
		{dir.Path("tls", "nats-key.pem"), "nats/tls-key.pem"},
		{dir.Path("tls", "postgres.pem"), "postgres/tls.pem"},
		{dir.Path("tls", "postgres-key.pem"), "postgres/tls-key.pem"},
		{dir.Path("keys", feedUser+".creds"), "feed/feed.creds"},
		{dir.Path("tls", "ca.pem"), "feed/ca.pem"},
		{dir.Path("tls", "public.pem"), "ingest/public.pem"},
		{dir.Path("tls", "public-key.pem"), "ingest/public-key.pem"},
		{dir.Path("keys", "pepper"), "ingest/pepper"},
		{dir.Path("keys", "pins"), "ingest/pins"},
		{dir.Path("tls", nextPin+".pem"), "ingest/" + nextPin + ".pem"},
		{dir.Path("tls", backupPin+".pem"), "ingest/" + backupPin + ".pem"},
		{dir.Path("routes.yaml"), "dispatch/routes.yaml"},
		{o.Demo, "demo.yaml"},
	}
	for _, service := range services {
		files = append(files,
			copied{dir.Path("tls", service+".pem"), service + "/tls.pem"},
			copied{dir.Path("tls", service+"-key.pem"), service + "/tls-key.pem"},
			copied{dir.Path("tls", "ca.pem"), service + "/ca.pem"},
			copied{dir.Path("keys", service+".creds"), service + "/nats.creds"})
		if service != "audit" { // it may never open content
			files = append(files, copied{dir.Path("keys", "kek"), service + "/kek"},
				copied{dir.Path("keys", "keyring.json"), service + "/keyring.json"})
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file.from)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(o.Out, file.to), data); err != nil {
			return err
		}
	}
	return layOutTexts(dir, o)
}

// accessRules is PostgreSQL's pg_hba.conf: by TCP with TLS only. The local line is for the image's first start, which
// prepares a fresh directory by its socket.
const accessRules = `local all all scram-sha-256
hostssl all all all scram-sha-256
`

// layOutTexts writes what stands in no file of its own: database addresses and the simulator's password.
func layOutTexts(dir rundir.Dir, o SecretsOptions) error {
	if err := put(filepath.Join(o.Out, "dispatch", "smsc-password"), []byte(simulatorPassword+"\n")); err != nil {
		return err
	}
	if err := put(filepath.Join(o.Out, "postgres", "pg_hba.conf"), []byte(accessRules)); err != nil {
		return err
	}
	passwords, err := provision.OpenPasswords(dir.Path("keys", "postgres.json"), services)
	if err != nil {
		return err
	}
	for _, service := range services {
		for _, kind := range provision.Kinds {
			role := service + "_" + kind
			address := url.URL{Scheme: "postgres", User: url.UserPassword(role, passwords[role]), Host: o.Postgres,
				Path: "/" + service, RawQuery: "sslmode=verify-full&channel_binding=require&sslrootcert=/secrets/" + service + "/ca.pem"}
			if err := put(filepath.Join(o.Out, service, "postgres-"+kind+".url"), []byte(address.String()+"\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

func put(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// openPreferences gives the volume of preference registers to the owner, and to nobody else.
func (o SecretsOptions) openPreferences() error {
	if o.Preferences == "" {
		return nil
	}
	return errors.Join(os.MkdirAll(o.Preferences, 0o700), os.Chmod(o.Preferences, 0o700), give(o.Preferences, o.Owner))
}

// give makes everything below dir, and dir itself, the owner's.
func give(dir string, owner int) error {
	if owner < 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, owner, owner))
	})
}

// Provision makes databases and roles on the server of POSTGRES_URL with the passwords Secrets made.
func Provision(ctx context.Context, out, admin string) error {
	passwords, err := provision.OpenPasswords(filepath.Join(out, "state", "keys", "postgres.json"), services)
	if err != nil {
		return err
	}
	if err := provision.Databases(ctx, admin, services, passwords); err != nil {
		return fmt.Errorf("databases and roles: %w", err)
	}
	return nil
}
