package postgres

import (
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Values of POSTGRES_TLS.
const (
	verifyFull = "verify-full"
	tlsOff     = "off"
)

// Validate refuses a POSTGRES_TLS that is neither verify-full nor off.
func (c Config) Validate() error {
	if c.TLS != "" && c.TLS != verifyFull && c.TLS != tlsOff {
		return errs.E(errs.Invalid, "CONFIG_INVALID", "POSTGRES_TLS is verify-full or off.", nil)
	}
	return nil
}

// checkTransport refuses (errs.Invalid) an address by which a server could be reached, also as a fallback, without TLS
// or without its certificate being checked against a known authority and its own name: what PostgreSQL's sslmode
// verify-full does, while pgx and libpq fall back to clear text by default. A unix socket never leaves the kernel and is
// guarded by its file mode. With POSTGRES_TLS=off loopback is let pass too.
func (c Config) checkTransport(cfg *pgconn.Config, variable string) error {
	if err := c.Validate(); err != nil {
		return err
	}
	ways := append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...)
	for _, way := range ways {
		if network, _ := pgconn.NetworkAddress(way.Host, way.Port); network == "unix" {
			continue
		}
		if way.TLSConfig != nil && !way.TLSConfig.InsecureSkipVerify {
			continue
		}
		if c.TLS == tlsOff && loopback(way.Host) {
			continue
		}
		return errs.E(errs.Invalid, "CONFIG_INVALID", variable+" must have sslmode=verify-full, and sslrootcert=<file of the "+
			"authority> unless the system knows it. POSTGRES_TLS=off lets a server on loopback do without, for development.", nil)
	}
	return nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && address.IsLoopback()
}
