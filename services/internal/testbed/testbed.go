package testbed

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config says how to serve one private PostgreSQL.
type Config struct {
	Data         string // directory of the cluster, made when missing; its parents too
	Port         int    // on 127.0.0.1; 0 takes a free one
	User         string // superuser; default "postgres". Fixed when the cluster is made
	PasswordFile string // its password in one line; written with a random one when missing. Fixed like User
	TLS          TLSFiles
	ReadyFile    string // where to write Ready as JSON when connections are accepted; removed at the end; optional
	NoFsync      bool   // for tests only: a crash of the machine loses the cluster
	MaxConns     int    // default 200
	Buffers      string // shared_buffers; default 512MB
	// IdleStop ends the server when it had no client for so long; 0 never. The one who looks at the ready file and
	// connects must hold Lock(ReadyFile + ".lock") meanwhile.
	IdleStop time.Duration
	Log      io.Writer // the server's log; os.Stderr when nil
	Search   Search    // where to find the programs
}

// TLSFiles are the server's certificate for localhost and its key, and the authority clients are told to trust, PEM.
// The server takes connections by TLS 1.3 only. The files are read at the start.
type TLSFiles struct{ Cert, Key, CA string }

// Ready is the content of the ready file.
type Ready struct {
	URL  string `json:"url"` // of the superuser, with password and the authority to trust, database postgres
	Port int    `json:"port"`
	PID  int    `json:"pid"` // of the postmaster
}

func (c Config) user() string          { return cmp.Or(c.User, "postgres") }
func (c Config) maxConns() int         { return cmp.Or(c.MaxConns, 200) }
func (c Config) sharedBuffers() string { return cmp.Or(c.Buffers, "512MB") }

// Serve runs PostgreSQL until ctx ends (a fast stop, then nil) or the server ends by itself (an error).
func Serve(ctx context.Context, cfg Config) error {
	c, err := newCluster(ctx, cfg)
	if err != nil {
		return err
	}
	data := c.cfg.Data
	if err := c.who.makeDir(filepath.Dir(data)); err != nil {
		return err
	}
	unlock, err := tryLock(data + ".lock")
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%s is being served by another testbed", data)
	}
	if err != nil {
		return err
	}
	defer unlock()
	if c.password, err = password(cfg.PasswordFile); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := evict(ctx, data); err != nil {
		return err
	}
	if err := c.secure(); err != nil {
		return err
	}
	return c.serve(ctx)
}

// newCluster finds account and programs, and checks that the one can reach the directory.
func newCluster(ctx context.Context, cfg Config) (*cluster, error) {
	if cfg.Log == nil {
		cfg.Log = os.Stderr
	}
	c := &cluster{cfg: cfg, unlockIdle: func() {}}
	var err error
	if c.cfg.Data, err = filepath.Abs(cfg.Data); err != nil {
		return nil, err
	}
	if c.cfg.TLS.CA, err = filepath.Abs(cfg.TLS.CA); err != nil || cfg.TLS.CA == "" {
		return nil, cmp.Or(err, errors.New("no authority is named that signs the server's certificate"))
	}
	if c.who, err = unprivileged(); err != nil {
		return nil, err
	}
	if !c.who.reaches(nearest(c.cfg.Data)) {
		return nil, fmt.Errorf("PostgreSQL would run as user %s, who cannot enter %s: "+
			"choose a data directory elsewhere (testbed postgres-dir -prefer %[2]s)", c.who.name, c.cfg.Data)
	}
	c.programs, err = Find(ctx, cfg.Search)
	return c, err
}

// password reads the file, or writes it with 128 random bits.
func password(file string) (string, error) {
	if file == "" {
		return "", errors.New("no password file is named")
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text := rand.Text()
		return text, os.WriteFile(file, []byte(text+"\n"), 0o600)
	}
	text := strings.TrimSpace(string(content))
	if err == nil && text == "" {
		err = fmt.Errorf("%s is empty", file)
	}
	return text, err
}

// url names the host localhost: before version 15 libpq finds no address in a certificate.
func (c *cluster) url(port int) string {
	query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {c.cfg.TLS.CA}, "channel_binding": {"require"}}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.cfg.user(), c.password),
		Host: net.JoinHostPort("localhost", strconv.Itoa(port)), Path: "/postgres", RawQuery: query.Encode()}
	return u.String()
}

// announce writes the ready file whole or not at all.
func announce(file string, r Ready) error {
	if file == "" {
		return nil
	}
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// freePort answers port, or a free one for 0.
func freePort(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
