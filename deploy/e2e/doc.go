// Package e2e tests the composed system from outside: the production programs as separate processes, a real nats-server
// and a real PostgreSQL, reached by what stands outside may use: the public API over TLS, the FEED stream, the
// simulator's statistics, the run directory. It needs build tag e2e (`make e2e`), since it starts a whole platform.
package e2e
