// Package eventbus carries parcels between services over NATS JetStream. It is the only room that imports nats.go.
//
// JetStream is a transport that can be rebuilt; PostgreSQL is the record (design decision 1). What the bus promises:
//
//   - A parcel handed to Publisher.Publish reaches its stream at least once, or is found again by the outbox relay.
//     The callback names a parcel only after the server has stored it: nothing is published before the server's
//     monitoring has shown sync_always, so a PubAck means "on disk".
//   - A delivery is acknowledged only after its handler has returned nil, that is after its commit. Whatever happens
//     in between, it comes again: effects happen once because handlers claim parcels in their inbox.
//   - Poison is stored as a dead letter before it is terminated.
//   - Everything goes by TLS to servers of a known authority; what each service may do there is package grants.
//
// What happens on a crash or a loss:
//
//	publisher killed before the PubAck    the outbox row is still there; the relay publishes the parcel again
//	PubAck lost                           the same event id is sent again; the server drops it (2 minutes), later the inbox
//	consumer killed before the ack        the server delivers again after AckWait, to any replica
//	consumer killed between save and term the dead letter has a derived id: the second save is the same row
//	nats-server killed or restarted       clients reconnect for ever; acks not yet flushed are delivered again
//	a stream or durable lost              RunPurge makes it again; publishers meanwhile keep and retry, then the relay
//	stream full of unconsumed events      publishing is refused (DiscardNew) and shows as Lag and in the outbox
package eventbus
