// Package limit bounds how much a caller does in a time: GCRA (generic cell rate algorithm, ITU-T I.371), in integer
// nanoseconds, with costs and refunds.
//
// A limit is one number for each thing limited: the time at which all its burst is regained. Those of tenants are shared
// by all replicas: a replica takes leases of a fiftieth of a second's worth and spends them in memory, so that a call
// costs no query, and what a lease took is gone from the shared number, so that replicas together never pass the limit.
// What a lease does not use up is forgotten after a tenth of a second. While the shared state cannot be reached nothing
// is refused: what needs limiting cannot be accepted then either.
package limit
