// Package webhook tells tenants what became of their messages: by POSTs to their endpoints, by a gRPC stream, and by
// stream FEED for consumers of NATS.
//
// # Endpoints
//
// The core streams' events come by durable `webhook` (Intake): for each event an endpoint wants there is a row, inserted
// with its batch in one commit and acknowledged then. Its id is derived from what it is, so that an event that is delivered
// to us again finds itself. A row is pending until its endpoint has answered 2xx, or is given up after twelve attempts in
// 76 hours. Attempts are at least once: one whose answer was not recorded before a crash is made again, under its id.
//
// Engine sends. A row belongs to the replica that has put its due_at ahead: the lease of a minute, four times what an
// attempt may last, so that a row is in nobody else's hands while one is made. What a killed process held is due again when
// its lease ends. New rows go to the local engine from memory as far as that has room; the rest, retries and what others left
// behind are claimed FOR UPDATE SKIP LOCKED by whoever has room, each endpoint for itself.
//
// Endpoints share an engine like this. Each has a lane with at most 512 jobs in memory, and all together 20,000; what is
// more stays in the store. Lanes take turns, one attempt a turn. A lane may have as many attempts in flight as its receiver
// has earned (from 4, one more with each success, half after a failure), and less as slots become few. Lanes that are
// failing, or have not answered yet, share half of the slots at most: however many receivers are dead, those that work
// have the other half. Ten failures in a row open a lane's circuit: it pauses for 30 s up to 10 min, then one attempt tries.
// 429 and Retry-After pause it without blame.
//
//	PENDING ── challenge echoed ──▶ ACTIVE ── 410, or 120 h of failures ──▶ DISABLED
//	   ▲                              │  ▲                                      │
//	   └──────── another URL ─────────┘  └──────────────── enable ─────────────┘
//
// What replicas remember of endpoints is of a version, which every change raises in its transaction. Intake reads the
// version after its batch has come: an endpoint that was active before an event was published gets it.
//
// Guard looks at every address when it is dialled. Secrets are sealed with the tenant's lasting key and opened in memory.
//
// # FEED and the stream of events
//
// FEED repeats the events of all services for consumers outside, one tenant an event and masked: no text, no number, no
// internal id. Its subject is `onlinesms.feed.v1.<Event>.<env>.<tenant>`, so that a grant names a tenant.
//
// The parcels of one tenant in one event become one event of FEED. Its id is derived from the parcels' ids: an event
// that is delivered to us again, after a crash between publishing and acknowledging, makes the same id, which the server
// drops within its duplicate window and a reader can drop for ever. Parcels that are published again in other company,
// which only the outbox relay does after a failure, repeat their news under another id: states are idempotent.
//
// Streams reads FEED for one client at a time from its cursor on: the time an event was stored, and its sequence to tell
// events of one time. A stream that was rebuilt counts from one again, but its times go on.
package webhook
