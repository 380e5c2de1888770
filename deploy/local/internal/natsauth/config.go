package natsauth

import (
	"fmt"
	"strings"
)

// Config is what stands in nats.conf.
type Config struct {
	Host string
	Port int
	// Cert and Key are the server's, PEM: clients and the monitoring speak TLS only.
	Cert, Key      string
	MonitorPort    int
	StoreDir       string
	MaxFileStore   int64 // bytes
	MaxMemoryStore int64 // bytes
	Identities     Identities
}

// String is the text of nats.conf. sync_interval: always, since an acknowledged publish must survive a power cut
// (design decision 1); the resolver holds the few tokens in memory.
func (c Config) String() string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("# Written by `make up`.")
	line("server_name: onlinesms")
	line("host: %q", c.Host)
	line("port: %d", c.Port)
	line("https: %q", fmt.Sprintf("%s:%d", c.Host, c.MonitorPort))
	line("tls {")
	line("  cert_file: %q", c.Cert)
	line("  key_file: %q", c.Key)
	line("  min_version: %q", "1.3")
	line("  timeout: 10") // seconds for a handshake, on a machine under load
	// Services begin with TLS, so that not even INFO is read in clear; a client of an outside consumer that waits for
	// INFO gets it after 50 ms, and must go on with TLS.
	line("  handshake_first: auto")
	line("}")
	line("max_payload: 1MB")
	// A user's token with its grants stands in CONNECT, one line; the default of 4 KiB is too short for a service's.
	line("max_control_line: 64KB")
	line("lame_duck_duration: 30s")
	line("lame_duck_grace_period: 1s")
	line("jetstream {")
	line("  store_dir: %q", c.StoreDir)
	line("  sync_interval: always")
	line("  max_file_store: %d", c.MaxFileStore)
	line("  max_memory_store: %d", c.MaxMemoryStore)
	line("}")
	line("operator: %s", c.Identities.OperatorJWT)
	line("system_account: %s", c.Identities.System.Key)
	line("resolver: MEMORY")
	line("resolver_preload {")
	for _, account := range []Account{c.Identities.System, c.Identities.Services, c.Identities.Outside} {
		line("  %s: %s", account.Key, account.JWT)
	}
	line("}")
	return text.String()
}
