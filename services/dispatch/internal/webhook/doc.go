// Package webhook tells tenants what became of their messages. Stream FEED carries the news to consumers of NATS.
//
// FEED repeats the events of all services for consumers outside, one tenant an event and masked: no text, no number, no
// internal id. Its subject is `onlinesms.feed.v1.<Event>.<env>.<tenant>`, so that a grant names a tenant.
//
// The parcels of one tenant in one event become one event of FEED. Its id is derived from the parcels' ids: an event
// that is delivered to us again, after a crash between publishing and acknowledging, makes the same id, which the server
// drops within its duplicate window and a reader can drop for ever. Parcels that are published again in other company,
// which only the outbox relay does after a failure, repeat their news under another id: states are idempotent.
package webhook
