// Package screening decides parcels: it opens their content, gathers facts, asks policy, and has everything recorded in
// one transaction.
//
// # Rounds
//
// The first decision on a message is of round 0, also when it is a hold. A release is decided in the round of its hold.
// A message that is held again at its release, or that dispatch gives back, opens the next round. So a message's state,
// its highest (round, rank), never goes backwards (design §4.7).
//
// # Crashes
//
//   - Before the commit nothing has happened: the event comes again, a hold stays due.
//   - After it everything has: decisions, holds and outgoing parcels are one transaction with the inbox entry, or with
//     the removal of the hold. A repeated delivery finds its parcels in the inbox; a hold that is gone is not released
//     by another replica, which passes over locked ones.
package screening
