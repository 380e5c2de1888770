package testbed

import (
	"os"
	"path/filepath"
)

// The server's certificate and key in the data directory: its user may not be able to read ours.
const (
	certFile = "server.crt"
	keyFile  = "server.key"
)

// access is the whole of pg_hba.conf: by TCP with TLS and a password, and by no other way.
const access = `# Written at every start.
hostssl all all 127.0.0.1/32 scram-sha-256
`

// secure gives the cluster its certificate and its rules of access. The key belongs to the server's user and is closed to
// all others, or the server does not start.
func (c *cluster) secure() error {
	cert, err := os.ReadFile(c.cfg.TLS.Cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.cfg.TLS.Key)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.cfg.TLS.CA); err != nil {
		return err
	}
	for name, content := range map[string][]byte{certFile: cert, keyFile: key, "pg_hba.conf": []byte(access)} {
		if err := c.put(name, content); err != nil {
			return err
		}
	}
	return nil
}

// put replaces a file of the data directory as a whole.
func (c *cluster) put(name string, content []byte) error {
	file := filepath.Join(c.cfg.Data, name)
	aside := file + ".new"
	if err := os.WriteFile(aside, content, 0o600); err != nil {
		return err
	}
	if err := c.who.own(aside); err != nil {
		return err
	}
	return os.Rename(aside, file)
}
