// Package ledger defines what an audit entry is: its canonical bytes, its leaf hash and the salted commitments that
// let personal data be erased without breaking a proof.
//
// # Entry, leaf, index
//
// Every parcel of every event becomes one Entry of its tenant's log, but a parcel of call records (CallsRecorded) one
// Entry a record; a tenant has a log an environment. An entry's
// index is contiguous from 0 within the log, given in the transaction that stores it; so a range of indices proves that nothing was left out. Leaf gives
// the canonical bytes (format audit-leaf/v1), LeafHash the RFC 6962 section 2.1 leaf hash over them. Step 6 builds the
// Merkle trees over these hashes; the format is fixed now, because a leaf can never be changed.
//
// # What a leaf holds
//
// Facts that are not personal stand in the leaf in clear: who (a service or key id), what (an event's full name), on
// what, when, with what outcome. All else stands behind a commitment, SHA-256(0x02 || salt || name || 0x00 || value),
// whose salt and value live in a mutable side table: erasing a value and its salt leaves the leaf, its hash and every
// proof as they were, and leaves nothing to guess the value by.
//
//   - field "parcel" commits to the SHA-256 of the parcel as published (sealed content included); its value stays with
//     the producer and is purged there;
//   - fields "address", "user_agent", "before" and "after" hold what is personal or confidential of a call;
//   - field "messages" commits to the ids of the messages the parcel speaks of.
//
// # Crashes
//
// Entries, inbox rows and the tenants' heads are written in one transaction, and the event is acked after its commit.
// A crash before the commit leaves nothing and the event comes again; a crash after it leaves an event that comes
// again and is skipped by its inbox row. An index is never given twice: the head's row lock serialises the writers of
// one log, and the primary key would refuse the second.
package ledger
