// Package outbox joins events to transactions: what a service publishes is committed with the change that caused it,
// and what it takes from others has its effects once (design §4.3, §5).
//
// # Out
//
// Append writes a parcel's payload (table parcels) and its name (table outbox) in the change's transaction. After the
// commit the process hands the same parcels to its eventbus.Publisher, from memory, at once. When the stream has stored
// them, Relay.Published deletes their outbox rows. Rows that are older than 10 s (their process died, or its memory was
// full, or NATS was away) are claimed by the Relay of any replica for 30 s and published again.
//
// # In
//
// Claim is a consumer's first statement: it records the parcels of its batch in the inbox and answers which of them are
// new. The effects of those go into the same transaction; the rest have been done. Parcels that another transaction is
// just claiming are waited for: if it commits they are known, if it rolls back they are ours.
//
// # Crashes
//
//   - Before the commit: nothing happened.
//   - Between commit and publication: the row is found after 10 s, and published by another process or the next one.
//   - Between publication and the deletion of the row: published twice, under another event id; each inbox drops the
//     second.
//   - While a relay holds a claim: the claim runs out after 30 s.
//   - The deletion is not awaited on disk (synchronous_commit off): a crash of the database may bring rows back, which
//     is the case before.
package outbox
