// Package message accepts messages and knows what became of them.
//
// # What accepting promises
//
// Accepter.Accept answers after the message is committed with its parcel, its outbox row and its idempotency row in
// one transaction: it will be decided, and it will end in a final state or UNKNOWN. What is refused before that
// (a malformed request, an overload) left nothing behind. A caller who got no answer repeats the request under the
// same idempotency key and gets the original answer, never a second message.
//
// # Malformed, or hopeless
//
// A request is malformed when no reader could act on it: a required field is missing, an id is not 19 digits, text and
// variables are both given, something is too long, a duration is out of range. It is refused whole, each wrong field
// named. An item that can be read but that no rule could allow (today: a recipient that is not an Indian mobile
// number) is hopeless: it gets an id, state REFUSED and the reason, so that the good items beside it go on. A hopeless
// message is stored and published like any other; compliance refuses it by the same rule and so records the decision
// and its audit entry, and accepted = refused + … holds without an event of ingest's own. The form of a header
// (prefix, suffix, length) is for compliance to judge.
//
// # Gathering
//
// Each lane gathers by itself (design decision 2): a flush starts at once while fewer than two are in flight, else
// requests wait for the next; so a lone request waits for nobody and 256 concurrent ones share a commit. While flushes
// are large, a second one beside the first waits until it is large too. A message id
// is its parcel's id with its index in the last 10 bits and the seal binds the content to that id, so ids are given
// and content is sealed at the flush; the data key is fetched before gathering, so that a flush waits for no key.
//
// # State
//
// A message's state is the highest (round, rank) of its events, whatever order they come in; see Fold. Recording an event
// raises the message's standing, which lists and filters read; see Standings.
package message
