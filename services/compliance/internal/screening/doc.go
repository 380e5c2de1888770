// Package screening decides parcels: it opens their content, gathers facts, asks policy, and has everything recorded in
// one transaction.
//
// # Rounds
//
// The first decision on a message is of round 0, also when it is a hold. A release is decided in the round of its hold.
// A message that is held again at its release, or that dispatch gives back, opens the next round. So a message's state,
// its highest (round, rank), never goes backwards (design §4.7).
//
// # Records
//
// A decision is recorded with its rule pack, its time and the facts it was made from: once for all messages of a parcel
// that have them in common, without text or number. What comparing the text found stands among the reasons. So Evaluate
// gives the same answer from the record years later (Recorded.Replay), and another pack can be tried on it (Simulation).
// The sealed contents are vouched for by a digest only; the digest of the whole record goes out with the events.
//
// Preview runs the same code over contents that were never sealed, and leaves nothing behind.
//
// # Crashes
//
//   - Before the commit nothing has happened: the event comes again, a hold stays due.
//   - After it everything has: decisions, holds and outgoing parcels are one transaction with the inbox entry, or with
//     the removal of the hold. A repeated delivery finds its parcels in the inbox; a hold that is gone is not released
//     by another replica, which passes over locked ones.
package screening
