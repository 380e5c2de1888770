// Package delivery brings cleared messages to operators, each at most once, and joins what operators say about them.
//
// # Way of a message
//
//	taken      the parcel is a row of queue, owned by this replica, and stands in a lane of its route's backlog
//	intended   an intent naming the message is committed: from here on it may have been submitted
//	submitted  every segment was taken          -> MessagesSubmitted
//	failed     a segment was refused for good   -> MessagesFailed
//	unknown    a segment's answer is missing    -> MessagesUnknown; never submitted again by us
//	returned   may not go out now               -> MessagesReturned; compliance holds it
//	expired    its time was over before submit  -> MessagesExpired
//	released   known not to be accepted (throttled, never written): back to the lane under a new intent
//
// Receipts are joined by route and operator's message id, in any order: one that comes first is parked, and taken up in
// the transaction that records the submission, or by a sweep every second where two replicas raced. Each keeps the hash
// of its PDU.
//
// # Who may submit
//
// A replica is a row of replicas with an expiry it renews. A bind is a row of bind_leases with holder and epoch. The
// transaction that commits an intent locks the replica's row (FOR KEY SHARE) and the lease's (FOR SHARE) and checks
// holder and epoch. Taking over deletes the replica's row, after its expiry, and so waits for intents under way; every
// later intent of the dead one is refused. Expiry alone changes nothing: a replica nobody has replaced may renew late,
// for instance after a restart of PostgreSQL.
//
// # After a crash
//
// A take-over leaves the dead replica's queue rows without an owner; whoever holds a bind of their route claims them
// and compares intents with results ([Repair]):
//
//   - before the queue row's commit: the event was not acknowledged, it comes again.
//   - after it, before the acknowledgement: the event comes again, the inbox knows it, it is skipped.
//   - no intent names the message: it was never written to a socket; back to the lane.
//   - the last intent has the result "released": the operator does not have it; back to the lane.
//   - an intent has no result, whether the submit was written, answered or neither: UNKNOWN, recorded and published.
//   - a commit whose answer was lost, without a crash: intents are committed again under their ids; a report of results
//     carries an id the inbox knows; parcels that are ours in the database but not in memory are strays, disowned after
//     some seconds and claimed like those of a dead replica.
//   - after the result's commit, before its event was published: the outbox relay publishes it.
//   - a receipt was read but not committed: it was not answered, the operator sends it again.
//   - a receipt for an UNKNOWN message whose operator id was never learned: stays parked.
//   - a frozen process wakes up: its next intent is refused; it ends its sessions and starts anew under another id. What
//     it wrote in between belongs to intents that are UNKNOWN by now; answers it still gets are recorded, for an outcome
//     with an intent needs no fence: SUBMITTED outranks UNKNOWN.
package delivery
