package provision

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Transport tells how the server of an address is reached: verified means by TLS with its certificate checked against an
// authority and its name, or by a unix socket, on every way the address allows; near that all of it stays on loopback.
func Transport(address string) (verified, near bool, err error) {
	cfg, err := pgconn.ParseConfig(address)
	if err != nil {
		return false, false, errors.New("it is not a PostgreSQL address, or its sslrootcert cannot be read") // err quotes it
	}
	verified, near = true, true
	ways := append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...)
	for _, way := range ways {
		if network, _ := pgconn.NetworkAddress(way.Host, way.Port); network == "unix" {
			continue
		}
		verified = verified && way.TLSConfig != nil && !way.TLSConfig.InsecureSkipVerify
		near = near && loopback(way.Host)
	}
	return verified, near, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && address.IsLoopback()
}
